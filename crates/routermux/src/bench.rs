//! The whole process on a thread: the test is master, router, session and submitter.

use crate::service::serve_at;
use daemon::{Counters, Started};
use ipc::master::{ToChild, ToMaster};
use ipc::routing::{Answer, Ask, FromRouter, ToRouter, Told};
use ipc::{Caller, Channel, ContactPoint};
use spool::{Owners, Spool};
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) type RouterEnd = Channel<FromRouter, ToRouter>;

pub(crate) struct Bench {
    pub folder: tempfile::TempDir,
    pub master: Channel<ToChild, ToMaster>,
    pub notify: UnixDatagram,
    pub caller: Caller,
    counters: Counters,
    pub process: Option<JoinHandle<ExitCode>>,
}

pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

impl Bench {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// These files wait in `router/` already.
    pub fn with(files: &[&str]) -> Self {
        Self::of("", files)
    }

    /// With further sections of configuration.
    pub fn of(sections: &str, files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        for name in files {
            std::fs::write(folder.path().join("router").join(name), "x").unwrap();
        }
        let text = format!(
            "[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example\"\n\
             [[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n[queue]\nrouter_scan = \"1h\"\n[processes]\naddresses_per_router = 1000\n{sections}",
            folder.path().display()
        );
        let settings = Arc::new(settings::parse(&text, "test").unwrap());
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let (calling, answering) = ipc::channel::pair().unwrap();
        let (notify, theirs_notify) = UnixDatagram::pair().unwrap();
        let counters = Counters::detached("routermux").unwrap();
        let row = counters.clone();
        let process = std::thread::spawn(move || {
            let started = Started::detached("routermux", settings, theirs, row).unwrap();
            serve_at(started, Some(theirs_notify.into()), Some(ContactPoint::new(answering).unwrap()))
        });
        let mut bench = Self {
            folder,
            master: Channel::new(ours).unwrap(),
            notify,
            caller: Caller::new(calling).unwrap(),
            counters,
            process: Some(process),
        };
        assert!(matches!(bench.master.recv_by(soon()).unwrap().0, ToMaster::Ready));
        bench
    }

    pub fn router(&mut self, index: u64) -> RouterEnd {
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let frame = ToChild::Agent { ticket: index, channel: "router".into(), pid: 1 };
        self.master.send_with(&frame, vec![theirs]).unwrap();
        Channel::new(ours).unwrap()
    }

    pub fn notice(&self, text: &str) {
        self.notify.send(text.as_bytes()).unwrap();
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.counters.read_row(0, "routermux").into_iter().find(|(n, _)| *n == name).unwrap().1
    }

    /// Until a counter has come so far.
    pub fn wait_for(&self, name: &str, at_least: u64) {
        let deadline = soon();
        while self.counter(name) < at_least {
            assert!(Instant::now() < deadline, "{name}: {}", self.counter(name));
            std::thread::yield_now();
        }
    }

    pub fn end(&mut self) -> ExitCode {
        self.master.send(&ToChild::Drain).unwrap();
        self.process.take().unwrap().join().unwrap()
    }
}

pub(crate) fn files(router: &mut RouterEnd) -> Vec<String> {
    match router.recv_by(soon()).unwrap().0 {
        ToRouter::Files(names) => names,
        ToRouter::Ask(ask) => panic!("{ask:?}"),
    }
}

pub(crate) fn ask(router: &mut RouterEnd) -> Ask {
    match router.recv_by(soon()).unwrap().0 {
        ToRouter::Ask(ask) => ask,
        ToRouter::Files(names) => panic!("{names:?}"),
    }
}

pub(crate) fn done(router: &mut RouterEnd, files: Vec<String>) {
    router.send(&FromRouter::Done(files)).unwrap();
}

pub(crate) fn refused(told: &Told) -> u16 {
    match &told.answer {
        Answer::Refused { reply, .. } => reply.code,
        Answer::Routed { .. } | Answer::Kinship(_) => 250,
    }
}

pub(crate) fn answer() -> Answer {
    Answer::Routed { quads: Vec::new(), steps: vec!["why".into()] }
}
