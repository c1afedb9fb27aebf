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
        ("bind = \"0.0.0.0:25\"".to_owned(), format!("bind = \"127.0.0.1:{}\"", suite.port)),
        ("[[listener]]\nkind = \"smtp\"\nbind = \"[::]:25\"\n".to_owned(), String::new()),
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

/// The configuration that was imported, below a preamble for this machine; accepted, and running.
fn started(mut suite: Suite, folder: &str) -> Suite {
    let text = fs::read_to_string(suite.path(folder).join("zpost.toml")).unwrap();
    let own = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), own.replace("\n[relay]\nnetworks = [\"127.0.0.0/8\", \"::1\"]\n", "") + &text).unwrap();
    let checked = suite.zpost(&["config", "check"]);
    assert!(checked.status.success(), "{}\n{text}", String::from_utf8_lossy(&checked.stderr));
    suite.start();
    suite
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What Postfix routes and where, and we after an import: the defaults that nobody writes down, catch-alls, domains below others.
#[test]
fn what_postfix_assumes_is_assumed() {
    let suite = Suite::builder().prepare();
    let from = suite.path("from");
    fs::create_dir(&from).unwrap();
    let write = |name: &str, text: &str| fs::write(from.join(name), text.replace("{at}", &from.display().to_string())).unwrap();
    write(
        "main.cf",
        "myhostname = mx.example.org\nmyorigin = $mydomain\nrelay_domains = partner.example, hash:{at}/relay\ntransport_maps = hash:{at}/transport\n\
         mynetworks = 127.0.0.0/8\nalias_maps =\nvirtual_alias_maps = hash:{at}/virtual\nlocal_recipient_maps =\n",
    );
    write("relay", "hashed.example x\n");
    write("transport", "far.example smtp:[far.gate.example]\n.far.example smtp:[below.gate.example]\n* smtp:[all.gate.example]:2525\n");
    write(
        "virtual",
        "virt.example -\n@virt.example rest@far.example\ninfo@virt.example joe@x.far.example\n@mx.example.org %user@far.example\n",
    );
    suite.give_away();
    let (into, main) = (suite.path("imported").display().to_string(), from.join("main.cf").display().to_string());
    let output = suite.zpost(&["import", "postfix", &main, "--into", &into]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("main.cf:2: myorigin"), "{}", said(&output));
    // The places of another machine.
    let text = fs::read_to_string(suite.path("imported/zpost.toml")).unwrap();
    let without = [
        "[identity]\nhostname = \"mx.example.org\"\n",
        "[paths]\npostoffice = \"/var/spool/zpost\"\n",
        "[[listener]]\nkind = \"smtp\"\nbind = \"0.0.0.0:25\"\n",
        "[[listener]]\nkind = \"smtp\"\nbind = \"[::]:25\"\n",
    ];
    let text = without.into_iter().fold(text, |text, part| {
        assert!(text.contains(part), "{part} is not in {text}");
        text.replace(part, "")
    });
    fs::write(suite.path("imported/zpost.toml"), text + "\n").unwrap();
    let own = fs::read_to_string(suite.config()).unwrap().replace("mta.test.example", "mx.example.org");
    fs::write(suite.config(), own).unwrap();
    let suite = started(suite, "imported");
    for (address, host) in [
        ("u@far.example", "[far.gate.example]"),
        ("u@x.far.example", "[below.gate.example]"),
        ("u@else.example", "[all.gate.example]:2525"),
        ("any@virt.example", "[far.gate.example]"),
        ("info@virt.example", "[below.gate.example]"),
    ] {
        assert_eq!(routes(&suite, address, "host"), [host], "{address}");
    }
    assert_eq!(routes(&suite, "root@localhost", "channel"), ["local"]);
    // Who may be sent to by strangers: the domains, and those below them.
    for (to, taken) in [
        ("u@partner.example", true),
        ("u@sub.partner.example", true),
        ("u@hashed.example", true),
        ("u@sub.hashed.example", true),
        ("u@else.example", false),
    ] {
        let output = suite.zpost(&["policy", "test", "--ip", "203.0.113.9", "--helo", "x.example", "--from", "a@b.example", "--to", to]);
        assert_eq!(output.status.success(), taken, "{to}: {}", said(&output));
    }
}

/// Debian's own main.cf, as its package makes it.
#[test]
fn the_main_cf_of_debian_is_accepted() {
    let main = "/etc/postfix/main.cf";
    if !std::path::Path::new(main).exists() {
        eprintln!("SKIPPED: needs the package postfix");
        return;
    }
    let suite = Suite::builder().prepare();
    let into = suite.path("imported").display().to_string();
    let output = suite.zpost(&["import", "postfix", main, "--into", &into]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("left out `"), "{}", said(&output));
    let checked = suite.zpost(&["--config", &format!("{into}/zpost.toml"), "config", "check", "--text-only"]);
    assert!(checked.status.success(), "{}", said(&checked));
}

/// Tables in Sendmail's form, with the entries of its examples.
#[test]
fn tables_of_sendmail_route_as_theirs() {
    let suite = Suite::builder().prepare();
    let from = suite.path("from");
    fs::create_dir(&from).unwrap();
    for (name, text) in [
        (
            "virtusertable",
            "info@foo.example root\ninfo@bar.example jane@elsewhere.example\n@baz.example jane@elsewhere.example\n@old.example %1@new.example\n@gone.example error:nouser User unknown\nann@stranger.example root\n",
        ),
        ("virtuserdomains", "baz.example\nold.example\n"),
        (
            "mailertable",
            "badhost error:nohost mail to %0 is prohibited\n.baddomain error:nohost mail to %1%0 is prohibited\nfriend.example smtp:[%0]:[smart.example]\n.friend.example smtp:[%1%0]\ndirect.example esmtp:[relay.example]\nann.example local:root\n. smtp:[smart.example]\n",
        ),
        ("domaintable", "renamed.example new.example\n"),
        ("genericstable", "root\tadmin@foo.example\n"),
        ("local-host-names", "foo.example\nbar.example\ngone.example\n"),
        ("relay-domains", "partner.example\n"),
        (
            "access",
            "Connect:192.0.2 RELAY\nConnect:IPv6:2001:db8 RELAY\nFrom:spam.example REJECT\n10.1.2.3 OK\nTo:gone@foo.example ERROR:5.1.1:\"550 gone\"\nTLS_Srv:x ENCR\n",
        ),
        ("aliases", "postmaster: root\nMAILER-DAEMON: postmaster\nabuse: postmaster\n"),
    ] {
        fs::write(from.join(name), text).unwrap();
    }
    suite.give_away();
    let into = suite.path("imported").display().to_string();
    let names: Vec<String> = fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path().display().to_string()).collect();
    let mut arguments = vec!["import", "sendmail", "--into", &into];
    arguments.extend(names.iter().map(String::as_str));
    let output = suite.zpost(&arguments);
    assert!(output.status.success(), "{}", said(&output));
    let report = said(&output);
    assert!(
        report.contains("mailertable:3: friend.example: only its first host")
            && report.contains("virtusertable:5: @gone.example")
            && report.contains("virtusertable:6: ann@stranger.example: its domain is neither"),
        "{report}"
    );
    // What it says of the access table works as it says.
    let (policy, table) = (format!("{into}/access.policy"), format!("{into}/access.policy.cdb"));
    assert!(report.contains(&format!("zpost newdb {table} {policy}")), "{report}");
    let made = suite.zpost(&["newdb", &table, &policy]);
    assert!(made.status.success(), "{}", said(&made));
    let config = suite.path("imported/zpost.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &format!("\n[policy]\ntables = [\"{table}\"]\n")).unwrap();
    let suite = started(suite, "imported");
    for (address, host, user) in [
        ("info@bar.example", "[smart.example]", "jane@elsewhere.example"),
        ("any@baz.example", "[smart.example]", "jane@elsewhere.example"),
        ("joe@old.example", "[smart.example]", "joe@new.example"),
        ("joe@renamed.example", "[smart.example]", "joe@new.example"),
        ("u@friend.example", "[friend.example]", "u@friend.example"),
        ("u@x.friend.example", "x.friend.example", "u@x.friend.example"),
        ("u@direct.example", "[relay.example]", "u@direct.example"),
        ("u@else.example", "[smart.example]", "u@else.example"),
    ] {
        assert_eq!(
            (routes(&suite, address, "host"), routes(&suite, address, "user")),
            (vec![host.to_owned()], vec![user.to_owned()]),
            "{address}"
        );
    }
    for address in ["info@foo.example", "any@ann.example", "abuse@foo.example"] {
        assert_eq!(routes(&suite, address, "channel"), ["local"], "{address}");
    }
    for (address, text) in
        [("u@badhost", "mail to badhost is prohibited"), ("u@x.baddomain", "is prohibited"), ("u@gone.example", "User unknown")]
    {
        let refused = String::from_utf8(suite.zpost(&["route", address]).stdout).unwrap();
        assert!(refused.contains(": refused: 550 5.1") && refused.contains(text), "{address}: {refused}");
    }
    for (ip, from, to, taken) in [
        ("192.0.2.7", "a@b.example", "u@else.example", true),
        ("2001:db8::5", "a@b.example", "u@else.example", true),
        ("203.0.113.9", "a@b.example", "u@else.example", false),
        ("203.0.113.9", "a@b.example", "u@sub.partner.example", true),
        ("203.0.113.9", "a@spam.example", "root@foo.example", false),
        ("203.0.113.9", "a@b.example", "gone@foo.example", false),
        ("203.0.113.9", "a@b.example", "root@foo.example", true),
    ] {
        let output = suite.zpost(&["policy", "test", "--ip", ip, "--helo", "x.example", "--from", from, "--to", to]);
        assert_eq!(output.status.success(), taken, "{ip} {from} {to}: {}", said(&output));
    }
}
