//! The sandbox of ta-smtp from outside: the kernel says what holds, and mail still goes. And those of the processes that answer
//! questions, tried from inside.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, wait_until};
use std::fs;

fn delivers(sandbox: &str) -> (Suite, Sink) {
    let sink = Sink::start();
    let suite =
        Suite::builder().relaying_to(sink.port).with(&format!("[processes]\nsandbox = \"{sandbox}\"\n[log]\nlevel = \"debug\"\n")).start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    let content = format!("Subject: x\r\n\r\n{}", "y\r\n".repeat(200_000));
    assert_eq!(session.message("a@sender.example", &["b@far.example"], content.as_bytes()).unwrap().0, 250);
    wait_until("the mail arrives", LONG, || sink.messages().len() == 1);
    (suite, sink)
}

fn status_of_agent(suite: &Suite) -> String {
    let pids = suite.pids();
    let (_, pid) = pids.iter().find(|(service, _)| service == "ta-smtp").expect("ta-smtp is still there");
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap()
}

#[test]
fn the_client_is_confined_and_delivers() {
    let (suite, _sink) = delivers("try");
    let status = status_of_agent(&suite);
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2") && status.contains("Seccomp_filters:\t3"), "{status}");
    let log = suite.log();
    match fs::read_to_string("/sys/kernel/security/lsm") {
        Ok(list) if !list.contains("landlock") => eprintln!("SKIPPED: this kernel has no Landlock"),
        _ => assert!(log.contains("walls=landlock,seccomp"), "{log}"),
    }
}

#[test]
fn off_is_off() {
    let (suite, _sink) = delivers("off");
    assert!(status_of_agent(&suite).contains("Seccomp:\t0"));
}

fn landlock_is_there() -> bool {
    fs::read_to_string("/sys/kernel/security/lsm").map_or(true, |list| list.contains("landlock"))
}

/// Every process that reads what strangers send tries what it would try if it were taken over.
#[test]
fn what_answers_questions_can_do_nothing_of_this() {
    let services = ["resolver", "ratetracker", "callahead", "delegate", "tlspolicy", "authserver"];
    let builder = Suite::builder();
    let passwords = builder.folder().join("passwords");
    let suite = builder
        .with(&format!("[auth]\nbackends = [\"file\"]\npassword_file = \"{}\"\n", passwords.display()))
        .with("[processes]\nenvironment = { ZPOST_SANDBOX_TRIAL = \"1\" }\n[log]\nlevel = \"debug\"\n")
        .with("[call_ahead]\ndomains = [\"far.example\"]\n")
        .with("[[policy_service]]\nname = \"grey\"\nserver = \"127.0.0.1:1\"\n")
        .start();
    for service in services {
        // Logged before the process is ready.
        let log = suite.log();
        let of_it: Vec<&str> = log.lines().filter(|line| line.contains(&format!(" {service}[")) && line.contains(": trial ")).collect();
        assert!(of_it.len() >= 9, "{service}: {log}");
        for line in of_it {
            // What the system-call filter leaves to who has a folder of its own, Landlock forbids elsewhere.
            let of_landlock = ["make_file", "read_passwd", "list_", "memory_of"].iter().any(|word| line.contains(word));
            assert!(line.contains("denied=true") || of_landlock && !landlock_is_there(), "{line}");
        }
        let pid = suite.pids().into_iter().find(|(name, _)| name == service).map(|(_, pid)| pid).unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{service}: {status}");
    }
}

/// The master opens the resolver's files for it, at each reload anew.
#[test]
fn the_resolver_reads_its_files_again_at_a_reload() {
    let key = "example. 3600 IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n";
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let anchor = folder.path().join("anchor");
    fs::write(&anchor, key).unwrap();
    let suite = Suite::builder().with(&format!("[dns]\nservers = [\"127.0.0.1:1\"]\ntrust_anchor = \"{}\"\n", anchor.display())).start();
    let replace = |text: &str| {
        fs::write(folder.path().join("new"), text).unwrap();
        fs::rename(folder.path().join("new"), &anchor).unwrap();
        suite.zpost(&["reload"]);
    };
    let lines = |word: &str| suite.log().lines().filter(|line| line.contains(" resolver[") && line.contains(word)).count();
    replace("no key at all\n");
    wait_until("the resolver says what is wrong", LONG, || lines("reload_failed") == 1 && lines("trust_anchor") == 1);
    replace(key);
    wait_until("the resolver has read its new file", LONG, || lines(": reloaded") == 1);
}
