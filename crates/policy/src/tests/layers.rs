//! Rules of each layer.

use super::*;

#[test]
fn without_rules_only_the_router_is_asked() {
    let policy = policy("");
    assert!(policy.is_plain());
    let mut client = Client::new(&policy, kind);
    assert_eq!(client.whole("s@sender.example", "u@local.example"), "ok");
    assert_eq!(client.asked, ["router: u@local.example"]);
    assert_eq!(say(&client.rcpt("u@elsewhere.example")), "550 5.7.1 relaying denied (relay)");
    assert_eq!(say(&client.rcpt("u@relayed.example")), "ok");
    assert_eq!(client.asked.len(), 1);
    assert!(client.session.more.is_none(), "nothing is remembered");
    assert!(size_of::<Session>() <= 48, "{}", size_of::<Session>());
}

#[test]
fn rates_are_asked_where_they_are_limited() {
    let policy = policy("[rates]\nmessages_per_address = 5\nrecipients_per_address = 9\n");
    let refuse = |query: &Query| match query {
        Query::Rate { event, .. } if event.kind == rates::Kind::Recipient => {
            let refuse = Some(rates::Refusal { text: "slower".into(), hard: false });
            Answer::Rate(rates::Verdict { number: 0, refuse, known: false, wait: Duration::ZERO })
        }
        other => kind(other),
    };
    let mut client = Client::new(&policy, refuse);
    assert_eq!(client.whole("s@sender.example", "u@local.example"), "450 4.7.1 slower (rate)");
    assert_eq!(client.asked, ["rate of message", "rate of recipient"], "and the router is not asked in vain");
    let mut lost = Client::new(&policy, |_| Answer::Nothing);
    assert!(say(&lost.mail("s@sender.example")).starts_with("451 4.3.0"));
}

#[test]
fn a_client_is_refused_before_the_greeting() {
    let policy = policy("[[access]]\nclient = [\"198.51.100.0/24\"]\nrefuse = \"554 5.7.0 not from there\"\n");
    let mut client = Client::new(&policy, kind);
    assert_eq!(say(&client.connect()), "554 5.7.0 not from there (rule z:8)");
    assert_eq!(say(&Client::new(&policy, kind).from("198.51.101.1").connect()), "ok");
    assert_eq!(say(&Client::new(&policy, kind).from("::ffff:198.51.100.1").connect()), "554 5.7.0 not from there (rule z:8)");
}

#[test]
fn a_verified_name_is_refused_before_the_greeting() {
    let rules = "[[access]]\nname = [\".host.example\"]\ndefer = \"not now\"\n";
    assert_eq!(stranger(rules), "450 4.7.1 not now (rule z:8)");
    let policy = policy(rules);
    assert_eq!(Client::new(&policy, |_| Answer::Nothing).connect().verdict, Verdict::Accept, "who has no name has none that is refused");
}

#[test]
fn what_is_found_at_helo_and_mail_is_said_at_rcpt() {
    for key in [
        "helo = [\"client.example\"]",
        "sender = [\"s@sender.example\"]",
        "sender = [\"sender.example\"]",
        "sender = [\".example\"]",
        "sender = [\"s@\"]",
    ] {
        let policy = policy(&format!("[[access]]\n{key}\nrefuse = \"no\"\n"));
        let mut client = Client::new(&policy, kind);
        assert_eq!(say(&client.connect()), "ok");
        assert_eq!(say(&client.mail("S@Sender.Example")), "ok", "{key}");
        assert_eq!(say(&client.rcpt("u@local.example")), "550 5.7.1 no (rule z:8)", "{key}");
        assert_eq!(say(&client.rcpt("PostMaster@local.example")), "ok", "postmaster is always reached");
        client.hello = "other.example".into();
        assert_eq!(say(&client.mail("x@elsewhere.test")), "ok");
        assert_eq!(say(&client.rcpt("u@local.example")), "ok", "{key}: it was about that transaction");
    }
}

#[test]
fn the_null_sender_has_a_key() {
    let policy = policy("[[access]]\nsender = [\"<>\"]\nrefuse = \"no reports here\"\n");
    assert_eq!(Client::new(&policy, kind).whole("", "u@local.example"), "550 5.7.1 no reports here (rule z:8)");
}

#[test]
fn a_recipient_has_rules_of_its_own() {
    let policy = policy("[[access]]\nrecipient = [\"old@local.example\"]\nrefuse = \"5.1.6 moved to new@local.example\"\n");
    let mut client = Client::new(&policy, kind);
    assert_eq!(client.whole("s@sender.example", "Old@Local.example"), "550 5.1.6 moved to new@local.example (rule z:8)");
    assert_eq!(say(&client.rcpt("new@local.example")), "ok");
}

#[test]
fn conditions_must_all_hold() {
    let rules = "[[access]]\nclient = [\"198.51.100.0/24\"]\nsender = [\"sender.example\"]\nlistener = [\"smtp\"]\nrefuse = \"no\"\n";
    assert!(stranger(rules).starts_with("550"));
    for other in [rules.replace("198.51.100", "203.0.113"), rules.replace("\"smtp\"", "\"lmtp\"")] {
        assert_eq!(stranger(&other), "ok", "{other}");
    }
}

#[test]
fn relaying_is_given_and_taken() {
    let give = |rules: &str| {
        let policy = policy(rules);
        Client::new(&policy, kind).whole("s@sender.example", "u@elsewhere.example")
    };
    assert_eq!(give("[[access]]\nclient = [\"198.51.100.7\"]\nrelay = true\n"), "granted");
    assert_eq!(give("[[access]]\nname = [\"client.host.example\"]\nrelay = true\n"), "granted");
    assert_eq!(give("[[access]]\nclient = [\"198.51.100.7\"]\ntrust = true\n"), "granted");
    assert_eq!(give("[[access]]\nrecipient = [\"elsewhere.example\"]\nrelay = true\n"), "granted");
    assert_eq!(give("[[access]]\nclient = [\"198.51.100.7\"]\nsender = [\"sender.example\"]\nrelay = true\n"), "granted");
    assert_eq!(give("[[access]]\nsender = [\"sender.example\"]\ntrust = true\n"), "550 5.7.1 relaying denied (relay)");
    assert_eq!(
        give("[[access]]\nclient = [\"198.51.100.7\"]\nrelay = true\n[[access]]\nsender = [\"sender.example\"]\nrelay = false\n"),
        "550 5.7.1 relaying denied (relay)"
    );
    let policy = policy("[[access]]\nrecipient = [\"relayed.example\"]\nrelay = false\n");
    assert_eq!(Client::new(&policy, kind).whole("", "u@relayed.example"), "550 5.7.1 relaying denied (relay z:8)");
}

#[test]
fn tags_fill_in_what_a_rule_does_not_say() {
    let rules = "[[access]]\ntag = \"inner\"\nmessage = \"inner\"\nfreeze = true\n[[access]]\ntag = \"outer\"\ntags = [\"inner\"]\nmessage = \"outer\"\n\
                 [[access]]\nclient = [\"198.51.100.7\"]\ntags = [\"outer\"]\nmax_size = 10\n";
    let policy = policy(rules);
    let mut client = Client::new(&policy, kind);
    client.size = 11;
    assert_eq!(client.whole("s@sender.example", "u@local.example"), "552 5.3.4 outer (size z:16)");
    client.size = 0;
    assert_eq!(client.whole("s@sender.example", "u@local.example"), "ok");
    assert_eq!(client.end().freeze.as_deref(), Some("by rule (z:16)"));
}

#[test]
fn sizes_of_sessions_and_recipients() {
    let policy = policy("[[access]]\nmax_size = 100\n[[access]]\nrecipient = [\"small@local.example\"]\nmax_size = 10\n");
    let mut client = Client::new(&policy, kind);
    client.size = 50;
    assert_eq!(client.whole("s@sender.example", "small@local.example"), "552 5.2.3 message too large for this recipient (size z:10)");
    assert_eq!(say(&client.rcpt("u@local.example")), "ok");
    assert_eq!(client.session.content(100), None);
    assert_eq!(client.session.content(101).map(|d| say(&d)).unwrap(), "552 5.3.4 message too large (size z:8)");
    client.size = 101;
    assert_eq!(say(&client.mail("s@sender.example")), "552 5.3.4 message too large (size z:8)");
}

#[test]
fn users_write_under_their_own_senders() {
    let policy = policy("");
    for (sender, allowed) in [
        ("alice@local.example", true),
        ("ALICE@Local.Example", true),
        ("any@hers.example", true),
        ("", true),
        ("bob@local.example", false),
        ("alice@nothers.example", false),
    ] {
        let mut client = Client::new(&policy, kind).logged_in("alice", &["alice@local.example", "@hers.example"]);
        let expected = if allowed { "ok" } else { "553 5.7.1 this sender is not yours (sender_login)" };
        assert_eq!(say(&client.mail(sender)), expected, "{sender}");
    }
    assert_eq!(say(&Client::new(&policy, kind).logged_in("root", &["*"]).mail("x@any.example")), "ok");
    assert_eq!(say(&Client::new(&policy, kind).logged_in("old", &[]).mail("x@any.example")), "ok");
}

#[test]
fn the_filter_sees_what_somebody_wants_filtered() {
    let rules = "[[access]]\nclient = [\"198.51.100.7\"]\nfilter = false\n[[access]]\nrecipient = [\"careful@local.example\"]\nfilter = true\n\
                 [[access]]\nrecipient = [\"easy@local.example\"]\nfilter = false\n";
    let policy = policy(rules);
    let mut client = Client::new(&policy, kind);
    assert_eq!(client.whole("", "u@local.example"), "ok");
    assert!(client.end().unfiltered);
    client.rcpt("careful@local.example");
    assert!(!client.end().unfiltered);
    let mut other = Client::new(&policy, kind).from("203.0.113.1");
    assert_eq!(other.whole("", "easy@local.example"), "ok");
    assert!(other.end().unfiltered);
    other.rcpt("u@local.example");
    assert!(!other.end().unfiltered);
}
