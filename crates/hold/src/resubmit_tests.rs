#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use envelope::{BodyType, Notify, RecipientDsn, Ret, parse_envelope};
use spool::{Owners, Place};
use std::io::{Read, Write};

const CONTENT: &str = "Subject: hello\n\nbody\n";

struct Office {
    _root: tempfile::TempDir,
    spool: Arc<Spool>,
    hold: Hold,
}
fn office() -> Office {
    office_with(Tables::default())
}
fn office_with(tables: Tables) -> Office {
    let root = tempfile::tempdir().unwrap();
    Spool::create(root.path(), &Owners::default()).unwrap();
    let spool = Arc::new(Spool::open(root.path()).unwrap());
    let notifier = Notifier::new(root.path(), "router").unwrap();
    let counters = Counters::detached("ta-hold").unwrap();
    let stay = Stay { shortest: Duration::from_secs(300), longest: Duration::from_secs(3600), probe: Duration::from_secs(15) };
    let hold = Hold::new(Probe::none(), tables, stay, counters, Arc::clone(&spool), notifier);
    Office { _root: root, spool, hold }
}
/// An id as if made so many seconds ago.
fn id_of_age(seconds: u64) -> String {
    let mut source = envelope::IdSource::new(1);
    source.next(daemon::clock::unix_micros() - seconds * 1_000_000).to_string()
}
fn job(host: &str, age: u64) -> Job {
    let notify = Some(Notify { never: false, success: true, failure: true, delay: false });
    let recipient = |index, user: &str, original: Option<&str>| JobRecipient {
        index,
        user: user.into(),
        attributes: "-".into(),
        original: original.map(str::to_owned),
        via: None,
        dsn: RecipientDsn { notify, orcpt: Some("rfc822;x@example.org".into()) },
        failure: None,
    };
    Job {
        number: 9,
        message: id_of_age(age),
        channel: "hold".into(),
        host: host.into(),
        sender: "sender@example.org".into(),
        verp: false,
        edits: envelope::Edits::default(),
        body_offset: 9,
        size: CONTENT.len() as u64,
        arrived: 1_700_000_000_123,
        bodytype: BodyType::EightBit,
        smtputf8: false,
        envid: Some("QQ7".into()),
        ret: Some(Ret::Headers),
        terms: Default::default(),
        sharing: Default::default(),
        recipients: vec![recipient(1, "a@example.org", None), recipient(2, "b", Some("b@local.example"))],
    }
}
fn message(content: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    write!(file, "env-end \n{content}").unwrap();
    file
}

#[test]
fn conditions_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let probe = folder.path().join("probe");
    std::fs::write(&probe, "#!/bin/sh\necho \"no $1\"\n[ \"$1\" = yes ]\n").unwrap();
    std::fs::set_permissions(&probe, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = format!(
        "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"a.example\"\n[[script]]\nname = \"up\"\nprogram = [\"{}\"]\n",
        probe.display()
    );
    let probe = Probe::new(Arc::new(settings::parse(&text, "f").unwrap()), None);
    assert!(probe.script("up", Some("yes")).is_ok());
    assert!(probe.script("up", Some("`id`")).unwrap_err().contains("no `id`"));
    assert!(Probe::home("root").is_ok());
}

#[test]
fn waits_for_the_administrator_the_moment_and_the_next_attempt() {
    let mut office = office();
    let later = format!("until:{}", daemon::clock::unix_seconds() + 1000);
    for (host, age, text) in [
        ("-", 1000, "administrator"),
        ("admin", 1000, "administrator"),
        (later.as_str(), 1000, "held until "),
        ("until:1700000000", 1, "its time has come"),
        ("retry:home is missing", 1, "home is missing"),
        ("age:2000d", 1000, "held until "),
        ("home:zp-nobody-here", 1000, "no such user"),
        ("script:none", 1000, "no [[script]]"),
        ("ns:a.example/MX", 1000, "resolver"),
        ("table:people/gone", 1000, "no configuration"),
        ("tomorrow", 1000, "until:SECONDS"),
    ] {
        let report = office.hold.deliver(&job(host, age), &message(CONTENT));
        assert_eq!(report.job, 9);
        for (result, index) in report.results.iter().zip([1, 2]) {
            assert_eq!((result.outcome, result.index), (Outcome::Deferred, index));
            assert!(result.text.contains(text), "{}", result.text);
        }
    }
    assert!(office.spool.read_names(Place::Router).unwrap().is_empty());
}

#[test]
fn routes_again_with_everything_the_envelope_said() {
    for host in ["retry", "retry:x", "until:1700000000"] {
        let mut office = office();
        let report = office.hold.deliver(&job(host, 301), &message(CONTENT));
        assert!(report.results.len() == 2 && report.results.iter().all(|r| r.outcome == Outcome::Delivered));
        let names = office.spool.read_names(Place::Router).unwrap();
        let mut text = String::new();
        office.spool.read_message(Place::Router, &names[0]).unwrap().read_to_string(&mut text).unwrap();
        let (envelope, at) = parse_envelope(text.as_bytes()).unwrap();
        assert_eq!(&text[at..], CONTENT);
        assert_eq!(envelope.from.unwrap().as_str(), "sender@example.org");
        assert_eq!((envelope.arrived, envelope.envid.as_deref(), envelope.ret), (Some(1_700_000_000_123), Some("QQ7"), Some(Ret::Headers)));
        assert_eq!((envelope.bodytype, envelope.formed), (BodyType::EightBit, true));
        let users: Vec<&str> = envelope.recipients.iter().map(|r| r.address.as_str()).collect();
        assert_eq!(users, ["a@example.org", "b@local.example"]);
        assert_eq!(envelope.recipients[0].dsn, job(host, 0).recipients[0].dsn);
    }
}

#[test]
fn the_null_sender_stays_null() {
    let mut office = office();
    let mut job = job("retry", 301);
    job.sender = String::new();
    office.hold.deliver(&job, &message(CONTENT));
    let names = office.spool.read_names(Place::Router).unwrap();
    let mut bytes = Vec::new();
    office.spool.read_message(Place::Router, &names[0]).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(parse_envelope(&bytes).unwrap().0.from, Some(Path::Null));
}

#[test]
fn a_sender_without_his_form_gets_it() {
    let mut job = job("retry", 301);
    assert!(envelope_of(&job).unwrap().formed);
    job.recipients[0].attributes = UNFORMED.to_owned();
    assert!(!envelope_of(&job).unwrap().formed);
}

#[test]
fn half_a_message_is_not_sent_on() {
    let mut office = office();
    let report = office.hold.deliver(&job("retry", 301), &message("Subject: hel"));
    assert!(report.results.iter().all(|r| r.outcome == Outcome::Deferred));
    assert!(office.spool.read_names(Place::Router).unwrap().is_empty());
}

#[test]
fn what_the_administrator_lets_go_goes_at_once() {
    let mut office = office();
    let report = office.hold.deliver(&job("now", 0), &message(CONTENT));
    assert!(report.results.iter().all(|r| r.outcome == Outcome::Delivered));
    assert_eq!(office.spool.read_names(Place::Router).unwrap().len(), 1);
}

#[test]
fn a_member_of_a_list_goes_back_alone() {
    let canonical = Some("canonical\0old@home.example");
    for (user, original, via, expected) in [
        ("joe@home.example", Some("list@local.example"), None, ("joe@home.example", Some(SENT_ON))),
        ("joe@home.example", Some("old@home.example"), canonical, ("joe@home.example", canonical)),
        ("joe@local.example", Some("Joe+news@local.example"), None, ("Joe+news@local.example", None)),
        ("joe@local.example", Some("joerg@local.example"), None, ("joe@local.example", Some(SENT_ON))),
        ("joe", Some("joe@local.example"), Some("joe"), ("joe@local.example", Some("joe"))),
        ("joe", Some("team@local.example"), Some("joe"), ("team@local.example", None)),
        ("joe@home.example", None, None, ("joe@home.example", None)),
        ("joe@home.example", None, Some("joe"), ("joe@home.example", Some("joe"))),
    ] {
        let mut recipient = job("now", 0).recipients.remove(0);
        (recipient.user, recipient.original) = (user.to_owned(), original.map(str::to_owned));
        recipient.via = via.map(str::to_owned);
        assert_eq!(again(&recipient), expected);
    }
}

/// Tables that routers answer for: `people` is trouble, everything else absent. The keys that were asked for.
fn routers() -> (Tables, std::sync::mpsc::Receiver<String>) {
    use ipc::routing::{Answer, Ask, Question, ToRoutermux, Told};
    let (calling, serving) = ipc::channel::pair().unwrap();
    let (asked, keys) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let point = ipc::ContactPoint::new(serving).unwrap();
        loop {
            let Some(mut session) = point.accept::<Told, ToRoutermux>().unwrap_or_default() else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            let by = std::time::Instant::now() + Duration::from_secs(20);
            let Ok((ToRoutermux::Ask(Ask { number, question: Question::Lookup { table, key } }), _)) = session.recv_by(by) else { return };
            let reply = match table.as_str() {
                "people" => status::Reply::new(451, Enhanced::transient(3, 0), "table people: connection refused"),
                _ => status::Reply::new(550, Enhanced::permanent(1, 1), "not there"),
            };
            session.send(&Told { number, answer: Answer::Refused { reply, steps: Vec::new() } }).unwrap();
            if asked.send(key).is_err() {
                return;
            }
        }
    });
    let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"a.example\"\n[[table]]\nname = \"people\"\nkind = \"inline\"\n\
        [[table]]\nname = \"well\"\nkind = \"inline\"\n";
    let settings = Arc::new(settings::parse(text, "f").unwrap());
    (Tables::new(settings, Some(ipc::Caller::new(calling).unwrap())), keys)
}

#[test]
fn one_question_speaks_for_all_that_waits_for_a_table() {
    let (tables, keys) = routers();
    let mut office = office_with(tables);
    for _ in 0..3 {
        let report = office.hold.deliver(&job("table:people/gone", 1000), &message(CONTENT));
        assert_eq!(report.phase, Phase::Lookup, "whatever else waits for it is not tried");
        for result in &report.results {
            assert_eq!((result.outcome, result.retry_after), (Outcome::Deferred, Some(15)));
            assert_eq!(result.text, "held: table people: connection refused");
        }
    }
    assert_eq!(keys.try_iter().collect::<Vec<_>>(), ["a@example.org"], "in a moment once");
    // Rather too often than never.
    let report = office.hold.deliver(&job("table:people", 3601), &message(CONTENT));
    assert!(report.results.iter().all(|r| r.outcome == Outcome::Delivered));
}

#[test]
fn what_waited_for_a_table_goes_when_it_answers_and_no_faster_than_it_ages() {
    let (tables, _keys) = routers();
    let mut office = office_with(tables);
    let now = daemon::clock::unix_millis();
    // Seconds since this copy came, and since the message did.
    for (table, stayed, age, outcome, again) in [
        ("well", 6, 6, Outcome::Delivered, None),
        ("well", 1, 1, Outcome::Deferred, Some(4..=5)),
        ("well", 20, 400, Outcome::Deferred, Some(29..=31)),
        ("well", 51, 400, Outcome::Delivered, None),
        // As `retry` at most.
        ("well", 301, 86_400, Outcome::Delivered, None),
        ("removed", 6, 6, Outcome::Delivered, None),
    ] {
        let job = Job { arrived: now - age * 1000, ..job(&format!("table:{table}/gone"), stayed) };
        let report = office.hold.deliver(&job, &message(CONTENT));
        assert_eq!(report.phase, Phase::Transaction);
        let result = report.results.first().unwrap();
        assert_eq!(result.outcome, outcome, "{table} {stayed} {age}: {}", result.text);
        assert_eq!(result.retry_after.is_some(), again.is_some(), "{:?}", result.retry_after);
        assert!(again.is_none_or(|seconds| seconds.contains(&result.retry_after.unwrap())), "{:?}", result.retry_after);
    }
}
