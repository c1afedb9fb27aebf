//! Questions to the resolver: where a next hop is.

use crate::hop::Name;
use ipc::dns::{Answer, Ask, Question, Told, Trouble};
use ipc::{Caller, Channel};
use mio::{Interest, Registry, Token};
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Waiting {
    hop: Name,
    port: u16,
    deadline: Instant,
}

/// A next hop, the port of its hosts, and what the resolver says.
pub type Answered = (Name, u16, Result<Answer, Trouble>);

#[derive(Debug)]
pub struct Lookups {
    caller: Option<Caller>,
    channel: Option<Channel<Ask, Told>>,
    token: Token,
    last: u64,
    waiting: HashMap<u64, Waiting>,
}

impl Lookups {
    pub fn new(caller: Option<Caller>, token: Token) -> Self {
        Self { caller, channel: None, token, last: 0, waiting: HashMap::new() }
    }

    pub const fn token(&self) -> Token {
        self.token
    }

    pub fn wake(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.deadline).min()
    }

    /// `Err`: no resolver can be asked.
    pub fn ask(&mut self, hop: Name, question: Question, port: u16, patience: Duration, registry: &Registry) -> Result<(), String> {
        self.last = self.last.wrapping_add(1);
        let ask = Ask { number: self.last, question };
        self.open(registry).and_then(|channel| channel.send(&ask)).map_err(|e| format!("the resolver cannot be asked: {e}"))?;
        self.waiting.insert(self.last, Waiting { hop, port, deadline: Instant::now() + patience });
        Ok(())
    }

    fn open(&mut self, registry: &Registry) -> io::Result<&mut Channel<Ask, Told>> {
        if self.channel.is_none() {
            let caller = self.caller.as_ref().ok_or_else(|| io::Error::other("the suite runs without one"))?;
            let mut channel = caller.call::<Ask, Told>()?;
            registry.register(&mut channel, self.token, Interest::READABLE | Interest::WRITABLE)?;
            self.channel = Some(channel);
        }
        self.channel.as_mut().ok_or_else(|| io::Error::other("no channel"))
    }

    /// The answers that have come; all that wait fail with a resolver that has died.
    pub fn receive(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        let Some(channel) = &mut self.channel else { return answered };
        let broken = channel.flush().is_err();
        loop {
            match channel.recv() {
                Ok(Some((Told { number, answer }, _))) => {
                    answered.extend(self.waiting.remove(&number).map(|waiting| (waiting.hop, waiting.port, answer)));
                }
                Ok(None) if !broken => return answered,
                Ok(None) | Err(_) => break,
            }
        }
        self.channel = None;
        answered.extend(self.waiting.drain().map(|(_, waiting)| failed(waiting, "the resolver went away")));
        answered
    }

    pub fn overdue(&mut self, now: Instant) -> Vec<Answered> {
        let late = self.waiting.extract_if(|_, waiting| waiting.deadline <= now);
        late.map(|(_, waiting)| failed(waiting, "the resolver did not answer in time")).collect()
    }
}

fn failed(waiting: Waiting, why: &str) -> Answered {
    (waiting.hop, waiting.port, Err(Trouble::Temporary(why.to_owned())))
}
