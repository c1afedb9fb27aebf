//! The manual pages: their examples work, what they refer to exists, and every line of the log is in zpost-log(7).

use end_to_end::{LONG, Suite, files, free_port, programs, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn pages() -> Vec<(String, String)> {
    let folder = root().join("man");
    files(&folder).into_iter().map(|name| (name.clone(), fs::read_to_string(folder.join(name)).unwrap())).collect()
}

/// The literal displays of a page, as a reader sees them.
fn displays(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in page.lines() {
        if line.starts_with(".Bd -literal") {
            inside = Some(String::new());
        } else if line == ".Ed" {
            found.extend(inside.take());
        } else if let Some(text) = &mut inside {
            text.push_str(&line.replace("\\e", "\\").replace("\\(dq", "\"").replace("\\(aq", "'").replace("\\&", ""));
            text.push('\n');
        }
    }
    found
}

/// What `zpost config check` says of a file, and whether it is content.
fn check(text: &str) -> (bool, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let output =
        Command::new(programs().join("zpost")).args(["config", "check", "--text-only", "--config"]).arg(file.path()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn examples_of_configuration_pass_the_check() {
    let mut checked = 0;
    for (name, page) in pages() {
        for example in displays(&page).into_iter().filter(|e| e.starts_with('[')) {
            let mut text = example.clone();
            for (section, least) in [
                ("[paths]", "postoffice = \"/var/spool/zpost\""),
                ("[identity]", "hostname = \"mta.example.org\""),
                ("[[listener]]", "bind = \"127.0.0.1:2525\""),
            ] {
                if !example.contains(section) {
                    text.push_str(&format!("\n{section}\n{least}\n"));
                }
            }
            let (content, faults) = check(&text);
            assert!(content, "{name}: {faults}\n{text}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn what_the_shipped_configuration_has_switched_off_can_be_switched_on() {
    let text = fs::read_to_string(root().join("etc/zpost.toml")).unwrap();
    let mut sections = 0;
    let on: Vec<&str> = text
        .lines()
        .map(|line| {
            let Some(off) = line.strip_prefix('#') else { return line };
            sections += usize::from(off.starts_with('['));
            let word = off.split(" =").next().unwrap_or_default();
            let key = off.contains(" = ") && word.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b));
            if off.starts_with('[') || key { off } else { line }
        })
        .collect();
    let on = on.join("\n").replace("/etc/zpost/reports", &root().join("etc/reports").display().to_string());
    let (content, faults) = check(&on);
    assert!(content, "{faults}\n{on}");
    assert!(sections >= 15, "{sections}");
}

#[test]
fn pages_refer_to_pages_that_exist_and_the_overview_names_all() {
    let pages = pages();
    let names: BTreeSet<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let ours: BTreeSet<&str> = names.iter().map(|name| name.rsplit_once('.').unwrap().0).collect();
    let (_, overview) = pages.iter().find(|(name, _)| name == "zpost-intro.7").unwrap();
    for (name, page) in &pages {
        for line in page.lines().filter(|l| l.contains("Xr ")) {
            let words: Vec<&str> = line.split_whitespace().skip_while(|w| *w != ".Xr" && *w != "Xr").collect();
            let (other, section) = (words[1], words[2]);
            if ours.contains(other) || other.starts_with("zpost") {
                assert!(names.contains(format!("{other}.{section}").as_str()), "{name} refers to {other}({section})");
            }
        }
        let (title, section) = name.rsplit_once('.').unwrap();
        let see = overview.split(".Sh SEE ALSO").nth(1).unwrap();
        let listed = see.lines().any(|line| line.trim_end_matches(" ,") == format!(".Xr {title} {section}"));
        assert!(listed || name == "zpost-intro.7", "{name} is not in zpost-intro(7)");
    }
}

#[test]
fn parameters_in_pages_exist() {
    let output = Command::new(programs().join("zpost")).args(["config", "reference"]).output().unwrap();
    let reference = String::from_utf8_lossy(&output.stdout).into_owned();
    let known: BTreeSet<&str> = reference.lines().filter_map(|line| line.strip_prefix(".It Ic ")).collect();
    let mut seen = 0;
    for (name, page) in pages() {
        for line in page.lines().filter_map(|line| line.strip_prefix(".Ic ")) {
            for word in line.split([' ', ',']).filter(|w| w.len() > 2 && w.bytes().all(|b| b.is_ascii_lowercase() || b"_-".contains(&b))) {
                assert!(known.contains(word), "{name}: {word} is no parameter of zpost.toml(5)");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.display().to_string().contains("test") {
            found.push(path);
        }
    }
}

/// Log lines are an interface: who greps for one looks it up first.
#[test]
fn every_event_is_in_the_page_of_the_log() {
    let page = fs::read_to_string(root().join("man/zpost-log.7")).unwrap();
    let known: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Sy "))
        .flat_map(|names| names.split([' ', ',']))
        .filter(|name| !name.is_empty())
        .collect();
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let mut seen = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for call in text.split("event!(").skip(1) {
            let mut words = call.splitn(3, '"');
            let (level, Some(event)) = (words.next().unwrap_or_default(), words.next()) else { continue };
            if level.trim().trim_end_matches(',').bytes().all(|b| b.is_ascii_alphanumeric() || b == b':') {
                assert!(known.contains(event), "{}: the event {event} is not in zpost-log(7)", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

/// What a program says of its own options and commands.
fn help(arguments: &[&str]) -> String {
    let output = Command::new(programs().join("zpost")).args(arguments).arg("--help").output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn commands_in_pages_and_papers_exist_with_their_options() {
    let known = help(&[]);
    let said = |page: &str| page.lines().filter(|l| l.starts_with(".Ql zpost ")).collect::<Vec<_>>().join("\n");
    let mut texts: Vec<(String, String)> =
        pages().into_iter().map(|(name, page)| (name, displays(&page).concat() + &said(&page))).collect();
    for paper in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "etc/zpost.toml"] {
        texts.push((paper.to_string(), fs::read_to_string(root().join(paper)).unwrap()));
    }
    let mut seen = 0;
    for (name, text) in texts {
        for line in text.lines() {
            let quoted = line.strip_prefix(".Ql zpost ").or_else(|| line.strip_prefix("zpost "));
            let in_ticks = line.split('`').skip(1).step_by(2).filter_map(|t| t.strip_prefix("zpost "));
            for use_of in quoted.into_iter().chain(in_ticks).flat_map(|l| l.split(';').map(|part| part.trim().trim_start_matches("zpost ")))
            {
                let words: Vec<&str> = use_of.split(['#', '`']).next().unwrap_or_default().split_whitespace().collect();
                let Some(command) = words.iter().find(|w| w.bytes().all(|b| b.is_ascii_lowercase())) else { continue };
                assert!(known.contains(&format!("\n  {command} ")), "{name}: zpost {use_of}");
                let usage = help(&[command]);
                let options = words.iter().skip_while(|w| *w != command).take_while(|w| **w != "&&" && **w != "|");
                for option in options.filter(|w| w.starts_with("--")) {
                    // Those of config and policy say their own.
                    let second = words.iter().skip_while(|w| !["config", "policy"].contains(*w)).nth(1).filter(|w| !w.starts_with('-'));
                    let known = second.map_or_else(|| usage.clone(), |second| help(&[command, second]));
                    assert!(known.contains(*option), "{name}: zpost {use_of}: no {option}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_first_look_of_the_overview_and_both_ways_in_work() {
    let display = |page: &str, word: &str| {
        let page = fs::read_to_string(root().join("man").join(page)).unwrap();
        displays(&page).into_iter().find(|d| d.contains(word)).unwrap()
    };
    let example = display("zpost-intro.7", "zpost start");
    let sendmail = display("sendmail.1", "sendmail -t -i").replace("example.org", "local.example");
    let dropping = display("zpost-format.5", "mv public/letter");
    let suite = Suite::builder().prepare();
    let folder = suite.path("first-look").display().to_string();
    let script = example.replace("/tmp/zpost", &folder).replace("2525", &free_port().to_string());
    let (script, stop) = script.split_at(script.find("ls ").unwrap());
    assert!(stop.contains("zpost stop"));
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let shell = |text: &str| suite.command("bash").arg("-euc").arg(text).env("PATH", &path).output().unwrap();
    let output = shell(script);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    wait_until("the message of the overview", LONG, || !files(Path::new(&format!("{folder}/mail/bob/new"))).is_empty());
    let dropping = dropping.replace("/var/spool/zpost", &format!("{folder}/spool"));
    for rest in [&sendmail, &dropping] {
        let output = shell(&format!("export ZPOST_CONFIG={folder}/zpost.toml\n{rest}"));
        assert!(output.status.success(), "{rest}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (user, count) in [("user", 2), ("rcpt", 1)] {
        wait_until("the other messages", LONG, || files(Path::new(&format!("{folder}/mail/{user}/new"))).len() == count);
    }
    let output = shell(&format!("export ZPOST_CONFIG={folder}/zpost.toml\n{stop}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_example_of_a_filter_judges() {
    let page = fs::read_to_string(root().join("man/zpost-contentfilter.7")).unwrap();
    let script = displays(&page).into_iter().find(|d| d.starts_with("#!/bin/sh")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut questions = String::new();
    for (name, subject) in [("good", "hello"), ("bad", "Now make money fast")] {
        let path = folder.path().join(name);
        fs::write(&path, format!("from <a@b.example>\nto <c@d.example>\nenv-end\nSubject: {subject}\n\nbody\n")).unwrap();
        questions.push_str(&format!("{}\n", path.display()));
    }
    let mut filter = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    filter.stdin.take().unwrap().write_all(questions.as_bytes()).unwrap();
    let answers = String::from_utf8(filter.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(answers.lines().map(|l| l.split(' ').next().unwrap()).collect::<Vec<_>>(), ["0", "-1"], "{answers}");
}

#[test]
fn the_example_of_a_template_is_one() {
    let page = fs::read_to_string(root().join("man/zpost-report.5")).unwrap();
    let template = displays(&page).into_iter().find(|d| d.starts_with("Subject:")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("failed"), template).unwrap();
    let text = fs::read_to_string(root().join("etc/zpost.toml")).unwrap();
    let (content, faults) = check(&format!("{text}\n[bounce]\ntemplates = \"{}\"\n", folder.path().display()));
    assert!(content, "{faults}");
    fs::write(folder.path().join("failed"), "Subject: no recipients\n\nnothing\n").unwrap();
    assert!(!check(&format!("{text}\n[bounce]\ntemplates = \"{}\"\n", folder.path().display())).0, "templates are not looked at");
}

#[test]
fn the_example_of_aliases_has_no_fault() {
    let page = fs::read_to_string(root().join("man/zpost-aliases.5")).unwrap();
    let aliases = displays(&page).into_iter().find(|d| d.starts_with("postmaster:")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("staff.list");
    fs::write(&list, "ann\n").unwrap();
    fs::write(folder.path().join("aliases"), aliases.replace("/etc/zpost/staff.list", &list.display().to_string())).unwrap();
    let text = fs::read_to_string(root().join("etc/zpost.toml")).unwrap();
    let text = text.replace("[local]\n", &format!("[local]\naliases = [\"{}/aliases\"]\n", folder.path().display()));
    fs::write(folder.path().join("zpost.toml"), text).unwrap();
    let output = Command::new(programs().join("newaliases")).env("ZPOST_CONFIG", folder.path().join("zpost.toml")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_an_agent_is_told_is_json() {
    let page = fs::read_to_string(root().join("man/zpost-agent.7")).unwrap();
    let job = displays(&page).into_iter().find(|d| d.starts_with("{\"job\"")).unwrap();
    let job: serde_json::Value = serde_json::from_str(&job).unwrap();
    assert!(job["recipients"][0]["recipient"].is_number(), "{job}");
}
