//! What a server takes: domains of one exchanger share its connections, a server that cuts connections off is given as many
//! as it takes, and a dead one is probed while everything else flows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, free_port, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A server that takes so many connections at a time, and says 421 to the others.
#[derive(Debug, Default)]
struct Counts {
    open: AtomicU32,
    most: AtomicU32,
    connections: AtomicU32,
    refused: AtomicU32,
    messages: AtomicU32,
}

fn serve(room: u32) -> (u16, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let counts = Arc::new(Counts::default());
    let seen = Arc::clone(&counts);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let counts = Arc::clone(&seen);
            let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
            if open > room {
                counts.open.fetch_sub(1, Ordering::SeqCst);
                counts.refused.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"421 4.7.0 mx.test too many connections\r\n");
                continue;
            }
            counts.connections.fetch_add(1, Ordering::SeqCst);
            counts.most.fetch_max(open, Ordering::SeqCst);
            std::thread::spawn(move || {
                let _ = session(stream, &counts);
                counts.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, counts)
}

fn session(stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 mx.test\r\n")?;
    while let Some(line) = lines.next() {
        let line = line?.to_ascii_uppercase();
        if line.starts_with("EHLO") {
            out.write_all(b"250-mx.test\r\n250 SIZE 1000000\r\n")?;
        } else if line == "DATA" {
            out.write_all(b"354 go\r\n")?;
            while lines.next().transpose()?.is_some_and(|line| line != ".") {}
            // So that there is something to do at once.
            std::thread::sleep(Duration::from_millis(5));
            counts.messages.fetch_add(1, Ordering::SeqCst);
            out.write_all(b"250 2.0.0 taken\r\n")?;
        } else if line == "QUIT" {
            return out.write_all(b"221 bye\r\n");
        } else {
            out.write_all(b"250 ok\r\n")?;
        }
    }
    Ok(())
}

fn submit(suite: &Suite, recipients: &[&str]) {
    let (mut session, code) = Session::open(suite.port).unwrap();
    assert_eq!(code, 220);
    session.command("EHLO test.example").unwrap();
    let (code, text) = session.message("sender@test.example", recipients, b"Subject: x\r\n\r\nbody\r\n").unwrap();
    assert_eq!(code, 250, "{text}");
}

#[test]
fn two_hundred_domains_of_one_mx_host_share_its_connections() {
    let (port, counts) = serve(1000);
    let dns = NameServer::start(|name| match name {
        "mx.big.example" => Some(vec![Record::A(Ipv4Addr::LOCALHOST)]),
        name if name.ends_with(".hosted.example") => Some(vec![Record::Mx(10, "mx.big.example".into())]),
        _ => None,
    });
    let configuration = format!(
        "[dns]\nservers = [\"127.0.0.1:{}\"]\n[client]\nport = {port}\n[[channel]]\nname = \"smtp\"\nconcurrency_most = 4\n",
        dns.port
    );
    let mut suite = Suite::builder().with(&configuration).start();
    let addresses: Vec<String> = (0..200).map(|n| format!("u@d{n}.hosted.example")).collect();
    let recipients: Vec<&str> = addresses.iter().map(String::as_str).collect();
    for _ in 0..3 {
        recipients.chunks(50).for_each(|some| submit(&suite, some));
    }
    wait_until("600 messages arrive", LONG, || counts.messages.load(Ordering::SeqCst) == 600);
    let (most, connections) = (counts.most.load(Ordering::SeqCst), counts.connections.load(Ordering::SeqCst));
    println!("600 messages for 200 domains over {connections} connections, at most {most} at once");
    assert!(most <= 4, "{most}");
    assert!(connections <= 60, "{connections}");
    let document = suite.json(&["destination", "d7.hosted.example", "--explain"]);
    let at = |path: &str| document.pointer(path).cloned().unwrap();
    assert_eq!(at("/destinations/0/exchangers"), serde_json::json!(["mx.big.example"]));
    assert_eq!((at("/destinations/0/site/kind"), at("/destinations/0/site/members")), ("exchangers".into(), 200.into()));
    assert_eq!(at("/destinations/0/site/window"), 4);
    let values = at("/policies/0/values");
    let most = values.as_array().unwrap().iter().find(|value| value["key"] == "concurrency_most").unwrap();
    assert_eq!((&most["value"], &most["section"]), (&"4".into(), &"channel".into()));
    let people = suite.zpost(&["destination", "d7.hosted.example"]);
    assert!(String::from_utf8_lossy(&people.stdout).contains("mx.big.example (exchangers), of 200 destinations"));
    suite.stop();
}

#[test]
fn a_server_that_cuts_at_five_connections_defers_few_and_that_is_remembered() {
    const MESSAGES: u32 = 2000;
    let (port, counts) = serve(5);
    let mut suite = Suite::builder().relaying_to(port).with("[queue]\nretry_first = \"2s\"\nconcurrency_first = 10\n").start();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let (mut session, _) = Session::open(suite.port).unwrap();
                session.command("EHLO test.example").unwrap();
                for n in 0..MESSAGES / 10 {
                    let to = format!("u{n}@a.example");
                    let (code, text) = session.message("sender@test.example", &[&to], b"Subject: x\r\n\r\nbody\r\n").unwrap();
                    assert_eq!(code, 250, "{text}");
                }
            });
        }
    });
    wait_until("all arrive", LONG, || counts.messages.load(Ordering::SeqCst) == MESSAGES);
    suite.wait_drained(LONG);
    let deferred = suite.counter("scheduler", "deferred");
    let refused = counts.refused.load(Ordering::SeqCst);
    println!("421 beyond 5 connections: {deferred} of {MESSAGES} deferred ({refused} connections refused)");
    assert!(refused > 0, "the server was never tried");
    assert!(deferred < u64::from(MESSAGES / 10), "{deferred}");
    assert!(counts.most.load(Ordering::SeqCst) <= 5);
    let host = format!("127.0.0.1:{port}");
    let ceiling = |suite: &Suite| suite.json(&["destination", &host]).pointer("/destinations/0/site/ceiling").cloned();
    let learned = ceiling(&suite).unwrap();
    assert!((1..=5).contains(&learned.as_u64().unwrap()), "{learned}");
    // The next scheduler knows it from its first job on.
    assert_eq!(suite.stop(), Some(0));
    let before = counts.refused.load(Ordering::SeqCst);
    suite.start();
    for _ in 0..10 {
        submit(&suite, &["u@a.example", "v@a.example"]);
    }
    wait_until("all arrive", LONG, || counts.messages.load(Ordering::SeqCst) == MESSAGES + 10);
    suite.wait_drained(LONG);
    assert_eq!((counts.refused.load(Ordering::SeqCst), ceiling(&suite)), (before, Some(learned)));
    suite.stop();
}

#[test]
fn a_dead_destination_is_probed_by_one_and_everything_else_flows() {
    let (sink, closed) = (Sink::start(), free_port());
    let routes = format!(
        "[[route]]\ndomain = \"dead.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{closed}\"\n\
         [[channel]]\nname = \"smtp\"\nrecipients_per_job = 1\nretry_first = \"1m\"\n"
    );
    let mut suite = Suite::builder().with(&routes).relaying_to(sink.port).start();
    let dead: Vec<String> = (0..100).map(|n| format!("u{n}@dead.example")).collect();
    let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
    (0..10).for_each(|_| submit(&suite, &dead));
    let host = format!("127.0.0.1:{closed}");
    let state = |suite: &Suite, path: &str| suite.json(&["destination", &host]).pointer(path).cloned().unwrap_or_default();
    wait_until("it is dead", LONG, || state(&suite, "/destinations/0/site/dead") == true);
    for _ in 0..100 {
        submit(&suite, &["alive@b.example"]);
    }
    wait_until("the others arrive", LONG, || sink.messages().len() == 100);
    // A thousand jobs wait, and a handful was tried: those that found out, and probes a minute apart.
    assert_eq!(state(&suite, "/destinations/0/site/window"), 1);
    let tried = suite.counter("ta-smtp", "connect_failures");
    assert!((3..=10).contains(&tried), "{tried}");
    let waiting = ["queued", "deferred"].map(|word| state(&suite, &format!("/destinations/0/{word}")).as_u64().unwrap());
    assert_eq!(waiting.iter().sum::<u64>(), 1000);
    // Asking probes once, now.
    assert!(suite.zpost(&["retry", "--host", &host]).status.success());
    wait_until("a probe", LONG, || suite.counter("ta-smtp", "connect_failures") > tried);
    suite.kill();
}
