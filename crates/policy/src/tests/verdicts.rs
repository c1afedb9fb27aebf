//! Recipients with and without the content filter in one transaction.

use super::*;

const RULES: &str = "[filter]\nprogram = [\"/bin/true\"]\n\
    [[access]]\nrecipient = [\"abuse@\", \"postmaster@\"]\nfilter = false\n";
const APART: &str = "452 4.5.3 this recipient takes mail that is refused for the others: send it in a transaction of its own (filter";

/// The recipients one after another; what is left of each reply, and who is exempt in the end.
fn sent(policy: &Policy, verdicts: bool, recipients: &[&str]) -> (Vec<String>, Vec<usize>, bool) {
    let mut client = Client::new(policy, kind);
    client.verdicts = verdicts;
    client.connect();
    client.mail("s@sender.example");
    let replies = recipients.iter().map(|r| say(&client.rcpt(&format!("{r}@local.example")))).collect();
    let end = client.end();
    (replies, end.exempt, end.unfiltered)
}

#[test]
fn with_a_reply_for_each_they_come_together() {
    let policy = policy(RULES);
    let ok = |n| vec!["ok".to_owned(); n];
    assert_eq!(sent(&policy, true, &["a", "abuse", "b", "postmaster"]), (ok(4), vec![1, 3], false));
    assert_eq!(sent(&policy, true, &["abuse", "postmaster"]), (ok(2), vec![0, 1], true));
    assert_eq!(sent(&policy, true, &["a", "b"]), (ok(2), vec![], false));
    assert!(policy.has_verdicts());
}

#[test]
fn with_one_reply_for_all_they_come_one_kind_after_the_other() {
    let policy = policy(RULES);
    let (replies, exempt, unfiltered) = sent(&policy, false, &["a", "abuse", "b", "postmaster"]);
    assert_eq!((replies[0].as_str(), replies[2].as_str(), exempt, unfiltered), ("ok", "ok", vec![], false));
    assert_eq!((&replies[1], &replies[3]), (&format!("{APART} z:10)"), &format!("{APART} z:10)")));
    let (replies, exempt, unfiltered) = sent(&policy, false, &["abuse", "a", "postmaster"]);
    assert_eq!((replies[1].clone(), exempt, unfiltered), (format!("{APART})"), vec![0, 1], true));
}

/// Mail programs give up where servers come again.
#[test]
fn users_are_not_put_off() {
    let policy = policy(RULES);
    for (recipients, exempt) in
        [(&["a", "abuse", "postmaster"][..], vec![]), (&["abuse", "a", "postmaster"], vec![]), (&["abuse", "postmaster"], vec![0, 1])]
    {
        let mut client = Client::new(&policy, kind).logged_in("joe", &["*"]);
        client.connect();
        client.mail("s@sender.example");
        for recipient in recipients {
            assert_eq!(say(&client.rcpt(&format!("{recipient}@local.example"))), "ok");
        }
        assert_eq!((client.end().unfiltered, client.end().exempt), (!exempt.is_empty(), exempt));
    }
}

#[test]
fn nobody_is_put_off_where_nothing_is_filtered() {
    let policy = policy(&RULES.replace("[filter]\nprogram = [\"/bin/true\"]\n", ""));
    assert_eq!(sent(&policy, false, &["a", "abuse"]).0, ["ok", "ok"]);
    assert!(!policy.has_verdicts());
    assert!(!super::policy("[filter]\nprogram = [\"/bin/true\"]\n").has_verdicts(), "no rule tells them apart");
}

/// Whether the session in the end has taken it is the session's word.
#[test]
fn a_number_is_given_anew_where_its_recipient_was_not_taken() {
    let policy = policy(RULES);
    let mut client = Client::new(&policy, kind);
    client.connect();
    client.mail("s@sender.example");
    assert_eq!(say(&client.rcpt("abuse@local.example")), "ok");
    client.accepted = 0;
    assert_eq!(say(&client.rcpt("a@local.example")), "ok");
    assert_eq!((client.end().exempt, client.end().unfiltered), (vec![], false));
    client.accepted = 0;
    assert!(!client.end().unfiltered);
    client.mail("s@sender.example");
    assert!(client.end().exempt.is_empty());
}

#[test]
fn results_of_spf_are_recorded() {
    let rules = "[[access]]\n[access.spf]\nfail = \"refuse\"\n";
    let of = |more: &str, sender: &str| {
        let policy = policy(&format!("{more}{rules}"));
        let mut client = Client::new(&policy, |query| match query {
            Query::Spf { .. } => Answer::Nothing,
            other => kind(other),
        });
        client.connect();
        client.mail(sender);
        client.rcpt("u@local.example");
        client.end().prepend
    };
    let expected = "Received-SPF: temperror\n\treceiver=mx.example;\n\tclient-ip=198.51.100.7;\n\t\
                    envelope-from=\"s@sender.example\";\n\thelo=client.example;\n\tidentity=mailfrom";
    assert_eq!(of("", "s@sender.example"), [expected]);
    assert!(of("", "")[0].ends_with("identity=helo"));
    assert!(of("[policy]\nreceived_spf = false\n", "s@sender.example").is_empty());
}
