//! The conversation with the keeper of TLS policies: questions that jobs wait for, and results that nobody waits for.

use crate::work::Work;
use ipc::tlspolicy::{Ask, StsPolicy, TlsResult, Told};
use ipc::{Caller, Channel};
use mio::{Interest, Registry, Token};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a job waits for an answer. The keeper lets nobody wait longer than 5 seconds; a policy that takes longer to fetch
/// is there for the next message.
const PATIENCE: Duration = Duration::from_secs(10);
/// Results in one frame: each may have some KiB, a frame 128.
const BATCH: usize = 16;
/// Results kept while the socket is full; reports are statistics, memory is not.
const MOST_KEPT: usize = 1000;

/// A question that has seen the keeper die this often is given up: it may be what kills it.
const MOST_ASKED: u8 = 2;

#[derive(Debug)]
struct Waiting {
    work: Box<Work>,
    domain: String,
    deadline: Instant,
    asked: u8,
}

/// A job whose question is answered, or will not be.
pub type Answered = (Box<Work>, Option<StsPolicy>);

#[derive(Debug)]
pub struct Keeper {
    caller: Option<Caller>,
    channel: Option<Channel<Ask, Told>>,
    token: Token,
    last: u64,
    waiting: HashMap<u64, Waiting>,
    results: Vec<TlsResult>,
}

impl Keeper {
    pub fn new(caller: Option<Caller>, token: Token) -> Self {
        Self { caller, channel: None, token, last: 0, waiting: HashMap::new(), results: Vec::new() }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    /// Asks for a domain's policy; the job comes back at once where nobody can be asked.
    pub fn ask(&mut self, work: Box<Work>, domain: String, registry: &Registry, now: Instant) -> Result<(), Box<Work>> {
        self.put(Waiting { work, domain, deadline: now + PATIENCE, asked: 0 }, registry).map_err(|waiting| waiting.work)
    }

    fn put(&mut self, mut waiting: Waiting, registry: &Registry) -> Result<(), Waiting> {
        let number = self.last + 1;
        let Some(channel) = self.open(registry) else { return Err(waiting) };
        // A send that fails means that the keeper has died: the event that says so is on its way, see `receive`.
        drop(channel.send(&Ask::Policy { number, domain: waiting.domain.clone() }));
        self.last = number;
        waiting.asked += 1;
        self.waiting.insert(number, waiting);
        Ok(())
    }

    fn open(&mut self, registry: &Registry) -> Option<&mut Channel<Ask, Told>> {
        if self.channel.is_none() {
            let mut channel = self.caller.as_ref()?.call::<Ask, Told>().ok()?;
            registry.register(&mut channel, self.token, Interest::READABLE).ok()?;
            self.channel = Some(channel);
        }
        self.channel.as_mut()
    }

    /// The answers that have come. When the keeper has died its successor is asked, once: it knows the policies that hold, and
    /// mail must not go without them because of a reload or a crash.
    pub fn receive(&mut self, registry: &Registry) -> Vec<Answered> {
        let mut answered = Vec::new();
        let Some(channel) = &mut self.channel else { return answered };
        let broken = channel.flush().is_err();
        loop {
            match channel.recv() {
                Ok(Some((Told { number, policy }, _))) => {
                    answered.extend(self.waiting.remove(&number).map(|waiting| (waiting.work, policy)))
                }
                Ok(None) if !broken => return answered,
                Ok(None) | Err(_) => break,
            }
        }
        self.channel = None;
        daemon::event!(Debug, "tlspolicy_lost", jobs = self.waiting.len());
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            let again = if waiting.asked < MOST_ASKED { self.put(waiting, registry) } else { Err(waiting) };
            answered.extend(again.err().map(|waiting| (waiting.work, None)));
        }
        answered
    }

    /// The jobs that have waited too long.
    pub fn overdue(&mut self, now: Instant) -> Vec<Answered> {
        let late = self.waiting.extract_if(|_, waiting| waiting.deadline <= now);
        let late: Vec<Answered> = late.map(|(_, waiting)| (waiting.work, None)).collect();
        if !late.is_empty() {
            daemon::event!(Debug, "tlspolicy_silent", jobs = late.len());
        }
        late
    }

    /// Keeps a result until the turn of the loop ends.
    pub fn note(&mut self, result: TlsResult) {
        if self.caller.is_some() && self.results.len() < MOST_KEPT {
            self.results.push(result);
        }
    }

    /// Tells the results of this turn.
    pub fn flush(&mut self, registry: &Registry) {
        if let Some(channel) = self.channel.as_mut().filter(|channel| channel.pending() > 0) {
            // The event that says that the keeper has died is on its way.
            let _ = channel.flush();
        }
        while !self.results.is_empty() {
            let size = self.results.len().min(BATCH);
            if self.open(registry).is_none_or(|channel| channel.pending() > 0) {
                return;
            }
            let batch = Ask::Results(self.results.drain(..size).collect());
            if let Some(channel) = &mut self.channel {
                let _ = channel.send(&batch);
            }
        }
    }
}
