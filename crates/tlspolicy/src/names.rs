//! Questions to the suite's resolver, from threads that may wait.

use ipc::Caller;
use ipc::dns::{Answer, Ask, Question, Told, Trouble};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Asks the resolver. Every question has a conversation of its own, so that threads need no order among them.
#[derive(Debug)]
pub struct Names {
    caller: Caller,
    /// For one answer: longer than the resolver takes itself.
    patience: Duration,
}

impl Names {
    pub const fn new(caller: Caller, patience: Duration) -> Self {
        Self { caller, patience }
    }

    /// TXT strings; none where there are none.
    pub fn texts(&self, name: String) -> Result<Vec<String>, String> {
        match self.ask(Question::Text { name }) {
            Ok(Answer::Text(texts)) => Ok(texts),
            Ok(_) => Err("the resolver answered another question".to_owned()),
            Err(Trouble::NoSuchName | Trouble::NoRecords | Trouble::NullMx | Trouble::Invalid) => Ok(Vec::new()),
            Err(Trouble::Temporary(text)) => Err(text),
        }
    }

    pub fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        match self.ask(Question::Addresses { host: host.to_owned() }) {
            Ok(Answer::Addresses(addresses)) => Ok(addresses),
            Ok(_) => Err("the resolver answered another question".to_owned()),
            Err(Trouble::Temporary(text)) => Err(text),
            Err(_) => Err(format!("{host} has no address")),
        }
    }

    fn ask(&self, question: Question) -> Result<Answer, Trouble> {
        let later = |e: &dyn std::fmt::Display| Trouble::Temporary(format!("the resolver does not answer: {e}"));
        let mut channel = self.caller.call::<Ask, Told>().map_err(|e| later(&e))?;
        channel.send(&Ask { number: 0, question }).map_err(|e| later(&e))?;
        let deadline = Instant::now().checked_add(self.patience).unwrap_or_else(Instant::now);
        channel.recv_by(deadline).map_err(|e| later(&e))?.0.answer
    }
}
