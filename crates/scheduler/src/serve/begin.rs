//! How the scheduler begins: it waits for the lock of its predecessor, and makes the loop of what the master has given it.

use super::intake::Intake;
use super::{CONTACT, End, FIRST, Files, Frame, LISTENER, MASTER, NOTIFY, REMEMBER_MS, SIGNALS, Scheduler, WAKER};
use super::{etrn, locating, lock, orders, orphaned, outsiders};
use crate::io::Pool;
use crate::model::{Model, Reporting};
use daemon::Started;
use ipc::RecvError;
use ipc::master::{ToChild, ToMaster};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Waker};
use nix::fcntl::Flock;
use spool::Volumes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a predecessor may take to let go of the spool.
const PREDECESSOR: Duration = Duration::from_secs(30);

/// Starts, and runs until drained or orphaned.
pub fn run(mut started: Started) -> ExitCode {
    let mut early = VecDeque::new();
    let lock = match wait_for_lock(&mut started, &mut early) {
        Ok(lock) => lock,
        Err(end) => return end,
    };
    match Scheduler::new(started, lock) {
        Ok(mut scheduler) => scheduler.serve(early),
        Err(e) => {
            daemon::event!(Error, "start_failed", text = e);
            daemon::log::flush();
            ExitCode::from(daemon::EX_OSERR)
        }
    }
}

/// The lock of the postoffice; frames that come meanwhile are kept for later.
fn wait_for_lock(started: &mut Started, early: &mut VecDeque<Frame>) -> Result<Flock<File>, End> {
    let deadline = Instant::now() + PREDECESSOR;
    loop {
        let trouble = match lock::take(&started.settings.paths.postoffice) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) if Instant::now() < deadline => None,
            Ok(None) => Some("another scheduler serves this postoffice".to_owned()),
            Err(e) => Some(format!("cannot lock the postoffice: {e}")),
        };
        if let Some(trouble) = trouble {
            daemon::event!(Error, "start_failed", text = trouble);
            let _ = started.master.send(&ToMaster::Failing(trouble));
            daemon::log::flush();
            return Err(ExitCode::from(daemon::EX_TEMPFAIL));
        }
        match started.master.recv_by(Instant::now() + Duration::from_millis(50)) {
            Ok((ToChild::Drain, _)) => return Err(ExitCode::SUCCESS),
            Ok(frame) => early.push_back(frame),
            Err(RecvError::Io(e)) if e.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => return Err(orphaned()),
        }
        while let Some(signal) = started.signals.next() {
            if signal == daemon::Signal::Drain {
                return Err(ExitCode::SUCCESS);
            }
        }
    }
}

impl Scheduler {
    pub(super) fn new(mut started: Started, lock: Flock<File>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let waker = Arc::new(Waker::new(registry, WAKER)?);
        let settings = Arc::clone(&started.settings);
        let volumes = Volumes::open(&settings.paths.postoffice, settings.volume_roots())?;
        for volume in volumes.all() {
            if let Err(reason) = &volume.spool {
                daemon::event!(Error, "volume_missing", volume = volume.name, path = volume.path.display(), reason = reason);
            }
        }
        let spool = volumes.get(spool::POSTOFFICE).map(Arc::clone).ok_or(io::ErrorKind::NotFound)?;
        let pool = Pool::start(&volumes, settings.queue.io_threads, &waker)?;
        registry.register(&mut started.master, MASTER, Interest::READABLE)?;
        registry.register(&mut started.signals, SIGNALS, Interest::READABLE)?;
        let notify = started.contacts.take("notify").map(UnixDatagram::from);
        if let Some(socket) = &notify {
            socket.set_nonblocking(true)?;
            registry.register(&mut SourceFd(&socket.as_raw_fd()), NOTIFY, Interest::READABLE)?;
        }
        let listener = started.contacts.take("agents").map(UnixListener::from);
        if let Some(socket) = &listener {
            socket.set_nonblocking(true)?;
            registry.register(&mut SourceFd(&socket.as_raw_fd()), LISTENER, Interest::READABLE)?;
        }
        let mut contact = started.contacts.serve();
        if let Some(contact) = &mut contact {
            registry.register(contact, CONTACT, Interest::READABLE)?;
        }
        let seed = daemon::clock::unix_micros() ^ (u64::from(std::process::id()) << 40);
        let locator = locating::Locator::new(started.contacts.caller("resolver"));
        let mut model = Model::new(settings.queue.clone(), settings.policies.clone(), started.counters.clone(), seed);
        model.look_up(locator.is_there());
        model.set_reporting(Reporting::new(&settings));
        Ok(Self {
            started,
            model,
            pool,
            locator,
            spool,
            remember_at: REMEMBER_MS,
            intakes: volumes.all().iter().map(|_| Intake::default()).collect(),
            volumes,
            notify,
            listener,
            guests: outsiders::Guests::of(&settings),
            contact,
            routers_heard: HashMap::new(),
            agents: BTreeMap::new(),
            clients: HashMap::new(),
            files: Files::default(),
            opening: HashMap::new(),
            stuck: orders::Stuck::default(),
            etrns: etrn::Etrns::default(),
            routers: spool::Notifier::new(&settings.paths.run, "router").ok(),
            base: Instant::now(),
            last_token: FIRST,
            drain_deadline: None,
            busy: false,
            notified: true,
            heartbeat: 0,
            _lock: lock,
            poll,
        })
    }
}
