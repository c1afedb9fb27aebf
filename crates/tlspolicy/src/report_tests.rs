//! Counting, keeping and composing.

use crate::journal::Journal;
use crate::mail::compose;
use crate::pool::Sent;
use crate::report::{DAY, Report};
use crate::reporter::Reporter;
use crate::tally::{Domain, Tally, clean};
use ipc::tlspolicy::{PolicyKind, TlsResult};
use proptest::prelude::*;
use std::io::{Read, Write};

const TODAY: u64 = 20_700;
const NOON: u64 = TODAY * DAY + DAY / 2;

fn result(domain: &str, failure: Option<&str>, host: &str) -> TlsResult {
    TlsResult {
        domain: domain.into(),
        kind: PolicyKind::Sts,
        policy: vec!["version: STSv1".into(), "mode: testing".into()],
        policy_hosts: vec!["*.a.example".into()],
        host: host.into(),
        address: "192.0.2.1".parse().ok(),
        source: "2001:db8::1".parse().ok(),
        failure: failure.map(str::to_owned),
        detail: "unknown\nissuer".into(),
    }
}

fn counted() -> Domain {
    let mut tally = Tally::default();
    for _ in 0..3 {
        tally.add(TODAY, &clean(result("a.example", None, "mx1.a.example")).unwrap(), 1);
    }
    tally.add(TODAY, &clean(result("A.example.", Some("certificate-expired"), "mx1.a.example")).unwrap(), 2);
    tally.add(TODAY, &clean(result("a.example", Some("no such type"), "mx2.a.example")).unwrap(), 1);
    tally.take(TODAY, "a.example").unwrap()
}

fn settings() -> settings::Settings {
    settings::parse("[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example.org\"\n", "t").unwrap()
}

#[test]
fn the_report_says_what_was_counted() {
    let report = Report::new(TODAY, (TODAY + 2) * DAY, "a.example".into(), counted());
    let json = report.json("mta.example.org", "postmaster@example.org");
    assert_eq!(json["date-range"]["start-datetime"], "2026-09-04T00:00:00Z");
    assert_eq!(json["date-range"]["end-datetime"], "2026-09-04T23:59:59Z");
    let policy = &json["policies"][0];
    assert_eq!(policy["policy"]["policy-type"], "sts");
    assert_eq!(policy["policy"]["mx-host"][0], "*.a.example");
    assert_eq!(policy["summary"]["total-successful-session-count"], 3);
    assert_eq!(policy["summary"]["total-failure-session-count"], 3);
    let first = &policy["failure-details"][0];
    assert_eq!((&first["result-type"], &first["failed-session-count"]), (&"certificate-expired".into(), &2.into()));
    assert_eq!((&first["receiving-mx-hostname"], &first["receiving-ip"]), (&"mx1.a.example".into(), &"192.0.2.1".into()));
    assert_eq!(first["failure-reason-code"], "unknown issuer");
    assert_eq!(policy["failure-details"][1]["result-type"], "validation-failure");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&report.compressed("mta.example.org", "x@y.z").unwrap()[..]).read_to_string(&mut text).unwrap();
    assert!(text.starts_with('{') && text.contains("a.example"));
}

#[test]
fn the_mail_has_the_fields_of_the_rfc() {
    let report = Report::new(TODAY, NOON, "a.example".into(), counted());
    let to = address::Address::parse("tls@a.example").unwrap();
    let mail = compose(&settings(), &report, &[7; 200], &to, "id1");
    for line in [
        "TLS-Report-Domain: a.example\n",
        "TLS-Report-Submitter: mta.example.org\n",
        "TLS-Required: No\n",
        "From: TLS reports <tls-reports@mta.example.org>\n",
        "To: <tls@a.example>\n",
        "Content-Type: multipart/report; report-type=\"tlsrpt\";\n",
        "Content-Type: application/tlsrpt+gzip\n",
        "\n--=_id1--\n",
    ] {
        assert!(mail.contains(line), "{line:?} is not in {mail}");
    }
    assert!(mail.contains(&format!("filename=\"mta.example.org!a.example!{}!{NOON}.json.gz\"", TODAY * DAY)));
    assert!(mail.lines().all(|line| line.len() < 200));
}

#[test]
fn counts_survive_a_restart_and_end_with_their_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    for _ in 0..5 {
        assert!(journal.add(TODAY, clean(result("a.example", None, "mx")).unwrap()));
    }
    journal.add(TODAY, clean(result("b.example", Some("dnssec-invalid"), "mx")).unwrap());
    journal.write().unwrap();
    journal.add(TODAY, clean(result("a.example", None, "mx")).unwrap());
    journal.write().unwrap();
    std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join(TODAY.to_string()))
        .unwrap()
        .write_all(b"{\"Result\":{\"resu")
        .unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.tally.days[&TODAY]["a.example"].sessions(), 6);
    // The day over: one is reported, the other fails and is tried again.
    let (mut reporter, later) = (Reporter::new(&journal, 0, NOON + DAY), NOON + DAY);
    let reports = reporter.due(&mut journal, later, false);
    assert_eq!(reports.len(), 2);
    assert_eq!(reporter.next(), later + 3600);
    let mails = vec![("id".to_owned(), "tls@A.example".to_owned())];
    for (day, report) in &reports {
        let sent = if report.domain == "a.example" { Sent::Out { mails: mails.clone(), posts: vec![] } } else { Sent::Failed("x".into()) };
        reporter.settled(&mut journal, *day, report, &sent, later);
    }
    let mut journal = Journal::open(folder.path()).unwrap();
    assert_eq!(journal.tally.days[&TODAY].keys().collect::<Vec<_>>(), ["b.example"]);
    assert_eq!(journal.tally.days[&(TODAY + 1)]["a.example"].own, 1);
    // A session that was only our report is not reported; given up after days.
    journal.add(TODAY + 1, clean(result("a.example", None, "mx")).unwrap());
    let reports = reporter.due(&mut journal, (TODAY + 2) * DAY + 1, false);
    assert_eq!(reports.iter().map(|(_, report)| report.domain.as_str()).collect::<Vec<_>>(), ["b.example"]);
    journal.tally.put_back(TODAY, "b.example", &reports[0].1.counted);
    assert!(Reporter::new(&journal, 0, (TODAY + 9) * DAY).due(&mut journal, (TODAY + 9) * DAY, false).is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn reports_wait_for_midnight_and_some_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.add(TODAY, clean(result("a.example", None, "mx")).unwrap());
    let mut reporter = Reporter::new(&journal, 1234, NOON);
    assert_eq!(reporter.next(), (TODAY + 1) * DAY + 300 + 1234);
    assert!(reporter.due(&mut journal, NOON, false).is_empty());
    assert_eq!(reporter.due(&mut journal, NOON, true).len(), 1);
}

#[test]
fn floods_are_bounded_and_still_counted() {
    let mut tally = Tally::default();
    for n in 0..5000 {
        assert!(tally.add(TODAY, &clean(result("a.example", Some("validation-failure"), &format!("mx{n}.a.example"))).unwrap(), 1));
    }
    let domain = tally.take(TODAY, "a.example").unwrap();
    assert_eq!((domain.sessions(), domain.policies[0].failures.len()), (5000, 101));
}

proptest! {
    #[test]
    fn whatever_is_told_is_clean_or_dropped(domain in ".{0,20}|[a-z]{1,9}\\.[a-z]{2}", text in ".{0,600}") {
        let told = TlsResult { detail: text.clone(), host: text.clone(), policy: vec![text.clone(); 200], failure: Some(text), ..result(&domain, None, "") };
        if let Some(clean) = clean(told) {
            prop_assert!(crate::shelf::is_name(&clean.domain));
            prop_assert!(clean.detail.len() <= 300 && !clean.detail.chars().any(char::is_control) && clean.policy.len() <= 110);
            prop_assert_eq!(clean.failure.as_deref(), Some("validation-failure"));
        }
    }
}

#[test]
fn strangers_policies_do_not_fill_the_memory() {
    let mut tally = Tally::default();
    let long = |n: usize| TlsResult {
        policy: vec!["x".repeat(300); 110],
        policy_hosts: vec!["h".repeat(300); 110],
        ..result(&format!("d{n}.example"), None, "")
    };
    let counted = (0..5000).filter(|n| tally.add(TODAY, &long(*n), 1)).count();
    assert!((500..2000).contains(&counted), "{counted}");
    // What is known goes on being counted, and a day that is over makes room.
    assert!(tally.add(TODAY, &long(0), 1) && !tally.add(TODAY, &long(5000), 1));
    tally.take(TODAY, "d0.example");
    assert!(tally.add(TODAY, &long(5000), 1));
    tally.remove(TODAY);
    assert_eq!((0..5000).filter(|n| tally.add(TODAY, &long(*n), 1)).count(), counted);
}
