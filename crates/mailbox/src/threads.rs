//! The event loop and the threads that deliver. Several at a time, because a delivery mostly waits for the disk and the
//! journal lets many syncs share one wait.

use crate::service::Mailboxes;
use agent::{Given, Link};
use daemon::{Signal, Signals, Started};
use ipc::Channel;
use ipc::agents::Report;
use ipc::master::{ToChild, ToMaster};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

const THREADS: usize = 8;
/// Jobs taken at once: enough that every thread finds the next one waiting.
const CREDIT: u32 = 32;

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const LINK: Token = Token(2);
const DONE: Token = Token(3);

/// Serves until drained (exit code 0), without scheduler (0) or without master (75).
pub fn serve(mut started: Started, mailboxes: Mailboxes) -> io::Result<ExitCode> {
    let jobs = started.contacts.take("jobs").ok_or_else(|| io::Error::other("no job conversation from the master"))?;
    let mut service = Service::new(Link::new(Channel::new(jobs)?), started.master, started.signals, mailboxes)?;
    let ended = service.turns();
    service.crew.dismiss();
    daemon::log::flush();
    ended.map(|code| ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

pub struct Service {
    poll: Poll,
    link: Link,
    master: Channel<ToMaster, ToChild>,
    signals: Signals,
    mailboxes: Arc<Mailboxes>,
    pub crew: Crew,
    /// Jobs in hand.
    active: usize,
    draining: bool,
}

impl Service {
    pub fn new(mut link: Link, mut master: Channel<ToMaster, ToChild>, mut signals: Signals, mailboxes: Mailboxes) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(&mut master, MASTER, Interest::READABLE)?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        poll.registry().register(&mut link.channel, LINK, Interest::READABLE)?;
        let mailboxes = Arc::new(mailboxes);
        let crew = Crew::hire(Arc::clone(&mailboxes), Arc::new(Waker::new(poll.registry(), DONE)?));
        Ok(Self { poll, link, master, signals, mailboxes, crew, active: 0, draining: false })
    }

    /// The loop; gives the exit code.
    pub fn turns(&mut self) -> io::Result<i32> {
        // Where one of them has gone already, receiving will say so.
        let _ = self.master.send(&ToMaster::Ready);
        let _ = self.link.credit(CREDIT);
        let mut events = Events::with_capacity(16);
        loop {
            daemon::log::flush();
            match self.poll.poll(&mut events, self.mailboxes.sweep()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            while let Some(signal) = self.signals.next() {
                self.draining |= signal == Signal::Drain;
            }
            if let Some(code) = self.hear()? {
                return Ok(code);
            }
            self.report()?;
            self.link.watch(self.poll.registry(), LINK)?;
            if self.draining && self.active == 0 && self.link.channel.pending() == 0 {
                return Ok(0);
            }
        }
    }

    /// Takes in what is new.
    fn hear(&mut self) -> io::Result<Option<i32>> {
        let mut jobs = Vec::new();
        let end = self.link.hear(&mut self.master, &mut self.draining, &mut jobs)?;
        for given in jobs {
            self.active += 1;
            self.crew.give(given)?;
        }
        Ok(end)
    }

    /// Sends what is done, and new credit for it. A send fails only when the other side has gone: receiving sees that.
    fn report(&mut self) -> io::Result<()> {
        let mut done = 0u32;
        while let Ok(report) = self.crew.reports.try_recv() {
            match self.link.report(report) {
                Some(next) => self.crew.give(next)?,
                None => done += 1,
            }
        }
        self.active = self.active.saturating_sub(done as usize);
        let _ = self.master.flush();
        let _ = self.link.flush();
        if done > 0 && !self.draining {
            let _ = self.link.credit(done);
        }
        Ok(())
    }
}

/// The threads.
#[derive(Debug)]
pub struct Crew {
    jobs: Option<Sender<Given>>,
    reports: Receiver<Report>,
    /// Set when nobody wants the results any more.
    dismissed: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    fn hire(mailboxes: Arc<Mailboxes>, waker: Arc<Waker>) -> Self {
        let (jobs, work) = channel();
        let (done, reports) = channel();
        let work = Arc::new(Mutex::new(work));
        let dismissed = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let (work, done, dismissed) = (Arc::clone(&work), done.clone(), Arc::clone(&dismissed));
            let (mailboxes, waker) = (Arc::clone(&mailboxes), Arc::clone(&waker));
            std::thread::spawn(move || {
                while let Some((job, file)) = next(&work)
                    && !dismissed.load(Relaxed)
                {
                    let report = mailboxes.deliver(&job, &file);
                    if done.send(report).is_err() || waker.wake().is_err() {
                        return;
                    }
                }
            })
        };
        let threads = (0..THREADS).map(one).collect();
        Self { jobs: Some(jobs), reports, dismissed, threads }
    }

    fn give(&self, given: Given) -> io::Result<()> {
        let ended = || io::Error::other("the delivering threads have ended");
        self.jobs.as_ref().ok_or_else(ended)?.send(given).map_err(|_| ended())
    }

    /// Lets every thread finish the delivery in its hands, so that no mailbox is left with half a message.
    pub fn dismiss(&mut self) {
        self.dismissed.store(true, Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn next(work: &Mutex<Receiver<Given>>) -> Option<Given> {
    work.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
