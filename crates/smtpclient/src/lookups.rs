//! Questions to the resolver and the jobs that wait for the answers.

use crate::work::Work;
use ipc::dns::{Answer, Ask, Question, Told, Trouble};
use ipc::{Caller, Channel};
use mio::{Interest, Registry, Token};
use smtp::client::Verdict;
use status::Enhanced;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A question that has seen the resolver die this often is given up: it may be what kills it.
const MOST_ASKED: u8 = 2;

#[derive(Debug)]
pub struct Waiting {
    pub work: Box<Work>,
    pub question: Question,
    /// Of the hosts asked for.
    pub port: u16,
    deadline: Instant,
    asked: u8,
}

/// A job whose question is answered, or will not be.
pub type Answered = (Waiting, Result<Answer, Trouble>);

#[derive(Debug)]
pub struct Lookups {
    caller: Option<Caller>,
    channel: Option<Channel<Ask, Told>>,
    patience: Duration,
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

impl Lookups {
    /// `patience`: for one answer.
    pub fn new(caller: Option<Caller>, patience: Duration) -> Self {
        Self { caller, channel: None, patience, last: 0, waiting: HashMap::new() }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    /// Asks for a job; the error is the verdict when no resolver can be asked.
    pub fn ask(
        &mut self,
        work: Box<Work>,
        question: Question,
        port: u16,
        registry: &Registry,
        token: Token,
    ) -> Result<(), (Box<Work>, Verdict)> {
        let waiting = Waiting { work, question, port, deadline: Instant::now() + self.patience, asked: 0 };
        self.put(waiting, registry, token).map_err(|(waiting, why)| (waiting.work, temporary(&why)))
    }

    fn put(&mut self, mut waiting: Waiting, registry: &Registry, token: Token) -> Result<(), (Box<Waiting>, String)> {
        self.last += 1;
        waiting.asked += 1;
        let ask = Ask { number: self.last, question: waiting.question.clone() };
        match self.open(registry, token) {
            // A send that fails means that the resolver has died: the event that says so is on its way, see `receive`.
            Ok(channel) => drop(channel.send(&ask)),
            Err(e) => return Err((Box::new(waiting), format!("the resolver cannot be asked: {e}"))),
        }
        self.waiting.insert(self.last, waiting);
        Ok(())
    }

    fn open(&mut self, registry: &Registry, token: Token) -> std::io::Result<&mut Channel<Ask, Told>> {
        if self.channel.is_none() {
            let caller = self.caller.as_ref().ok_or_else(|| std::io::Error::other("the suite runs without one"))?;
            let mut channel = caller.call::<Ask, Told>()?;
            // Questions that a full socket keeps back leave with the next answer.
            registry.register(&mut channel, token, Interest::READABLE)?;
            self.channel = Some(channel);
        }
        self.channel.as_mut().ok_or_else(|| std::io::Error::other("no channel"))
    }

    /// The answers that have come. A resolver that has died is asked again, once.
    pub fn receive(&mut self, registry: &Registry, token: Token) -> Vec<Answered> {
        let mut answered = Vec::new();
        let Some(channel) = &mut self.channel else { return answered };
        let broken = channel.flush().is_err();
        loop {
            match channel.recv() {
                Ok(Some((Told { number, answer }, _))) => answered.extend(self.waiting.remove(&number).map(|w| (w, answer))),
                Ok(None) if !broken => return answered,
                Ok(None) | Err(_) => break,
            }
        }
        self.channel = None;
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let again = if waiting.asked < MOST_ASKED {
                self.put(waiting, registry, token)
            } else {
                Err((Box::new(waiting), "the resolver went away".to_owned()))
            };
            if let Err((waiting, why)) = again {
                answered.push((*waiting, Err(Trouble::Temporary(why))));
            }
        }
        answered
    }

    /// The jobs that have waited too long.
    pub fn overdue(&mut self, now: Instant) -> Vec<Answered> {
        let late = self.waiting.extract_if(|_, waiting| waiting.deadline <= now);
        late.map(|(_, waiting)| (waiting, Err(Trouble::Temporary("no answer in time".to_owned())))).collect()
    }
}

fn temporary(why: &str) -> Verdict {
    Verdict::deferred(Enhanced::transient(4, 3), why)
}

/// What a lookup without usable answer means for the job.
pub fn verdict(host: &str, trouble: &Trouble) -> Verdict {
    match trouble {
        Trouble::NoSuchName => Verdict::failed(Enhanced::permanent(1, 2), format!("{host} does not exist")),
        Trouble::NoRecords => Verdict::failed(Enhanced::permanent(1, 2), format!("{host} has no mail host and no address")),
        Trouble::NullMx => Verdict::failed(Enhanced::permanent(1, 10), format!("{host} takes no mail")),
        Trouble::Invalid => Verdict::failed(Enhanced::permanent(1, 2), format!("{host} is no valid name")),
        Trouble::Temporary(why) => temporary(&format!("{host}: {why}")),
    }
}
