//! What happens when more is wanted than the routers can do: counts, never times.

use crate::bench::{Bench, RouterEnd, answer, ask, done, files, refused, soon};
use ipc::Channel;
use ipc::master::ToMaster;
use ipc::routing::{Answer, Ask, FromRouter, Question, ToRouter, ToRoutermux, Told};
use status::{Enhanced, Reply};

type Session = Channel<ToRoutermux, Told>;

/// Questions that one router has in hand: they are on their way before anything newer.
const IN_HAND: usize = 32;

fn verify(address: String) -> Question {
    Question::Verify { address, sender: String::new() }
}

fn put(session: &mut Session, number: u64, address: String) {
    session.send(&ToRoutermux::Ask(Ask { number, question: verify(address) })).unwrap();
}

fn tell(router: &mut RouterEnd, number: u64, answer: Answer) {
    router.send(&FromRouter::Told(Told { number, answer })).unwrap();
}

/// The answers that have come; each busy session asks again for each.
fn busy_on(sessions: &mut [Session], asked: &mut u64) -> usize {
    let mut heard = 0;
    for (who, session) in sessions.iter_mut().enumerate() {
        // What a full socket did not take.
        session.flush().unwrap();
        while let Some((told, _)) = session.recv().unwrap() {
            assert_eq!(refused(&told), 250);
            heard += 1;
            *asked += 1;
            put(session, *asked, format!("{asked}@busy{who}"));
        }
    }
    heard
}

#[test]
fn a_quiet_session_is_answered_within_a_few_answers_to_busy_ones() {
    let mut bench = Bench::new();
    let mut router = bench.router(0);
    let mut busy: Vec<Session> = (0..3).map(|_| bench.caller.call().unwrap()).collect();
    let mut quiet: Session = bench.caller.call().unwrap();
    let mut asked = 0;
    for (who, session) in busy.iter_mut().enumerate() {
        for _ in 0..900 {
            asked += 1;
            put(session, asked, format!("{asked}@busy{who}"));
        }
    }
    let (mut round, mut worst, mut answered) = (0, 0, 0);
    while round < 25 {
        // Some answers to the busy ones, then a question of the quiet one.
        for _ in 0..40 {
            let told = ask(&mut router);
            tell(&mut router, told.number, answer());
            answered += busy_on(&mut busy, &mut asked);
        }
        put(&mut quiet, round, format!("{round}@quiet"));
        let mut waited = 0;
        loop {
            let told = ask(&mut router);
            tell(&mut router, told.number, answer());
            if matches!(&told.question, Question::Verify { address, .. } if address.ends_with("@quiet")) {
                break;
            }
            waited += 1;
            answered += busy_on(&mut busy, &mut asked);
        }
        assert_eq!(quiet.recv_by(soon()).unwrap().0.number, round);
        worst = worst.max(waited);
        round += 1;
    }
    // What is on its way to the router already, twice (once more while the loop reads the question), and a turn of each.
    assert!(worst <= 2 * IN_HAND + 4, "{worst}");
    assert!(answered > 25 * 40);
}

#[test]
fn files_flow_under_a_flood_of_questions_and_questions_under_a_flood_of_files() {
    let mut bench = Bench::new();
    let mut router = bench.router(0);
    let mut busy: Vec<Session> = vec![bench.caller.call().unwrap()];
    let mut asked = 0;
    for _ in 0..900 {
        asked += 1;
        put(&mut busy[0], asked, format!("{asked}@busy"));
    }
    let mut given = 0;
    let mut offer = |bench: &Bench, number: usize| {
        for _ in 0..number {
            given += 1;
            bench.notice(&format!("NEW file{given}"));
        }
    };
    offer(&bench, 8);
    let (mut questions, mut batches, mut longest_questions, mut longest_files, mut since_file, mut since_question) = (0, 0, 0, 0, 0, 0);
    while questions < 2000 || batches < 200 {
        match router.recv_by(soon()).unwrap().0 {
            ToRouter::Ask(ask) => {
                tell(&mut router, ask.number, answer());
                (questions, since_file, since_question) = (questions + 1, since_file + 1, 0);
                longest_questions = longest_questions.max(since_file);
                // Never without files to route nor questions to answer.
                busy_on(&mut busy, &mut asked);
                if bench.counter("waiting_now") < 8 && questions % 4 == 0 {
                    offer(&bench, 4);
                }
            }
            ToRouter::Files(names) => {
                done(&mut router, names);
                (batches, since_question, since_file) = (batches + 1, since_question + 1, 0);
                longest_files = longest_files.max(since_question);
                busy_on(&mut busy, &mut asked);
                offer(&bench, 4);
            }
        }
    }
    // The test's own thread may let the other run dry for a while: the bounds have room for that.
    assert!(longest_questions <= 400, "{longest_questions} questions without a file");
    assert!(longest_files <= 40, "{longest_files} batches without a question");
}

#[test]
fn an_answer_is_given_again_but_never_a_temporary_one() {
    let mut bench = Bench::of("[routing]\nanswer_ttl = \"1h\"\n", &[]);
    let mut router = bench.router(0);
    let mut sessions: Vec<Session> = (0..3).map(|_| bench.caller.call().unwrap()).collect();
    let mut asked = 0;
    let mut ask_all = |bench: &mut Bench, address: &str, answer: Answer| {
        for session in &mut sessions {
            put(session, 7, address.to_owned());
        }
        asked += 3;
        bench.wait_for("questions", asked);
        let first = ask(&mut router);
        tell(&mut router, first.number, answer);
        for session in &mut sessions {
            assert_eq!(session.recv_by(soon()).unwrap().0.number, 7);
        }
        // Once more: from memory, or of the router again.
        put(&mut sessions[0], 8, address.to_owned());
        let again = loop {
            if let Some((told, _)) = sessions[0].recv().unwrap() {
                break refused(&told);
            }
            if let Some((ToRouter::Ask(ask), _)) = router.recv().unwrap() {
                tell(
                    &mut router,
                    ask.number,
                    Answer::Refused { reply: Reply::new(450, Enhanced::transient(3, 0), "again"), steps: Vec::new() },
                );
            }
            std::thread::yield_now();
        };
        asked += 1;
        again
    };
    let refusal = |code| Answer::Refused { reply: Reply::new(code, Enhanced::permanent(1, 1), "no"), steps: Vec::new() };
    assert_eq!(ask_all(&mut bench, "good@x", answer()), 250);
    assert_eq!(ask_all(&mut bench, "bad@x", refusal(550)), 550);
    assert_eq!(ask_all(&mut bench, "later@x", refusal(451)), 450, "asked anew");
    assert_eq!(bench.counter("answered_again"), 2);
}

#[test]
fn a_file_that_silences_two_routers_is_set_aside_while_others_flow() {
    let mut bench = Bench::of("router_silence = \"1s\"\n", &["hangs"]);
    for death in 0..2 {
        let mut silent = bench.router(0);
        assert_eq!(files(&mut silent), ["hangs"]);
        let mut other = bench.router(1);
        bench.notice(&format!("NEW flows{death}"));
        assert_eq!(files(&mut other), [format!("flows{death}")]);
        done(&mut other, vec![format!("flows{death}")]);
        assert!(matches!(bench.master.recv_by(soon()).unwrap().0, ToMaster::Unresponsive { pid: 1 }));
        // This is what the master does to it.
        drop((other, silent));
    }
    bench.wait_for("set_aside", 1);
    assert!(bench.folder.path().join("deferred/hangs").exists());
}

#[test]
fn a_router_that_says_what_it_is_at_is_not_silent() {
    let mut bench = Bench::of("router_silence = \"3s\"\n", &["long"]);
    let mut router = bench.router(0);
    assert_eq!(files(&mut router), ["long"]);
    for _ in 0..8 {
        std::thread::sleep(std::time::Duration::from_millis(500));
        router.send(&FromRouter::Begun("long".into())).unwrap();
    }
    assert!(bench.master.recv().unwrap().is_none());
    done(&mut router, vec!["long".to_owned()]);
}

#[test]
fn a_busy_backlog_goes_by_lanes() {
    let mut bench = Bench::of("[[lane]]\nname = \"large\"\nmin_size = 1000\nshare = 1\n", &[]);
    // The scan at the start must not find some of them before their notices come.
    bench.wait_for("scans", 1);
    let folder = bench.folder.path().join("router");
    for n in 0..400 {
        let (name, size) = if n < 200 { (format!("a-large{n:03}"), 2000) } else { (format!("b-small{n:03}"), 10) };
        std::fs::write(folder.join(&name), vec![b'x'; size]).unwrap();
        bench.notice(&format!("NEW {name}"));
    }
    // What is not looked at yet has no lane to come by.
    bench.wait_for("sorted_now", 400);
    let mut router = bench.router(0);
    let mut order = Vec::new();
    while order.len() < 400 {
        let names = files(&mut router);
        order.extend(names.clone());
        done(&mut router, names);
    }
    // The first hundreds were all large: 10 small ones go for each of them.
    let last_small = order.iter().rposition(|name| name.starts_with('b')).unwrap();
    let large_before = order.iter().take(last_small).filter(|name| name.starts_with('a')).count();
    assert!(large_before <= 30, "{large_before} large ones before the last small one");
    let of_lane = |c: char| order.iter().filter(|name| name.starts_with(c)).cloned().collect::<Vec<_>>();
    assert!(of_lane('a').is_sorted() && of_lane('b').is_sorted());
}
