//! What `zpost import postfix` makes runs, and answers as Postfix's own reading of the same files.

use end_to_end::{Suite, installed};
use std::fs;
use std::process::Command;

const FILES: [(&str, &str); 4] = [
    (
        "main.cf",
        "myhostname = mx.example.org\nmydestination = $myhostname, example.org\nalias_maps = texthash:{at}/aliases\n\
         virtual_alias_domains = virt.example\nvirtual_alias_maps = texthash:{at}/virtual\ntransport_maps = texthash:{at}/transport\n",
    ),
    (
        "virtual",
        "info@virt.example ann@far.example\nsales@virt.example bob@far.example, carl@near.example\n@virt.example rest@far.example\n",
    ),
    ("transport", "far.example smtp:[gate.example]:2525\n.sub.example smtp:[below.example]\nnear.example smtp:[near.gate.example]\n"),
    ("aliases", "root: ann@far.example\nteam: ann@far.example, bob@near.example\n"),
];

fn prepared() -> Suite {
    let suite = Suite::builder().prepare();
    let from = suite.path("postfix");
    fs::create_dir(&from).unwrap();
    for (name, text) in FILES {
        fs::write(from.join(name), text.replace("{at}", &from.display().to_string())).unwrap();
    }
    suite.give_away();
    suite
}

/// What Postfix finds in one of the files.
fn postfix_says(suite: &Suite, file: &str, key: &str) -> String {
    let folder = suite.path("postfix");
    let table = format!("texthash:{}", folder.join(file).display());
    let output = Command::new("postmap").arg("-c").arg(&folder).args(["-q", key, &table]).output().unwrap();
    assert!(output.status.success(), "{key}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn routes(suite: &Suite, address: &str, member: &str) -> Vec<String> {
    let answer = suite.json(&["route", address]);
    let routes = answer["routes"].as_array().unwrap();
    let mut members: Vec<String> = routes.iter().map(|route| route[member].as_str().unwrap().to_owned()).collect();
    members.sort();
    members
}

#[test]
fn an_imported_postfix_answers_as_postfix() {
    if !installed("postmap") {
        eprintln!("SKIPPED: needs the package postfix");
        return;
    }
    let mut suite = prepared();
    let (into, main) = (suite.path("imported").display().to_string(), suite.path("postfix/main.cf").display().to_string());
    let output = suite.zpost(&["import", "postfix", &main, "--into", &into]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Its places are those of a machine that is not this one.
    let text = fs::read_to_string(suite.path("imported/zpost.toml")).unwrap();
    let root = suite.folder.path().display();
    let edits = [
        ("postoffice = \"/var/spool/zpost\"".to_owned(), format!("postoffice = \"{root}/post\"\nrun = \"{root}/run\"")),
        ("bind = \"[::]:25\"".to_owned(), format!("bind = \"127.0.0.1:{}\"", suite.port)),
    ];
    let text = edits.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in {text}");
        text.replace(old, new)
    });
    fs::write(suite.config(), text).unwrap();
    suite.start();

    for (domain, key) in [("far.example", "far.example"), ("x.sub.example", ".sub.example"), ("near.example", "near.example")] {
        let said = postfix_says(&suite, "transport", key);
        let host = said.strip_prefix("smtp:").unwrap();
        assert_eq!(routes(&suite, &format!("user@{domain}"), "host"), [host], "{domain}");
    }
    for (address, key) in [
        ("info@virt.example", "info@virt.example"),
        ("sales@virt.example", "sales@virt.example"),
        ("whoever@virt.example", "@virt.example"),
    ] {
        let said = postfix_says(&suite, "virtual", key);
        assert_eq!(routes(&suite, address, "user"), said.split(", ").collect::<Vec<_>>(), "{address}");
    }
    // Postfix reads aliases by their colon, as postalias does.
    assert_eq!(routes(&suite, "team@example.org", "user"), ["ann@far.example", "bob@near.example"]);
    for (table, key, values) in
        [("virtual-alias", "info@virt.example", "ann@far.example"), ("virtual-alias", "@virt.example", "rest@far.example")]
    {
        assert_eq!(suite.json(&["lookup", table, key])["values"][0], values, "{key}");
    }
}
