//! The whole process, started as the master starts it: this test runs itself again as the child.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use ipc::Channel;
use ipc::agents::{Failure, Job, JobRecipient, ToAgent, ToScheduler};
use ipc::channel::pair;
use ipc::master::{Start, ToChild, ToMaster};
use spool::{Owners, Place, Spool};
use status::{Enhanced, Outcome};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const AS_CHILD: &str = "ERRORMAIL_TEST_CHILD";

#[test]
fn child() {
    if std::env::var_os(AS_CHILD).is_some() {
        let code = errormail::run();
        std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 1 });
    }
}

struct Suite {
    master: Channel<ToChild, ToMaster>,
    scheduler: Channel<ToAgent, ToScheduler>,
    child: Child,
}
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}
fn start(postoffice: &Path) -> Suite {
    let mut config = tempfile::tempfile().unwrap();
    write!(
        config,
        "[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example.org\"\n[log]\nto = \"stderr\"\n",
        postoffice.display()
    )
    .unwrap();
    let (ours, theirs) = pair().unwrap();
    let (scheduler, jobs) = pair().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env(AS_CHILD, "1").stdin(Stdio::from(theirs)).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    drop(command);
    let mut master: Channel<ToChild, ToMaster> = Channel::new(ours).unwrap();
    let start = Start {
        service: "ta-errormail".into(),
        index: 0,
        generation: 0,
        counter_row: 0,
        config_path: "test.toml".into(),
        names: vec!["config".into(), "counters".into(), "jobs".into()],
        channel: "error".into(),
    };
    let descriptors: Vec<OwnedFd> = vec![config.into(), daemon::Counters::create_table().unwrap(), jobs];
    master.send_with(&ToChild::Start(start), descriptors).unwrap();
    assert!(matches!(master.recv_by(soon()).unwrap().0, ToMaster::Ready));
    Suite { master, scheduler: Channel::new(scheduler).unwrap(), child }
}
fn job() -> Job {
    Job {
        number: 1,
        message: "0123456789abcdef".into(),
        channel: "error".into(),
        host: "bounce".into(),
        sender: "sender@example.org".into(),
        verp: false,
        edits: envelope::Edits::default(),
        body_offset: 0,
        size: 16,
        arrived: 0,
        bodytype: Default::default(),
        smtputf8: false,
        envid: None,
        ret: None,
        terms: Default::default(),
        sharing: Default::default(),
        recipients: vec![JobRecipient {
            index: 77,
            user: "a@example.net".into(),
            attributes: "-".into(),
            original: None,
            via: None,
            dsn: Default::default(),
            failure: Some(Failure { status: Enhanced::permanent(1, 1), remote: "-".into(), text: "no".into(), time: 1, retry_until: 0 }),
        }],
    }
}

#[test]
fn starts_sends_a_report_and_drains() {
    let root = tempfile::tempdir().unwrap();
    Spool::create(root.path(), &Owners::default()).unwrap();
    let mut suite = start(root.path());
    let mut message = tempfile::tempfile().unwrap();
    message.write_all(b"Subject: x\n\nbody").unwrap();
    suite.scheduler.send_with(&ToAgent::Jobs(vec![job()]), vec![File::into(message)]).unwrap();
    let results = loop {
        if let ToScheduler::Reports(reports) = suite.scheduler.recv_by(soon()).unwrap().0 {
            break reports[0].results.clone();
        }
    };
    assert_eq!((results[0].index, results[0].outcome), (77, Outcome::Delivered), "{}", results[0].text);
    let spool = Spool::open(root.path()).unwrap();
    assert_eq!(spool.read_names(Place::Router).unwrap().len(), 1);
    suite.master.send(&ToChild::Drain).unwrap();
    assert!(suite.child.wait().unwrap().success());
}

#[test]
fn ends_when_the_master_is_gone() {
    let root = tempfile::tempdir().unwrap();
    Spool::create(root.path(), &Owners::default()).unwrap();
    let mut suite = start(root.path());
    drop(suite.master);
    assert!(!suite.child.wait().unwrap().success());
}
