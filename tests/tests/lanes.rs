//! Lanes in the running suite: what is in a low one keeps nothing else waiting.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BULK: usize = 300;

fn send(suite: &Suite, session: &mut Session, to: &str, header: &str) {
    let (code, text) = session.message("anna@sender.example", &[to], format!("{header}Subject: x\r\n\r\nbody\r\n").as_bytes()).unwrap();
    assert_eq!(code, 250, "{text}\n{}", suite.log());
}

/// The routers stand still while a backlog of bulk mail comes, then one other message; it is routed long before the bulk.
#[test]
fn a_message_that_comes_behind_much_bulk_is_routed_before_most_of_it() {
    let suite = Suite::builder()
        .with("[[lane]]\nname = \"bulk\"\nprecedence = [\"bulk\", \"list\"]\nshare = 1\n[[route]]\ndomain = \"*\"\nchannel = \"hold\"\nhost = \"admin\"\n")
        .with("[processes]\nrouters = 2\nrouter_silence = \"10m\"\n")
        .start();
    let routers: Vec<Pid> =
        suite.pids().into_iter().filter(|(name, _)| name == "router").map(|(_, pid)| Pid::from_raw(i32::try_from(pid).unwrap())).collect();
    assert_eq!(routers.len(), 2);
    routers.iter().for_each(|pid| kill(*pid, Signal::SIGSTOP).unwrap());
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO me.example").unwrap();
    for n in 0..BULK {
        send(&suite, &mut session, &format!("bulk{n}@far.example"), "Precedence: bulk\r\n");
    }
    send(&suite, &mut session, "quick@far.example", "");
    // What the routers have in hand already is two frames each.
    wait_until("the rest waits", LONG, || suite.counter("routermux", "waiting_now") > BULK as u64 / 2);
    wait_until("its lanes are told", LONG, || suite.log().lines().any(|line| line.contains(" lanes ") && line.contains("bulk=")));
    routers.iter().for_each(|pid| kill(*pid, Signal::SIGCONT).unwrap());
    wait_until("all are routed", LONG, || suite.json(&["queue", "--channel", "hold"]).as_array().unwrap().len() == BULK + 1);
    let log = suite.log();
    let id = suite.json(&["queue", "--recipient", "quick@far.example"])[0]["id"].as_str().unwrap().to_owned();
    let routed: Vec<&str> = log.lines().filter(|line| line.contains(" routed ")).collect();
    let place = routed.iter().position(|line| line.contains(&id)).unwrap();
    assert_eq!(routed.len(), BULK + 1);
    assert!(place < BULK / 2, "the last to come was number {place} of {}", routed.len());
}
