//! What questions cost: `cargo test --release -p routermux --lib measure -- --ignored --nocapture`.

use crate::bench::{Bench, answer};
use ipc::Channel;
use ipc::routing::{Ask, FromRouter, Question, ToRouter, ToRoutermux, Told};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::time::{Duration, Instant};

const CALLERS: u64 = 4;
/// Questions that one caller has open, as a worker with so many sessions has.
const OPEN: u64 = 64;
const EACH: u64 = 250_000;
/// Addresses that are asked about.
const ADDRESSES: u64 = 500;

/// Microseconds of processor time of the whole process, callers included.
fn busy() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

fn caller(mut session: Channel<ToRoutermux, Told>) {
    let put = |session: &mut Channel<ToRoutermux, Told>, number: u64| {
        let question = Question::Verify { address: format!("user{}@local.example", number % ADDRESSES), sender: "a@b.example".into() };
        session.send(&ToRoutermux::Ask(Ask { number, question })).unwrap();
    };
    for number in 0..OPEN {
        put(&mut session, number);
    }
    for number in OPEN..EACH + OPEN {
        session.recv_by(Instant::now() + Duration::from_secs(60)).unwrap();
        if number < EACH {
            put(&mut session, number);
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn measure_answers_given_again() {
    let bench = &mut Bench::of("[routing]\nanswer_ttl = \"1h\"\n", &[]);
    let mut router = bench.router(0);
    let sessions: Vec<_> = (0..CALLERS).map(|_| bench.caller.call().unwrap()).collect();
    let routing = std::thread::spawn(move || {
        let mut asked = 0;
        while let Ok((ToRouter::Ask(ask), _)) = router.recv_by(Instant::now() + Duration::from_secs(5)) {
            asked += 1;
            router.send(&FromRouter::Told(Told { number: ask.number, answer: answer() })).unwrap();
        }
        asked
    });
    let (start, before) = (Instant::now(), busy());
    let callers: Vec<_> = sessions.into_iter().map(|session| std::thread::spawn(move || caller(session))).collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let (time, busy) = (start.elapsed(), busy() - before);
    let questions = CALLERS * EACH;
    let asked: u64 = routing.join().unwrap();
    println!(
        "{questions} questions in {time:.2?}: {:.0} a second; {:.2} us of processor time each, callers included; {asked} put to the router",
        questions as f64 / time.as_secs_f64(),
        busy as f64 / questions as f64
    );
    assert!(asked < 20 * ADDRESSES);
}
