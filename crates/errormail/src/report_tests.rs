#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use envelope::{Notify, parse_envelope};
use ipc::agents::Failure;
use spool::{Owners, Place};
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;

const CONTENT: &str = "Message-ID: <m@example.org>\nSubject: hello\n\nbody\n";

struct Office {
    root: tempfile::TempDir,
    spool: Arc<Spool>,
    errormail: Errormail,
    notices: UnixDatagram,
    counters: Counters,
}
fn office(more: &str) -> Office {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    let text =
        format!("[paths]\npostoffice = \"{0}\"\nrun = \"{0}/run\"\n[identity]\nhostname = \"mta.example.org\"\n{more}\n", path.display());
    let settings = Arc::new(settings::parse(&text, "test").unwrap());
    Spool::create(path, &Owners::default()).unwrap();
    std::fs::create_dir_all(path.join("run/notify")).unwrap();
    let notices = UnixDatagram::bind(path.join("run/notify/router")).unwrap();
    notices.set_nonblocking(true).unwrap();
    let spool = Arc::new(Spool::open(path).unwrap());
    let counters = Counters::detached("ta-errormail").unwrap();
    let notifier = Notifier::new(&settings.paths.run, "router").unwrap();
    let errormail = Errormail::new(settings, Templates::default(), counters.clone(), Arc::clone(&spool), notifier);
    Office { root, spool, errormail, notices, counters }
}
fn recipient(index: u32, user: &str, notify: Option<Notify>) -> JobRecipient {
    JobRecipient {
        index,
        user: user.into(),
        attributes: "-".into(),
        original: None,
        via: None,
        dsn: RecipientDsn { notify, orcpt: None },
        failure: Some(Failure {
            status: Enhanced::permanent(1, 1),
            remote: "mx.example.net [192.0.2.1]:25".into(),
            text: format!("550 5.1.1 no {user}\r\nBcc: x"),
            time: 1_700_000_000,
            retry_until: 0,
        }),
    }
}
fn job(sender: &str, recipients: Vec<JobRecipient>) -> Job {
    Job {
        number: 5,
        message: "0123456789abcdef".into(),
        channel: "error".into(),
        host: "bounce".into(),
        sender: sender.into(),
        verp: false,
        edits: envelope::Edits::default(),
        body_offset: 9,
        size: CONTENT.len() as u64,
        arrived: 1_700_000_000_000,
        bodytype: BodyType::SevenBit,
        smtputf8: false,
        envid: Some("QQ7".into()),
        ret: None,
        terms: Default::default(),
        sharing: Default::default(),
        recipients,
    }
}
fn message(content: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    write!(file, "env-end \n{content}").unwrap();
    file
}
impl Office {
    fn deliver(&mut self, job: &Job) -> Report {
        self.errormail.deliver(job, &message(CONTENT))
    }
    fn deliver_of(&mut self, job: &Job, content: &str) {
        self.errormail.deliver(job, &message(content));
    }
    /// The one report in `router/`: its envelope and its content.
    fn report(&self) -> Option<(Envelope, String)> {
        let names = self.spool.read_names(Place::Router).unwrap();
        let [name] = names.as_slice() else {
            assert!(names.is_empty());
            return None;
        };
        let mut text = String::new();
        self.spool.read_message(Place::Router, name).unwrap().read_to_string(&mut text).unwrap();
        let (envelope, at) = parse_envelope(text.as_bytes()).unwrap();
        let mut datagram = [0; 100];
        let length = self.notices.recv(&mut datagram).unwrap();
        assert_eq!(datagram[..length], *format!("NEW {name}").as_bytes());
        Some((envelope, text[at..].to_owned()))
    }
}
fn outcomes(report: &Report) -> Vec<(u32, Outcome)> {
    report.results.iter().map(|r| (r.index, r.outcome)).collect()
}
const NEVER: Option<Notify> = Some(Notify { never: true, success: false, failure: false, delay: false });
const SUCCESS: Option<Notify> = Some(Notify { never: false, success: true, failure: false, delay: false });
const FAILURE: Option<Notify> = Some(Notify { never: false, success: true, failure: true, delay: false });

#[test]
fn one_report_tells_of_all_recipients_that_want_it() {
    let mut office = office("");
    let recipients = vec![
        recipient(1, "a@example.net", None),
        recipient(2, "b@example.net", FAILURE),
        recipient(3, "c@example.net", NEVER),
        recipient(4, "d@example.net", SUCCESS),
        recipient(5, "local", None),
    ];
    let report = office.deliver(&job("sender@example.org", recipients));
    assert_eq!(report.job, 5);
    assert!(outcomes(&report).iter().all(|(_, outcome)| *outcome == Outcome::Delivered) && report.results.len() == 5);
    let (envelope, text) = office.report().unwrap();
    assert_eq!((envelope.from, envelope.errormsg, envelope.channel.as_deref()), (Some(Path::Null), true, Some("error")));
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.recipients[0].address.as_str(), "sender@example.org");
    for line in [
        "To: sender@example.org",
        "In-Reply-To: <m@example.org>",
        "Auto-Submitted: auto-replied",
        "Original-Envelope-Id: QQ7",
        "Final-Recipient: rfc822; a@example.net",
        "Final-Recipient: rfc822; b@example.net",
        "Final-Recipient: rfc822; local@mta.example.org",
        "Diagnostic-Code: smtp; 550 5.1.1 no a@example.net  Bcc: x",
        "body",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("c@example.net") && !text.contains("d@example.net") && !text.lines().any(|l| l.starts_with("Bcc")));
}

#[test]
fn nobody_is_told_where_nobody_wants_it_or_the_sender_is_null() {
    for job in [
        job("sender@example.org", vec![recipient(1, "a@b", NEVER), recipient(2, "c@d", SUCCESS)]),
        job("", vec![recipient(1, "a@b", None), recipient(2, "c@d", None)]),
        job("no address\n", vec![recipient(1, "a@b", None), recipient(2, "c@d", None)]),
    ] {
        let mut office = office("");
        let report = office.deliver(&job);
        assert_eq!(outcomes(&report), [(1, Outcome::Delivered), (2, Outcome::Delivered)]);
        assert!(office.report().is_none());
        assert!(office.counters.read_row(0, "ta-errormail").contains(&("suppressed", 1)));
    }
}

#[test]
fn a_double_bounce_goes_to_the_postmaster_and_never_twice() {
    let mut office = office("[bounce]\ndouble_to_postmaster = true");
    office.deliver(&job("", vec![recipient(1, "a@b", None)]));
    let (envelope, text) = office.report().unwrap();
    assert_eq!(envelope.recipients[0].address.as_str(), "postmaster@mta.example.org");
    assert_eq!(envelope.from, Some(Path::Null));
    // Now that report fails, too.
    let mut again = job("", vec![recipient(1, "postmaster@mta.example.org", None)]);
    again.size = text.len() as u64;
    let report = office.errormail.deliver(&again, &message(&text));
    assert_eq!(outcomes(&report), [(1, Outcome::Delivered)]);
    assert_eq!(office.spool.read_names(Place::Router).unwrap().len(), 1);
}

#[test]
fn ret_and_size_decide_what_is_returned() {
    for (more, ret, full) in [
        ("", None, true),
        ("", Some(Ret::Full), true),
        ("", Some(Ret::Headers), false),
        ("[bounce]\nmax_returned = 20", Some(Ret::Full), false),
    ] {
        let mut office = office(more);
        let mut job = job("sender@example.org", vec![recipient(1, "a@b", None)]);
        job.ret = ret;
        office.deliver(&job);
        let text = office.report().unwrap().1;
        assert_eq!(text.contains("Content-Type: message/rfc822\n"), full);
        assert_eq!(text.lines().any(|l| l == "body"), full);
    }
}

#[test]
fn a_large_original_is_streamed_with_its_label() {
    let mut office = office("[bounce]\nmax_returned = 1000000");
    let content = format!("{CONTENT}{}", "grüße\n".repeat(50_000));
    let mut job = job("sender@example.org", vec![recipient(1, "a@b", None)]);
    job.size = content.len() as u64;
    office.errormail.deliver(&job, &message(&content));
    let (envelope, text) = office.report().unwrap();
    assert_eq!(envelope.bodytype, BodyType::EightBit);
    assert!(text.contains(&content));
}

#[test]
fn a_spool_that_takes_nothing_defers_all() {
    let mut office = office("");
    std::fs::remove_dir(office.root.path().join("public")).unwrap();
    let report = office.deliver(&job("sender@example.org", vec![recipient(1, "a@b", None), recipient(2, "c@d", NEVER)]));
    assert_eq!(outcomes(&report), [(1, Outcome::Deferred), (2, Outcome::Deferred)]);
    assert!(office.spool.read_names(Place::Router).unwrap().is_empty());
    assert!(office.counters.read_row(0, "ta-errormail").contains(&("deferred", 1)));
}

fn told(host: &str, notify: Option<Notify>) -> Job {
    let mut job = job("sender@example.org", vec![recipient(1, "a@b.example", notify)]);
    host.clone_into(&mut job.host);
    job.recipients[0].failure.as_mut().unwrap().retry_until = if host == "delay" { 1_700_432_000 } else { 0 };
    job
}
fn notify(words: &str) -> Option<Notify> {
    Some(Notify::parse(words).unwrap())
}

#[test]
fn each_host_of_the_channel_is_one_kind_of_report() {
    for (host, words, lines) in [
        ("delay", None, &["Action: delayed", "Status: 4.1.1", "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000"][..]),
        ("delay", Some("FAILURE,DELAY"), &["Action: delayed"]),
        ("delivered", Some("SUCCESS"), &["Action: delivered", "Status: 2.1.1"]),
        ("relayed", Some("SUCCESS,FAILURE"), &["Action: relayed", "Status: 2.1.1"]),
        ("expanded", Some("SUCCESS"), &["Action: expanded", "Status: 2.1.1"]),
        ("bounce", None, &["Action: failed", "Status: 5.1.1"]),
    ] {
        let mut office = office("");
        office.deliver(&told(host, words.and_then(notify)));
        let text = office.report().unwrap().1;
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{line}\n{text}");
        }
        // Whole only after a failure.
        assert_eq!(text.lines().any(|l| l == "body"), host == "bounce");
    }
}

#[test]
fn notify_decides_for_each_kind_and_a_trace_tells_of_relays() {
    for (host, words) in [
        ("delay", Some("FAILURE,SUCCESS")),
        ("delay", Some("NEVER")),
        ("delivered", None),
        ("delivered", Some("FAILURE")),
        ("relayed", None),
        ("expanded", Some("NEVER")),
        ("bounce", Some("DELAY")),
    ] {
        let mut office = office("[bounce]\ncopy_to_postmaster = [\"failed\", \"delayed\", \"relayed\"]");
        office.deliver(&told(host, words.and_then(notify)));
        assert!(office.report().is_none(), "{host} {words:?}");
    }
    for (words, sent) in [(None, true), (Some("FAILURE"), true), (Some("NEVER"), false)] {
        let mut job = told("relayed", words.and_then(notify));
        job.terms.deliver_by = envelope::DeliverBy::parse("1 NT");
        let mut office = office("");
        office.deliver(&job);
        assert_eq!(office.report().is_some(), sent);
    }
}

#[test]
fn only_a_failure_of_a_report_goes_to_the_postmaster() {
    for host in ["delay", "delivered", "relayed", "expanded"] {
        let mut job = told(host, notify("SUCCESS,DELAY"));
        job.sender.clear();
        let mut office = office("[bounce]\ndouble_to_postmaster = true\ncopy_to_postmaster = [\"delayed\", \"delivered\"]");
        office.deliver(&job);
        assert!(office.report().is_none());
    }
}

#[test]
fn the_postmaster_s_copy_has_the_headers_and_its_failure_yields_nothing() {
    let mut office = office("[bounce]\ndouble_to_postmaster = true\ncopy_to_postmaster = [\"failed\"]");
    office.deliver(&told("bounce", None));
    let names = office.spool.read_names(Place::Router).unwrap();
    let mut copies = 0;
    for name in &names {
        let mut text = String::new();
        office.spool.read_message(Place::Router, name).unwrap().read_to_string(&mut text).unwrap();
        let (envelope, at) = parse_envelope(text.as_bytes()).unwrap();
        assert_eq!(envelope.from, Some(Path::Null));
        if envelope.recipients[0].address.as_str() == "postmaster@mta.example.org" {
            copies += 1;
            assert!(!text.lines().any(|l| l == "body") && text.contains("Subject: Postmaster Copy: "));
            let mut failed = job("", vec![recipient(1, "postmaster@mta.example.org", None)]);
            failed.size = (text.len() - at) as u64;
            office.deliver_of(&failed, &text[at..]);
        }
    }
    assert_eq!((names.len(), copies), (2, 1));
    assert_eq!(office.spool.read_names(Place::Router).unwrap().len(), 2, "nothing came of the copy's failure");
}
