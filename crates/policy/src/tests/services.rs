//! At which states policy services are asked, and what their answers do there.

use super::*;
use crate::Cause;

const RULES: &str = "[[policy_service]]\nname = \"all\"\nserver = \"127.0.0.1:1\"\n\
    states = [\"connect\", \"helo\", \"mail\", \"rcpt\", \"data\", \"end-of-message\"]\n\
    [[policy_service]]\nname = \"one\"\nserver = \"127.0.0.1:1\"\n\
    [[access]]\nclient = [\"198.51.100.0/24\"]\npolicy_services = [\"all\", \"one\"]\n\
    [[access]]\nrecipient = [\"own@local.example\"]\npolicy_services = [\"one\"]\n";

/// What was said of the session: state, size, recipients and their number, sender.
fn told(query: &Query) -> Option<String> {
    let Query::Delegate { service, attributes } = query else { return None };
    let of = |name: &str| attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let said = ["protocol_state", "sender", "recipient", "recipient_count", "size", "queue_id"].map(of).join("|");
    Some(format!("{service}|{said}"))
}

/// All layers of a message to two recipients; what each service was told, and the client with what it answered.
fn run(policy: &Policy, answer: &'static str, state: &'static str) -> (Vec<String>, Vec<String>, Vec<Cause>, crate::End) {
    let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = std::rc::Rc::clone(&asked);
    let mut client = Client::new(policy, move |query| {
        let Some(said) = told(query) else { return kind(query) };
        let here = said.split('|').nth(1) == Some(state);
        seen.borrow_mut().push(said);
        if here { Answer::Action(Ok(answer.into())) } else { kind(query) }
    });
    client.size = 100;
    let mut replies = vec![say(&client.connect()), say(&client.at("helo")), say(&client.mail("s@sender.example"))];
    replies.extend([say(&client.rcpt("u@local.example")), say(&client.rcpt("own@local.example"))]);
    replies.extend([say(&client.at("data")), say(&client.at("end"))]);
    let log = client.session.take_log();
    (asked.take(), replies, log, client.end())
}

#[test]
fn each_service_at_its_states() {
    let policy = policy(RULES);
    let (asked, replies, ..) = run(&policy, "DUNNO", "");
    let expected = [
        "all|CONNECT|||0|0|",
        "all|EHLO|||0|0|",
        "all|MAIL|s@sender.example||0|100|",
        "all|RCPT|s@sender.example|u@local.example|0|100|",
        "one|RCPT|s@sender.example|u@local.example|0|100|",
        "one|RCPT|s@sender.example|own@local.example|0|100|",
        "all|DATA|s@sender.example||2|100|",
        "all|END-OF-MESSAGE|s@sender.example||2|4321|ID",
    ];
    assert_eq!((asked, replies), (expected.map(str::to_owned).to_vec(), vec!["ok".to_owned(); 7]));
}

#[test]
fn what_is_refused_is_refused_there() {
    let policy = policy(RULES);
    for (at, state) in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"].into_iter().enumerate() {
        let (_, replies, ..) = run(&policy, "REJECT not you", state);
        let refused: Vec<usize> = (0..7).filter(|n| replies[*n] != "ok").collect();
        let expected = match at {
            3 => vec![3, 4],
            at if at > 3 => vec![at + 1],
            at => vec![at],
        };
        assert_eq!(refused, expected, "{state} {replies:?}");
        assert_eq!(replies[expected[0]], "554 5.7.1 not you (policy_service z:15)", "{state}");
        // A service that is away is the same everywhere.
        let (_, replies, ..) = run(&policy, "", state);
        assert!(replies[expected[0]].starts_with("451 4.3.5"), "{replies:?}");
    }
}

#[test]
fn actions_that_come_too_early_or_too_late_are_logged() {
    let policy = policy(RULES);
    for (state, held, prepended) in
        [("CONNECT", false, false), ("EHLO", false, false), ("MAIL", true, true), ("DATA", true, true), ("END-OF-MESSAGE", true, false)]
    {
        let (_, replies, log, end) = run(&policy, "HOLD look", state);
        assert_eq!((replies, end.freeze.is_some()), (vec!["ok".to_owned(); 7], held), "{state}");
        assert_eq!(log.iter().any(|cause| cause.detail.contains("is of no use here")), !held, "{state} {log:?}");
        let (_, _, log, end) = run(&policy, "PREPEND X-A: b", state);
        assert_eq!(end.prepend == ["X-A: b"], prepended, "{state}");
        assert_eq!(log.iter().any(|cause| cause.detail.contains("is of no use here")), !prepended, "{state} {log:?}");
    }
}

#[test]
fn without_states_nothing_but_recipients() {
    let policy = policy("[[policy_service]]\nname = \"one\"\nserver = \"127.0.0.1:1\"\n[[access]]\npolicy_services = [\"one\"]\n");
    let (asked, ..) = run(&policy, "DUNNO", "");
    assert_eq!(asked.len(), 2, "{asked:?}");
    for state in [crate::delegation::State::Ehlo, crate::delegation::State::Data, crate::delegation::State::EndOfMessage] {
        assert!(!policy.is_served_at(state));
    }
}

#[test]
fn whom_the_administrator_trusts_nobody_is_asked_about() {
    let policy = policy(&RULES.replace("policy_services = [\"all\"", "trust = true\npolicy_services = [\"all\""));
    let (asked, ..) = run(&policy, "REJECT", "MAIL");
    assert!(asked.is_empty(), "{asked:?}");
}
