//! What others are asked, and what their answers come to.

use super::*;
use ipc::dns::{Listed, MailHost, MailHosts, Spf, SpfResult, Trouble};
use proptest::prelude::*;

const LISTS: &str = "[[dns_list]]\nzone = \"bad.example\"\nweight = 2\nanswers = [\"127.0.0.2-4\"]\n[[dns_list]]\nzone = \"worse.example\"\n\
                     weight = 3\n[[dns_list]]\nzone = \"good.example\"\nweight = -4\n[dns_lists]\nrefuse_at = 3\ndefer_at = 2\n";

/// Lists that have an entry for everybody: zone and answer.
fn listed(entries: &'static [(&'static str, [u8; 4])]) -> impl Fn(&Query) -> Answer {
    move |query| match query {
        Query::List { zone, .. } => {
            let codes = entries.iter().filter(|(name, _)| name == zone).map(|(_, code)| (*code).into()).collect();
            Answer::Dns(Ok(dns::Answer::Listed(Listed { codes, text: String::new() })))
        }
        other => kind(other),
    }
}

fn score(entries: &'static [(&'static str, [u8; 4])]) -> String {
    let policy = policy(LISTS);
    Client::new(&policy, listed(entries)).whole("s@sender.example", "u@local.example")
}

#[test]
fn lists_are_weighed() {
    assert_eq!(score(&[]), "ok");
    assert_eq!(score(&[("bad.example", [127, 0, 0, 2])]), "450 4.7.1 198.51.100.7 is listed by bad.example (dns_list z:8)");
    assert_eq!(score(&[("bad.example", [127, 0, 0, 9])]), "ok", "an answer that does not count");
    let both = &[("bad.example", [127, 0, 0, 2]), ("worse.example", [127, 0, 0, 1])];
    assert_eq!(score(both), "550 5.7.1 198.51.100.7 is listed by bad.example, worse.example (dns_list z:8)");
    assert_eq!(score(&[("worse.example", [127, 0, 0, 1]), ("good.example", [127, 0, 0, 1])]), "ok", "a good one outweighs");
    assert_eq!(score(&[("bad.example", [127, 0, 0, 2]), ("bad.example", [127, 0, 0, 3])]).get(..3), Some("450"), "once each");
}

#[test]
fn lists_are_asked_at_once_and_only_about_strangers() {
    let policy = policy(LISTS);
    let mut client = Client::new(&policy, kind);
    client.connect();
    assert_eq!((client.together, client.asked.len()), (3, 3));
    let mut friend = Client::new(&policy, kind);
    friend.friend = true;
    friend.connect();
    assert!(friend.asked.is_empty());
}

#[test]
fn rules_choose_lists_and_a_recipient_may_have_mail_of_the_listed() {
    let rules = format!(
        "{LISTS}[[access]]\nclient = [\"198.51.100.0/24\"]\ndns_lists = [\"worse.example\"]\n[[access]]\nrecipient = [\"abuse@\"]\ndns_lists = [\"none\"]\n"
    );
    let policy = policy(&rules);
    let mut client = Client::new(&policy, listed(&[("worse.example", [127, 0, 0, 1])]));
    assert!(client.whole("s@sender.example", "u@local.example").starts_with("550 5.7.1 198.51.100.7 is listed"));
    assert_eq!(client.asked.iter().filter(|asked| asked.starts_with("list")).count(), 1);
    assert_eq!(say(&client.rcpt("abuse@local.example")), "ok");
    assert_eq!(say(&client.rcpt("postmaster@local.example")), "ok");
}

#[test]
fn a_score_may_count_before_the_greeting() {
    let policy = policy(&format!("{LISTS}at = \"connect\"\n"));
    let mut client = Client::new(&policy, listed(&[("worse.example", [127, 0, 0, 1])]));
    assert!(say(&client.connect()).starts_with("550"));
}

#[test]
fn a_sender_domain_must_take_mail() {
    let rules = "[[access]]\ncheck_sender_domain = true\n";
    let of = |answer: Result<dns::Answer, Trouble>| {
        let policy = policy(rules);
        let answer = move |query: &Query| if let Query::MailHosts(_) = query { Answer::Dns(answer.clone()) } else { kind(query) };
        Client::new(&policy, answer).whole("s@sender.example", "u@local.example")
    };
    assert_eq!(of(Ok(dns::Answer::MailHosts(MailHosts::default()))), "ok");
    assert!(of(Err(Trouble::NoSuchName)).starts_with("550 5.1.8"));
    assert!(of(Err(Trouble::NullMx)).starts_with("550 5.7.27"));
    assert!(of(Err(Trouble::Temporary("SERVFAIL".into()))).starts_with("451 4.1.8"));
    let policy = policy(rules);
    let mut client = Client::new(&policy, kind);
    for sender in ["", "u@local.example", "u@[192.0.2.1]"] {
        client.mail(sender);
    }
    assert!(client.asked.is_empty(), "{:?}", client.asked);
}

#[test]
fn spf_says_what_the_rule_makes_of_it() {
    let rules = "[[access]]\ngreylist = false\n[access.spf]\nfail = \"refuse\"\nsoftfail = \"freeze\"\npermerror = \"defer\"\nneutral = \"greylist\"\n";
    let of = |result: SpfResult| {
        let policy = policy(&rules.replace("greylist = false\n", ""));
        let answer = move |query: &Query| match query {
            Query::Spf { .. } => {
                Answer::Dns(Ok(dns::Answer::Spf(Spf { result, domain: "sender.example".into(), explanation: String::new() })))
            }
            Query::Grey(_) => Answer::Rate(rates::Verdict { number: 0, refuse: None, known: false, wait: Duration::from_secs(300) }),
            other => kind(other),
        };
        let mut client = Client::new(&policy, answer);
        let said = client.whole("s@sender.example", "u@local.example");
        (said, client.end().freeze.is_some())
    };
    assert_eq!(of(SpfResult::Pass), ("ok".into(), false));
    assert_eq!(of(SpfResult::Fail).0, "550 5.7.23 SPF of sender.example says fail for this client (spf z:8)");
    assert_eq!(of(SpfResult::SoftFail), ("ok".into(), true));
    assert!(of(SpfResult::PermError).0.starts_with("451 4.7.24"));
    assert_eq!(of(SpfResult::Neutral).0, "450 4.7.1 greylisted, try again in 300 seconds (greylist z:8)");
}

#[test]
fn relaying_for_those_who_name_us_as_their_exchanger() {
    let of = |word: &str, answer: Answer| {
        let policy = policy(&format!("[[access]]\nrelay_if_mx = \"{word}\"\n"));
        let answer = move |query: &Query| if let Query::MailHosts(_) = query { answer.clone() } else { kind(query) };
        Client::new(&policy, answer).whole("s@sender.example", "u@elsewhere.example")
    };
    let host = |name: &str, address: &str| {
        let host = MailHost { preference: 10, name: name.into(), addresses: vec![address.parse().unwrap()], secure: false };
        Answer::Dns(Ok(dns::Answer::MailHosts(MailHosts { hosts: vec![host], secure: false })))
    };
    assert_eq!(of("refuse", host("MX.example", "203.0.113.1")), "granted");
    assert_eq!(of("refuse", host("other.example", "192.0.2.25")), "granted");
    assert_eq!(of("refuse", host("other.example", "203.0.113.1")), "550 5.7.1 relaying denied (relay z:8)");
    assert_eq!(of("defer", host("other.example", "203.0.113.1")), "450 4.7.1 relaying denied (relay z:8)");
    assert!(of("refuse", Answer::Dns(Err(Trouble::Temporary("x".into())))).starts_with("450"), "trouble is no refusal for good");
    assert!(of("no", host("mx.example", "192.0.2.25")).starts_with("550"));
}

#[test]
fn a_next_hop_and_a_service_are_asked_together_and_greylisting_comes_last() {
    let rules = "[[policy_service]]\nname = \"pg\"\nserver = \"127.0.0.1:10023\"\n[[access]]\nrecipient = [\"relayed.example\"]\ncall_ahead = true\n\
                 greylist = true\npolicy_services = [\"pg\"]\n";
    let routed = |query: &Query| match query {
        Query::Verify { .. } => {
            let quad = envelope::Quad { channel: "smtp".into(), host: "[192.0.2.9]".into(), user: "u".into(), attributes: "-".into() };
            Answer::Router(routing::Answer::Routed { quads: vec![quad], steps: Vec::new() })
        }
        Query::Delegate { attributes, .. } => {
            assert!(attributes.contains(&("protocol_state".into(), "RCPT".into())));
            Answer::Action(Ok("PREPEND X-Seen: yes".into()))
        }
        other => kind(other),
    };
    let policy = policy(rules);
    let mut client = Client::new(&policy, routed);
    assert_eq!(client.whole("s@sender.example", "u@relayed.example"), "ok");
    let asked: Vec<&str> = client.asked.iter().map(String::as_str).collect();
    assert_eq!(
        asked,
        [
            "router: u@relayed.example",
            "call ahead: u@relayed.example at smtp [192.0.2.9]",
            "policy service pg",
            "greylist: 198.51.100.7 <s@sender.example> <u@relayed.example>"
        ]
    );
    assert_eq!(client.session.prepend(), ["X-Seen: yes"]);
    let mut silent = Client::new(&policy, move |query| if let Query::Delegate { .. } = query { Answer::Nothing } else { routed(query) });
    assert!(silent.whole("s@sender.example", "u@relayed.example").starts_with("451 4.3.5"));
}

#[test]
fn limits_of_rules_are_about_whom_they_name() {
    let rules =
        "[[access]]\nclient = [\"198.51.100.7\"]\nmax_messages = 5\nhard_limits = true\n[[access]]\nuser = [\"*\"]\nmax_messages = 9\n";
    let policy = policy(rules);
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let noted = std::rc::Rc::clone(&seen);
    let mut client = Client::new(&policy, move |query| {
        if let Query::Rate { limits, .. } = query {
            noted.borrow_mut().extend(limits.iter().map(|limit| (limit.per, limit.most, limit.hard)));
        }
        kind(query)
    });
    client.connect();
    client.mail("s@sender.example");
    client.user = Some(("alice".into(), Vec::new()));
    client.mail("s@sender.example");
    assert_eq!(*seen.borrow(), [(rates::Per::Address, 5, true), (rates::Per::User, 9, true)]);
}

#[test]
fn answers_of_a_turn_that_is_over_are_dropped() {
    let policy = policy(LISTS);
    let mut client = Client::new(&policy, kind);
    client.connect();
    let stale = crate::QueryId { turn: 0, what: crate::What::Rate };
    let mut ask = Vec::new();
    let facts = Facts {
        client: None,
        listener: ListenerKind::Smtp,
        friend: false,
        user: None,
        tls: false,
        hello: "",
        extended: true,
        port: 0,
        sender: None,
        declared_size: 0,
        recipients: 0,
        only: None,
        verdicts: false,
        message: None,
        candidate: None,
        number: 1,
    };
    assert!(client.session.told(&policy, &facts, stale, Answer::Nothing, &mut ask).is_none());
}

proptest! {
    /// Whatever clients, senders and helpers say: a decision, and no right to relay for a stranger.
    #[test]
    fn any_input_is_decided(hello in ".{0,40}", local in "[a-z\"@.+]{1,12}", domain in "[a-z.\\[\\]:]{1,20}", action in ".{0,60}") {
        let rules = format!("{LISTS}[[policy_service]]\nname = \"p\"\nserver = \"127.0.0.1:1\"\n[[access]]\ncheck_sender_domain = true\ngreylist = true\n\
                             policy_services = [\"p\"]\n[access.spf]\nfail = \"refuse\"\n");
        let policy = policy(&rules);
        let answer = move |query: &Query| if let Query::Delegate { .. } = query { Answer::Action(Ok(action.clone())) } else { kind(query) };
        let mut client = Client::new(&policy, answer);
        client.hello = hello;
        client.connect();
        if let Ok(address) = Address::parse(&format!("{local}@{domain}")) {
            client.mail(address.as_str());
            client.rcpt("u@local.example");
            let said = say(&client.rcpt(address.as_str()));
            prop_assert!(said != "granted");
        }
    }
}
