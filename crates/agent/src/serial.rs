//! An agent that delivers one job after another, blocking: its process is its own event loop.

use crate::link::{Incoming, Link};
use crate::parts::Given;
use daemon::{EX_ORPHANED, Signal, Signals, Started};
use ipc::agents::{Job, Report};
use ipc::master::{ToChild, ToMaster};
use ipc::{Channel, RecvError};
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One kind of delivery.
pub trait Deliver {
    /// Delivers a job; every recipient gets a result.
    fn deliver(&mut self, job: &Job, message: &File) -> Report;
}

/// Reports wait at most this long for company in their frame: what was delivered and not yet reported would be
/// delivered again if this process died now.
const REPORT_DELAY: Duration = Duration::from_millis(10);

/// Runs an agent until it is drained or orphaned: credits, jobs, reports, master's frames. `credit`: jobs taken at once.
///
/// Exit codes: 0 drained, or the scheduler closed the conversation; 75 (`EX_ORPHANED`) the master is gone; 70 the
/// conversation broke.
pub fn serve(mut started: Started, credit: u32, deliver: &mut dyn Deliver) -> ExitCode {
    let link = started.contacts.take("jobs").ok_or_else(|| io::Error::other("no job conversation from the master"));
    let link = link.and_then(Channel::new).map(Link::new);
    let result = link.and_then(|link| Loop::new(started.master, started.signals, link)).and_then(|mut agent| agent.run(credit, deliver));
    let code = match result {
        Ok(End::Drained) => 0,
        Ok(End::Orphaned) => u8::try_from(EX_ORPHANED).unwrap_or(1),
        Err(e) => {
            daemon::event!(Error, "agent_failed", reason = e);
            daemon::EX_SOFTWARE
        }
    };
    daemon::log::flush();
    ExitCode::from(code)
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Drained,
    Orphaned,
}

struct Loop {
    poll: Poll,
    master: Channel<ToMaster, ToChild>,
    signals: Signals,
    link: Link,
    jobs: VecDeque<Given>,
    draining: bool,
    /// The scheduler has closed its end: nothing more will come, and nobody reads our reports.
    closed: bool,
}

impl Loop {
    fn new(mut master: Channel<ToMaster, ToChild>, mut signals: Signals, mut link: Link) -> io::Result<Self> {
        let poll = Poll::new()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut link.channel, Token(0), both)?;
        poll.registry().register(&mut master, Token(1), both)?;
        poll.registry().register(&mut signals, Token(2), Interest::READABLE)?;
        Ok(Self { poll, master, signals, link, jobs: VecDeque::new(), draining: false, closed: false })
    }

    fn run(&mut self, credit: u32, deliver: &mut dyn Deliver) -> io::Result<End> {
        self.master.send(&ToMaster::Ready).or_else(unless_closed)?;
        self.link.credit(credit).or_else(unless_closed)?;
        loop {
            if !self.listen()? {
                return Ok(End::Orphaned);
            }
            if self.closed {
                return Ok(End::Drained);
            }
            if self.jobs.is_empty() {
                if self.draining && self.link.channel.pending() == 0 {
                    return Ok(End::Drained);
                }
                daemon::log::flush();
                self.wait()?;
                continue;
            }
            self.work(deliver)?;
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut Events::with_capacity(8), None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other,
        }
    }

    /// Takes in everything there is to read; false when the master is gone.
    fn listen(&mut self) -> io::Result<bool> {
        while let Some(signal) = self.signals.next() {
            self.draining |= signal == Signal::Drain;
        }
        loop {
            match self.master.recv() {
                Ok(Some((ToChild::Drain, _))) => self.draining = true,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(RecvError::Closed) => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
        loop {
            match self.link.recv() {
                Ok(Some(Incoming::Jobs(jobs))) => self.jobs.extend(jobs),
                Ok(Some(Incoming::Drain)) => self.draining = true,
                Ok(None) => break,
                Err(RecvError::Closed) => {
                    self.closed = true;
                    return Ok(true);
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.flush()?;
        Ok(true)
    }

    /// Delivers what is in hand until it is time to report; then new credit for what is done, unless draining.
    fn work(&mut self, deliver: &mut dyn Deliver) -> io::Result<()> {
        let begun = Instant::now();
        let mut done = 0u32;
        while let Some((job, message)) = self.jobs.pop_front() {
            let report = deliver.deliver(&job, &message);
            match self.link.report(report) {
                Some(next) => self.jobs.push_front(next),
                None => done = done.saturating_add(1),
            }
            if begun.elapsed() >= REPORT_DELAY {
                break;
            }
        }
        self.flush()?;
        if !self.draining && !self.closed {
            self.link.credit(done).or_else(unless_closed)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.master.flush().or_else(unless_closed)?;
        self.link.flush().or_else(unless_closed)
    }
}

/// That the other side has gone is seen, with its meaning, when receiving.
fn unless_closed(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
#[path = "serial_tests.rs"]
mod tests;
