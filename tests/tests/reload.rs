//! Upgrade and reload under load refuse no connection and fail no session; limits answer 421.

use end_to_end::load::Session;
use end_to_end::tls_sink::{TlsSink, certificate};
use end_to_end::{LONG, Sink, Suite, tls, wait_until};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// Runs sessions of three messages each on four threads while `change` works; gives how many messages were taken.
/// Any refused connection or failed session panics.
fn under_load(suite: &Suite, change: impl FnOnce()) -> usize {
    let port = suite.port;
    let open = || {
        let (mut session, code) = Session::open(port).expect("no connection may be refused");
        assert_eq!(code, 220);
        session.command("EHLO load.example").unwrap();
        session
    };
    under_load_of(open, change)
}

fn under_load_of(open: impl Fn() -> Session + Sync, change: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    let mut session = open();
                    for _ in 0..3 {
                        let (code, text) = session
                            .message("a@sender.example", &["b@sink.example"], b"Subject: x\r\n\r\nx\r\n")
                            .expect("no session may fail");
                        assert_eq!(code, 250, "{text}");
                        taken.fetch_add(1, Relaxed);
                    }
                    session.command("QUIT").unwrap();
                }
            });
        }
        change();
        done.store(true, Relaxed);
    });
    taken.into_inner()
}

fn generation(suite: &Suite) -> u64 {
    suite.json(&["status"])["generation"].as_u64().unwrap()
}

#[test]
fn reload_under_load() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let taken = under_load(&suite, || {
        for round in 1..=5 {
            let before = generation(&suite);
            let text = fs::read_to_string(suite.config()).unwrap();
            fs::write(suite.config(), format!("{text}\n# round {round}\n")).unwrap();
            let output = suite.zpost(&["reload"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            wait_until("the new generation serves", LONG, || generation(&suite) > before);
        }
    });
    wait_until("all arrive", LONG, || sink.headers("Subject").len() == taken);
}

#[test]
fn a_reload_with_a_faulty_configuration_changes_nothing() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), format!("{text}\n[server]\nmax_recipient = 3\n")).unwrap();
    let output = suite.zpost(&["reload"]);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("max_recipient") && errors.contains("max_recipients"), "{errors}");
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    assert!(Session::open(suite.port).is_ok());
}

#[test]
fn upgrade_under_load() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    let pid = suite.master_pid();
    let taken = under_load(&suite, || {
        for _ in 0..3 {
            let before: Vec<_> = suite.pids();
            let output = suite.zpost(&["upgrade"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            wait_until("every process is new", LONG, || {
                let status = suite.zpost(&["status", "--json"]);
                status.status.code() == Some(0) && suite.pids().iter().skip(1).all(|p| !before.contains(p))
            });
        }
    });
    assert_eq!(suite.master_pid(), pid, "the master keeps its process");
    wait_until("all arrive", LONG, || sink.headers("Subject").len() >= taken);
    suite.wait_drained(LONG);
    assert_eq!(sink.headers("Subject").len(), taken, "nothing twice");
}

#[test]
fn connections_past_the_limit_of_one_address_get_421() {
    let suite = Suite::builder().with("[connections]\nper_address = 20\n").start();
    let mut open = Vec::new();
    for _ in 0..20 {
        let (session, code) = Session::open(suite.port).unwrap();
        assert_eq!(code, 220);
        open.push(session);
    }
    let mut refused = 0;
    for _ in 0..100 {
        match Session::open(suite.port) {
            Ok((_, 421)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 100);
    drop(open);
    wait_until("places are free again", LONG, || matches!(Session::open(suite.port), Ok((_, 220))));
    assert!(suite.counter("master", "refused_address") >= 100);
}

#[test]
fn sigterm_lets_a_transaction_finish() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    session.command("MAIL FROM:<a@sender.example>").unwrap();
    session.command("RCPT TO:<b@sink.example>").unwrap();
    assert_eq!(session.command("DATA").unwrap().0, 354);
    let stopper = std::thread::spawn(move || {
        let code = suite.stop();
        (suite, code)
    });
    session.send(b"Subject: x\r\n\r\nx\r\n").unwrap();
    session.send(b".\r\n").unwrap();
    assert_eq!(session.reply().unwrap().0, 250);
    let (mut suite, code) = stopper.join().unwrap();
    assert_eq!(code, Some(0));
    suite.start();
    wait_until("it arrives after the next start", LONG, || sink.headers("Subject").len() == 1);
}

/// A suite with a certificate and a next hop that both speak TLS.
fn secure() -> (Suite, TlsSink) {
    let sink = TlsSink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).prepare();
    let (chain, key) = certificate(suite.folder.path(), "mta.test.example");
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), format!("{text}\n[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display())).unwrap();
    suite.give_away();
    suite.start();
    (suite, sink)
}

/// Sessions inside TLS and their keys live in processes that are replaced, and stay until they end.
#[test]
fn upgrade_and_reload_under_load_inside_tls() {
    let (mut suite, sink) = secure();
    let config = tls::client();
    let port = suite.port;
    // One session lies idle through it all, in the middle of a transaction.
    let mut idle = Session::open_secure(port, &config).unwrap();
    assert_eq!(idle.command("MAIL FROM:<a@sender.example>").unwrap().0, 250);
    let open = || Session::open_secure(port, &config).expect("no session may fail");
    let taken = under_load_of(open, || {
        for round in 0..4 {
            let before: Vec<_> = suite.pids();
            if round % 2 == 0 {
                let output = suite.zpost(&["upgrade"]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            } else {
                // Another certificate each time.
                certificate(suite.folder.path(), "mta.test.example");
                suite.give_away();
                let output = suite.zpost(&["reload"]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            let servers = |all: &[(String, u32)]| -> Vec<u32> { all.iter().filter(|p| p.0 == "smtpserver").map(|p| p.1).collect() };
            let old = servers(&before);
            // The one with the idle session drains for as long as that lasts.
            wait_until("new servers serve", LONG, || servers(&suite.pids()).iter().any(|pid| !old.contains(pid)));
        }
    });
    assert_eq!(idle.command("RCPT TO:<b@sink.example>").unwrap().0, 250);
    assert_eq!(idle.command("DATA").unwrap().0, 354);
    idle.send(b"Subject: x\r\n\r\nx\r\n.\r\n").unwrap();
    assert_eq!(idle.reply().unwrap().0, 250, "the idle session goes on");
    wait_until("all arrive", LONG, || sink.messages() > taken);
    suite.wait_drained(LONG);
    assert_eq!(sink.messages(), taken + 1, "nothing twice");
    assert!(sink.taken().keys().all(|message| message.secure));
    suite.stop();
}

/// Clauses come, change and go while mail flows; each holds from then on, also for what waits.
#[test]
fn clauses_change_under_load() {
    let sink = Sink::start();
    let mut suite = Suite::builder().relaying_to(sink.port).start();
    let plain = fs::read_to_string(suite.config()).unwrap();
    let explained = || suite.json(&["destination", &format!("127.0.0.1:{}", sink.port), "--explain"]);
    let taken = under_load(&suite, || {
        let rounds = [
            ("[queue]\nconcurrency_most = 3\n", "concurrency_most"),
            ("[queue]\nretry_first = \"7s\"\n[[channel]]\nname = \"smtp\"\nconcurrency_most = 2\nage_order = true\n", "age_order"),
            ("[[destination]]\nhost = [\"127.0.0.*\"]\nmessage_rate = \"100000/1s\"\nring_most = 5\n", "message_rate"),
            ("[[destination]]\nhost = [\"127.0.0.*\"]\nsite = \"loop\"\ntls = \"none\"\npriority = 3\n", "site"),
            ("[[destination]]\nhost = [\"127.0.0.*\"]\nqueue_only = true\n", "queue_only"),
            ("", ""),
        ];
        for (clauses, name) in rounds {
            let before = generation(&suite);
            fs::write(suite.config(), format!("{plain}\n{clauses}")).unwrap();
            let output = suite.zpost(&["reload"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            wait_until("the new generation serves", LONG, || generation(&suite) > before);
            // It comes from a line of the file, and not from the defaults.
            wait_until("the scheduler has the clause", LONG, || {
                let document = explained().to_string();
                let entry = document.split('{').find(|entry| entry.contains(&format!("\"key\":\"{name}\"")));
                name.is_empty() || entry.is_some_and(|entry| !entry.contains("\"line\":null"))
            });
        }
    });
    wait_until("all arrive", LONG, || sink.headers("Subject").len() >= taken);
    suite.wait_drained(LONG);
    assert_eq!(sink.headers("Subject").len(), taken, "nothing twice");
    assert_eq!(suite.zpost(&["status"]).status.code(), Some(0));
    assert!(!suite.log().contains("killed by"), "no process died");
    suite.stop();
}
