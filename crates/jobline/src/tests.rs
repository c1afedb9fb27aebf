#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use ipc::agents::JobRecipient;
use proptest::prelude::*;

fn job(number: u64, recipients: &[u32]) -> Job {
    let recipient = |index: &u32| JobRecipient {
        index: *index,
        user: "a\"\\\u{1}@x.example".into(),
        attributes: "-".into(),
        original: Some("o@x.example".into()),
        via: None,
        dsn: Default::default(),
        failure: None,
    };
    Job {
        number,
        message: "0123456789abcdef".into(),
        channel: "sms".into(),
        host: "-".into(),
        sender: "s@x.example".into(),
        verp: false,
        edits: envelope::Edits::default(),
        body_offset: 9,
        size: 100,
        arrived: 5000,
        bodytype: BodyType::EightBit,
        smtputf8: false,
        envid: None,
        ret: None,
        terms: Default::default(),
        sharing: Default::default(),
        recipients: recipients.iter().map(recipient).collect(),
    }
}
use envelope::BodyType;

fn hear(dialogue: &mut Dialogue, text: &str) -> Result<Vec<Event>, Fault> {
    let mut events = Vec::new();
    dialogue.hear(text.as_bytes(), &mut events).map(|()| events)
}

#[test]
fn a_job_is_one_line_and_its_results_end_it() {
    let mut dialogue = Dialogue::default();
    let line = dialogue.give(&job(7, &[30, 90]), 0, 1000);
    assert_eq!(line.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&value["job"], &value["recipients"][1]["recipient"], &value["arrived"]), (&7.into(), &90.into(), &5.into()));
    assert_eq!(value["recipients"][0]["address"], "a\"\\\u{1}@x.example");
    assert_eq!((dialogue.held(), dialogue.deadline()), (1, Some(1000)));
    let events = hear(&mut dialogue, "# a note\n\n{\"hungry\": 2}\n{\"result\":7,\"recipient\":90,\"outcome\":\"failed\",\"status\":\"5.1.1\",\"text\":\"no\\nsuch\"}\n{\"res").unwrap();
    assert!(matches!(events[0], Event::Hungry(2)));
    let Event::Results { report, over: false } = &events[1] else { panic!("{events:?}") };
    assert_eq!((report.job, report.results[0].index, report.results[0].text.as_str()), (7, 90, "no?such"));
    let events = hear(&mut dialogue, "ult\":7,\"outcome\":\"deferred\",\"retry_after\":60}\n").unwrap();
    let Event::Results { report, over: true } = &events[0] else { panic!("{events:?}") };
    assert_eq!((report.results[0].index, report.results[0].retry_after, report.results.len()), (30, Some(60), 1));
    assert_eq!((dialogue.held(), dialogue.deadline()), (0, None));
}

#[test]
fn what_an_agent_must_not_say() {
    for line in [
        "rubbish",
        "{}",
        "[1]",
        "{\"hungry\":0}",
        "{\"hungry\":1000000}",
        "{\"hungry\":-1}",
        "{\"hungry\":1,\"result\":7}",
        "{\"evil\":1}",
        "{\"result\":8,\"outcome\":\"delivered\"}",
        "{\"result\":7,\"recipient\":31,\"outcome\":\"delivered\"}",
        "{\"result\":7,\"outcome\":\"lost\"}",
        "{\"result\":7}",
        "{\"result\":7,\"outcome\":\"delivered\",\"status\":\"5.0.0\"}",
        "{\"result\":7,\"outcome\":\"delivered\",\"status\":\"x\"}",
        &"x".repeat(MAX_LINE + 1),
    ] {
        let mut dialogue = Dialogue::default();
        dialogue.give(&job(7, &[30, 90]), 0, 0);
        assert!(hear(&mut dialogue, &format!("{line}\n")).is_err(), "{line}");
        assert_eq!(dialogue.abandon(), vec![(7, vec![30, 90])]);
    }
    let mut dialogue = Dialogue::default();
    dialogue.give(&job(7, &[30, 90]), 0, 0);
    let twice = "{\"result\":7,\"recipient\":30,\"outcome\":\"delivered\"}\n";
    assert!(hear(&mut dialogue, twice).is_ok() && hear(&mut dialogue, twice).is_err());
    // A line that never ends is found before its end.
    assert!(hear(&mut Dialogue::default(), &"y".repeat(MAX_LINE + 1)).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..10)) {
        let mut dialogue = Dialogue::default();
        dialogue.give(&job(7, &[1]), 0, 0);
        let mut events = Vec::new();
        for piece in pieces {
            let _ = dialogue.hear(&piece, &mut events);
        }
    }
    #[test]
    fn results_hold_printable_bounded_texts(text in "\\PC{0,900}|[\\x00-\\x20é]{0,900}") {
        let mut dialogue = Dialogue::default();
        dialogue.give(&job(7, &[1]), 0, 0);
        let line = serde_json::json!({"result": 7, "outcome": "delivered", "text": text, "remote": text}).to_string();
        if let Ok(Some(Event::Results { report, .. })) = dialogue.line(line.as_bytes()) {
            for said in [&report.results[0].text, &report.results[0].remote] {
                prop_assert!(said.len() <= TEXT && !said.chars().any(char::is_control));
            }
        }
    }
}
