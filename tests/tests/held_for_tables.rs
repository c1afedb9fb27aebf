//! Mail that waits for a table goes on when the table answers: by itself, soon, and without a storm.

use end_to_end::{LONG, Suite, files, free_port, wait_until};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Instant;

/// Intervals so long that nothing goes by them while a test runs.
const NEVER: &str = "[queue]\nretry_first = \"1h\"\nretry_longest = \"4h\"\n";

/// Aliases in a tcp table at this port.
fn suite(port: u16, more: &str) -> Suite {
    let builder = Suite::builder();
    let mail = builder.folder().join("mail/%u").display().to_string();
    builder
        .with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{mail}\"\nusers = \"any\"\naliases = [\"people\"]\n\
             [[table]]\nname = \"people\"\nkind = \"tcp\"\nservers = [\"127.0.0.1:{port}\"]\ntimeout = \"5s\"\nttl = 0\nnegative_ttl = 0\n{NEVER}{more}"
        ))
        .start()
}

/// A server that stands `team` for tim, and knows nobody else.
fn serve(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    let reply: &[u8] = if line == "get team" { b"200 tim@local.example\n" } else { b"500 none\n" };
                    if (&stream).write_all(reply).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn drop_file(suite: &Suite, name: &str, to: &str) {
    let text = format!("from <anna@local.example>\nto <{to}>\nenv-end\nSubject: x\n\nbody\n");
    fs::write(suite.postoffice("public").join(name), text).unwrap();
    fs::rename(suite.postoffice("public").join(name), suite.postoffice("router").join(name)).unwrap();
}

fn delivered(suite: &Suite, user: &str) -> usize {
    files(&suite.path(&format!("mail/{user}/new"))).len()
}

fn held(suite: &Suite) -> usize {
    suite.json(&["queue", "--channel", "hold"]).as_array().map_or(0, Vec::len)
}

#[test]
fn it_goes_on_by_itself_and_one_question_speaks_for_all() {
    const MESSAGES: usize = 60;
    let port = free_port();
    let suite = suite(port, "[routing]\ntable_probe = \"2s\"\n");
    for n in 0..MESSAGES {
        drop_file(&suite, &format!("m{n}"), "team@local.example");
    }
    wait_until("all are held", LONG, || held(&suite) == MESSAGES);
    let queue = suite.json(&["queue"]).to_string();
    assert!(queue.contains("table:people/"), "what they wait for: {queue}");
    wait_until("it is known that the table is away", LONG, || suite.log().contains("destination_dead"));
    let probes = || suite.counter("ta-hold", "waiting");
    let (before, began) = (probes(), Instant::now());
    wait_until("the table is asked", LONG, || probes() >= before + 3);
    let attempts: u64 = suite.json(&["queue"]).as_array().unwrap().iter().map(|m| m["recipients"][0]["attempts"].as_u64().unwrap()).sum();
    // One look for all, each two seconds; where each message looked for itself it were thirty a second.
    let (asked, seconds) = (probes() - before, began.elapsed().as_secs());
    assert!(asked <= seconds + 10, "{asked} in {seconds} s");
    assert!(attempts <= before + asked, "{attempts} attempts, {before} and {asked} looks");
    assert_eq!(delivered(&suite, "tim") + delivered(&suite, "team") + delivered(&suite, "anna"), 0, "no other way, no report");
    serve(port);
    wait_until("all have gone on", LONG, || delivered(&suite, "tim") == MESSAGES);
    suite.wait_drained(LONG);
    assert_eq!((delivered(&suite, "team"), delivered(&suite, "anna"), held(&suite)), (0, 0, 0));
}

/// The administrator need not wait for the next look.
#[test]
fn the_administrator_makes_it_go_at_once() {
    let port = free_port();
    let suite = suite(port, "[routing]\ntable_probe = \"1h\"\n");
    drop_file(&suite, "one", "team@local.example");
    wait_until("it is held", LONG, || held(&suite) == 1 && suite.counter("ta-hold", "waiting") >= 1);
    drop_file(&suite, "two", "bob@local.example");
    wait_until("the other too", LONG, || held(&suite) == 2);
    assert!(suite.zpost(&["retry", "--channel", "hold"]).status.success());
    wait_until("both have been tried", LONG, || suite.counter("ta-hold", "waiting") >= 3);
    assert_eq!((delivered(&suite, "tim"), held(&suite)), (0, 2), "the table is away still");
    serve(port);
    // More than once: for a moment after a failure nobody asks the server.
    wait_until("one is routed again", LONG, || {
        suite.zpost(&["reroute", "--recipient", "bob@local.example"]);
        delivered(&suite, "bob") == 1
    });
    assert_eq!((delivered(&suite, "tim"), held(&suite)), (0, 1));
    wait_until("the other is tried", LONG, || {
        suite.zpost(&["retry", "--channel", "hold"]);
        delivered(&suite, "tim") == 1
    });
    suite.wait_drained(LONG);
}

/// A sender whose canonical form is in the table holds his message as a recipient would.
#[test]
fn the_forms_of_senders_are_waited_for_too() {
    let port = free_port();
    let suite = suite(port, "[routing]\ntable_probe = \"1s\"\nsender_canonical = [\"people\"]\n");
    drop_file(&suite, "one", "joe@elsewhere.example");
    wait_until("it is held", LONG, || held(&suite) == 1);
    assert!(files(&suite.postoffice("router")).is_empty());
    serve(port);
    wait_until("it has been routed again", LONG, || suite.log().contains("resubmitted") && held(&suite) == 0);
}
