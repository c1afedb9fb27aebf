//! The event loop of a router: questions at once, files a few at a time between them.

mod trial;
mod work;

use crate::callers::TableCallers;
use crate::file::FileRouter;
use crate::hand::Hand;
use crate::lines::{Lines, Start};
use crate::parking::Wait;
use crate::shadow::Shadow;
use crate::vitals::{Signs, Vitals, limit_memory};
use daemon::{EX_ORPHANED, Signal, Started, event, log};
use ipc::arrivals::Teller;
use ipc::master::{ToChild, ToMaster};
use ipc::routing::{Ask, FromRouter, ToRouter};
use ipc::{Channel, RecvError};
use mio::{Events, Interest, Poll, Token, Waker};
use spool::Volumes;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const JOBS: Token = Token(2);
const LINES: Token = Token(3);
/// Conversations with processes that answer for tables.
const TABLES: Token = Token(4);

/// A drained router waits this long for the routermux to close their conversation.
const LEAVE: Duration = Duration::from_secs(2);

/// Wait before another attempt at a scheduler that takes no frames.
const ROOM_AGAIN: Duration = Duration::from_millis(10);

/// Why the process ends.
#[derive(Debug)]
pub(crate) enum End {
    /// Drained, or the routermux has closed the conversation.
    Done,
    Orphaned,
    Failed(String),
}

pub(crate) struct Service {
    pub(crate) started: Started,
    pub(crate) jobs: Channel<FromRouter, ToRouter>,
    poll: Poll,
    /// Answers questions, and routes the files where there is only one volume.
    pub(crate) router: FileRouter,
    /// Where there are several.
    lines: Option<Lines>,
    scheduler: Teller,
    pub(crate) hand: Hand,
    vitals: Vitals,
    signs: Signs,
    /// Questions that wait for tables.
    pub(crate) questions: Vec<(Ask, Wait)>,
    /// A configuration that is tried beside ours.
    shadow: Option<Shadow>,
    draining: bool,
    /// When the routermux was told.
    leaving: Option<Instant>,
}

/// Runs until drained, orphaned or closed by the routermux.
pub fn serve(mut started: Started) -> ExitCode {
    limit_memory(&started.settings.processes);
    let jobs = started.contacts.take("jobs");
    serve_at(started, jobs)
}

/// `jobs`: our end of the conversation with the routermux.
pub(crate) fn serve_at(mut started: Started, jobs: Option<OwnedFd>) -> ExitCode {
    let scheduler = Teller::new(started.contacts.caller("scheduler"));
    let service = match prepare(&mut started, jobs) {
        Ok((jobs, router, poll, lines)) => {
            let (hand, questions) = (Hand::default(), Vec::new());
            let (vitals, signs) = (Vitals::new(&started.settings.processes), Signs::new());
            Service {
                started,
                jobs,
                poll,
                router,
                lines,
                scheduler,
                hand,
                vitals,
                signs,
                questions,
                shadow: None,
                draining: false,
                leaving: None,
            }
        }
        Err(reason) => return fail(&mut started, &reason, daemon::EX_OSERR),
    };
    service.run()
}

type Prepared = (Channel<FromRouter, ToRouter>, FileRouter, Poll, Option<Lines>);

fn prepare(started: &mut Started, jobs: Option<OwnedFd>) -> Result<Prepared, String> {
    let jobs = jobs.ok_or("the master sent no job conversation")?;
    let jobs = Channel::new(jobs).map_err(|e| format!("job conversation: {e}"))?;
    let callers = TableCallers::take(&mut started.contacts);
    let settings = &started.settings;
    let root = &settings.paths.postoffice;
    let opened = Volumes::open(root, settings.volume_roots()).map_err(|e| format!("postoffice {}: {e}", root.display()))?;
    let postoffice = opened.get(spool::POSTOFFICE).map(Arc::clone).ok_or("no postoffice")?;
    let poll = Poll::new().map_err(|e| e.to_string())?;
    let start = Start { settings, callers: &callers, counters: &started.counters };
    let lines = || Lines::start(opened, &start, &Arc::new(Waker::new(poll.registry(), LINES)?));
    let lines = if settings.volumes.is_empty() { None } else { Some(lines().map_err(|e| e.to_string())?) };
    let mut router = FileRouter::new(settings, callers, started.counters.clone(), postoffice);
    router.tables.relations.register(poll.registry(), TABLES).map_err(|e| format!("tables: {e}"))?;
    report_faults(&mut router);
    Ok((jobs, router, poll, lines))
}

pub(crate) fn report_faults(router: &mut FileRouter) {
    for fault in router.tables.at(Instant::now()).faults() {
        event!(Warning, "alias_fault", reason = fault);
    }
}

fn fail(started: &mut Started, reason: &str, code: u8) -> ExitCode {
    event!(Error, "failing", reason = reason);
    let _ = started.master.send(&ToMaster::Failing(reason.to_owned()));
    log::flush();
    ExitCode::from(code)
}

impl Service {
    fn run(mut self) -> ExitCode {
        let end = self.turns().err().unwrap_or(End::Done);
        log::flush();
        match end {
            End::Done => ExitCode::SUCCESS,
            End::Orphaned => ExitCode::from(u8::try_from(EX_ORPHANED).unwrap_or(1)),
            End::Failed(reason) => fail(&mut self.started, &reason, daemon::EX_SOFTWARE),
        }
    }

    fn turns(&mut self) -> Result<(), End> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut self.started.master, MASTER, both)?;
        self.poll.registry().register(&mut self.started.signals, SIGNALS, Interest::READABLE)?;
        self.poll.registry().register(&mut self.jobs, JOBS, both)?;
        self.started.master.send(&ToMaster::Ready)?;
        let mut events = Events::with_capacity(16);
        loop {
            self.signals();
            self.master()?;
            self.tables(events.iter().any(|event| event.token() >= TABLES))?;
            let more = self.work()?;
            let mut wait = if self.draining { Some(self.leave()?) } else { None };
            if wait.is_some_and(|wait| wait.is_zero()) {
                return Ok(());
            }
            self.scheduler.flush();
            let due = if more { Some(Duration::ZERO) } else { self.due() };
            wait = wait.into_iter().chain(due).min();
            log::flush();
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            self.started.master.flush()?;
        }
    }

    /// When something is due though nothing comes.
    fn due(&mut self) -> Option<Duration> {
        let room = self.scheduler.waits().then_some(ROOM_AGAIN);
        let moments = [self.tables_due(), self.shadow()];
        let waits = moments.into_iter().flatten().map(|due| due.saturating_duration_since(Instant::now()));
        waits.chain(room).min()
    }

    /// Says that we leave; the routermux closes the conversation once we have nothing in hand. How long to wait for
    /// that: without a routermux nobody would close it.
    fn leave(&mut self) -> Result<Duration, End> {
        if self.leaving.is_some() && !(self.hand.is_empty() && self.questions.is_empty()) {
            self.leaving = Some(Instant::now());
        }
        if self.leaving.is_none() {
            self.leaving = Some(Instant::now());
            self.jobs.send(&FromRouter::Leaving).map_err(closed)?;
        }
        Ok(self.leaving.map_or(Duration::ZERO, |since| LEAVE.saturating_sub(since.elapsed())))
    }

    fn signals(&mut self) {
        while let Some(signal) = self.started.signals.next() {
            self.draining |= signal == Signal::Drain;
        }
    }

    fn master(&mut self) -> Result<(), End> {
        loop {
            match self.started.master.recv() {
                Ok(None) => return Ok(()),
                Ok(Some((ToChild::Drain, _))) => self.draining = true,
                Ok(Some((ToChild::Reload(start), descriptors))) => match self.started.reload(&start, descriptors) {
                    Ok(_) => {
                        let settings = self.started.settings.clone();
                        self.router.reload(&settings);
                        self.router.tables.relations.register(self.poll.registry(), TABLES)?;
                        self.heard();
                        if let Some(lines) = &self.lines {
                            lines.reload(&settings);
                        }
                        report_faults(&mut self.router);
                    }
                    Err(reason) => event!(Error, "reload_failed", reason = reason),
                },
                Ok(Some((ToChild::Shadow(start), descriptors))) => self.try_beside(start.map(|start| (start, descriptors))),
                Ok(Some(_)) => {}
                Err(RecvError::Closed) => return Err(End::Orphaned),
                Err(e) => return Err(End::Failed(format!("master: {e}"))),
            }
        }
    }
}

/// A broken conversation is the end of the work, not a fault of ours.
pub(crate) fn closed(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => End::Done,
        _ => End::Failed(format!("routermux: {error}")),
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Orphaned,
            _ => Self::Failed(error.to_string()),
        }
    }
}
