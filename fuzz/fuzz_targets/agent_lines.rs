//! Any bytes from an agent of somebody else's: only results for what it was given, each once.
#![no_main]

use envelope::BodyType;
use ipc::agents::{Job, JobRecipient};
use jobline::{Dialogue, Event};
use libfuzzer_sys::fuzz_target;

fn job(number: u64, recipients: u32) -> Job {
    let recipient = |index| JobRecipient {
        index,
        user: format!("user{index}@agent.example"),
        attributes: "-".to_owned(),
        original: None,
        via: None,
        dsn: Default::default(),
        failure: None,
    };
    Job {
        number,
        message: "S1".to_owned(),
        channel: "agent".to_owned(),
        host: "-".to_owned(),
        sender: String::new(),
        verp: false,
        edits: envelope::Edits::default(),
        body_offset: 0,
        size: 10,
        arrived: 1,
        bodytype: BodyType::SevenBit,
        smtputf8: false,
        envid: None,
        ret: None,
        terms: Default::default(),
        sharing: Default::default(),
        recipients: (0..recipients).map(recipient).collect(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut dialogue = Dialogue::default();
    dialogue.give(&job(1, 3), 0, 1);
    dialogue.give(&job(2, 1), 0, 2);
    let mut events = Vec::new();
    let kept = dialogue.hear(bytes, &mut events).is_ok();
    let mut answered = Vec::new();
    for event in events {
        match event {
            Event::Register(_) => {}
            Event::Hungry(jobs) => assert!((1..=1000).contains(&jobs)),
            Event::Results { report, .. } => {
                for result in &report.results {
                    assert!(!result.text.chars().any(char::is_control) && !result.remote.chars().any(char::is_control));
                    answered.push((report.job, result.index));
                }
            }
        }
    }
    let open: Vec<(u64, u32)> =
        dialogue.abandon().into_iter().flat_map(|(job, open)| open.into_iter().map(move |index| (job, index))).collect();
    let mut all = [answered, open].concat();
    all.sort_unstable();
    assert!(!kept || all == [(1, 0), (1, 1), (1, 2), (2, 0)], "{all:?}");
});
