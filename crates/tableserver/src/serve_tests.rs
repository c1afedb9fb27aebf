//! Reloads while threads hang.

use super::*;
use crate::tests::{Fake, World};
use mio::{Poll, Token};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn settings(timeout: &str) -> Settings {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"t\"\nkind = \"tcp\"\nservers = [\"127.0.0.1:1\"]\nconnections = 2\ntimeout = \"{timeout}\"\n"
    );
    settings::parse(&text, "x").unwrap()
}

/// Comes true, or the test hangs and is ended.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn reloads_against_a_server_that_hangs_do_not_add_threads_without_end() {
    let poll = Poll::new().unwrap();
    let counters = Counters::detached("table-tcp").unwrap();
    let world = Arc::new(World::default());
    let mut server = Server::new("table-tcp", Fake(Arc::clone(&world)), Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
    let now = Instant::now();
    let hang = |server: &mut Server<Fake>| {
        for number in 0..2 {
            let question = Question { asker: Asker::numbered(1), number, key: "wait".into(), deadline: now + Duration::from_secs(600) };
            server.pool("t").unwrap().ask(question, now);
        }
        assert!(server.turn(now).is_empty());
    };
    server.configure(&settings("10m"), &counters);
    hang(&mut server);
    until(|| world.waiting.load(SeqCst) == 2);
    assert!(!server.is_haunted(), "these are the table's own");
    server.configure(&settings("10m"), &counters);
    assert!(!server.is_haunted() && server.pools.len() == 1, "nothing has changed");
    server.configure(&settings("9m"), &counters);
    assert!(!server.is_haunted(), "as many as it may have are left behind");
    hang(&mut server);
    until(|| world.waiting.load(SeqCst) == 4);
    server.configure(&settings("8m"), &counters);
    assert!(server.is_haunted(), "and now more");
    *world.gate.0.lock().unwrap() = true;
    world.gate.1.notify_all();
    until(|| world.waiting.load(SeqCst) == 4 && server.threads_desk.alive.threads() <= 4);
    // Their answers end the pools, and with them the threads.
    let mut answers = 0;
    while answers < 4 {
        answers += server.turn(Instant::now()).len();
    }
    until(|| server.threads_desk.alive.threads() == 0);
    assert!(!server.is_haunted());
}
