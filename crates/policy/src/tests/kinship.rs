//! Domains that only tables name.

use super::*;
use ipc::routing::Kinship;
use status::{Enhanced, Reply};

const TABLES: &str = "[[table]]\nname = \"domains\"\nkind = \"inline\"\n[routing]\nlocal_domains = [\"domains\"]\n";

fn router(query: &Query) -> Answer {
    let kinship = |kinship| Answer::Router(routing::Answer::Kinship(kinship));
    let refused = |code, status| {
        let reply = Reply::new(code, status, "no");
        Answer::Router(routing::Answer::Refused { reply, steps: Vec::new() })
    };
    match query {
        Query::Kinship(domain) => match domain.as_str() {
            "ours.example" => kinship(Kinship::Ours),
            "theirs.example" => kinship(Kinship::Relayed),
            "trouble.example" => refused(451, Enhanced::transient(3, 0)),
            "silent.example" => Answer::Nothing,
            // Whatever else a router may say is no permission.
            "odd.example" => Answer::Router(routing::Answer::Routed { quads: Vec::new(), steps: Vec::new() }),
            "refused.example" => refused(550, Enhanced::permanent(1, 1)),
            _ => kinship(Kinship::Foreign),
        },
        Query::Verify { address, .. } if address.starts_with("nobody@") => refused(550, Enhanced::permanent(1, 1)),
        other => kind(other),
    }
}

fn said(policy: &Policy, recipient: &str) -> String {
    Client::new(policy, router).whole("s@sender.example", recipient)
}

#[test]
fn a_stranger_reaches_the_domains_of_tables_and_no_others() {
    for more in ["", "[[access]]\nsender = [\"x.example\"]\nrefuse = \"no\"\n"] {
        let policy = policy(&format!("{TABLES}{more}"));
        assert_eq!(said(&policy, "joe@ours.example"), "granted");
        assert_eq!(said(&policy, "nobody@ours.example"), "550 5.1.1 no (router)");
        assert_eq!(said(&policy, "nobody@theirs.example"), "granted", "who exists there is for them to say");
        for domain in ["elsewhere.example", "far.example"] {
            assert_eq!(said(&policy, &format!("joe@{domain}")), "550 5.7.1 relaying denied (relay)");
        }
        for domain in ["trouble.example", "silent.example", "odd.example", "refused.example"] {
            assert!(said(&policy, &format!("joe@{domain}")).starts_with("451"), "{domain}");
        }
        assert!(said(&policy, "joe@[203.0.113.1]").starts_with("550 5.7.1 relaying denied"));
    }
}

#[test]
fn a_permission_is_for_one_recipient() {
    let policy = policy(TABLES);
    let mut client = Client::new(&policy, router);
    assert_eq!(client.whole("s@sender.example", "joe@ours.example"), "granted");
    assert!(say(&client.rcpt("joe@elsewhere.example")).starts_with("550 5.7.1 relaying denied"));
    assert_eq!(say(&client.rcpt("joe@theirs.example")), "granted");
    assert!(say(&client.rcpt("joe@trouble.example")).starts_with("451"));
    assert_eq!(say(&client.rcpt("max@local.example")), "ok");
}

#[test]
fn without_such_tables_nobody_is_asked() {
    let policy = policy("");
    let mut client = Client::new(&policy, router);
    assert!(client.whole("s@sender.example", "joe@ours.example").starts_with("550 5.7.1 relaying denied"));
    assert!(!client.asked.iter().any(|asked| asked.contains("whose")), "{:?}", client.asked);
}

#[test]
fn our_name_among_the_exchangers_or_a_table_is_enough() {
    let rules = format!("{TABLES}[[access]]\nrelay_if_mx = \"refuse\"\n");
    let policy = policy(&rules);
    assert_eq!(said(&policy, "joe@ours.example"), "granted");
    assert!(said(&policy, "joe@elsewhere.example").starts_with("550 5.7.1 relaying denied"));
    assert!(said(&policy, "joe@trouble.example").starts_with("451"));
}

#[test]
fn static_virtual_domains_are_ours() {
    let policy = policy("[virtual]\nalias_domains = [\"v.example\"]\nmailbox_domains = [\"m.example\"]\n");
    assert!(["v.example", "m.example", "local.example"].iter().all(|domain| policy.local_domains.iter().any(|own| own == domain)));
}
