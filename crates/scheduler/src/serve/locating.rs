//! Questions to the resolver: which mail exchangers a domain has. Nobody waits for the answers; the model bounds how many are
//! under way, and every one of them ends here: answered, too late, or lost with the resolver.

use super::{RESOLVER, Scheduler};
use crate::model::Now;
use ipc::dns::{Answer, Ask, Question, Told, Trouble};
use ipc::{Caller, Channel};
use mio::{Interest, Registry};
use std::collections::HashMap;
use std::io;

/// Milliseconds after which no answer is expected any more. (The model goes on without it long before.)
const PATIENCE_MS: u64 = 10_000;

/// The conversation with the resolver.
#[derive(Debug)]
pub struct Locator {
    caller: Option<Caller>,
    channel: Option<Channel<Ask, Told>>,
    last: u64,
    /// By the number of the question: the destination it is for, and when it is given up.
    waiting: HashMap<u64, (u32, u64)>,
}

/// An answered destination: the names of its best exchangers, or that nobody knows now.
pub type Located = (u32, Option<Vec<String>>);

impl Locator {
    pub fn new(caller: Option<Caller>) -> Self {
        Self { caller, channel: None, last: 0, waiting: HashMap::new() }
    }

    pub const fn is_there(&self) -> bool {
        self.caller.is_some()
    }

    fn ask(&mut self, destination: u32, domain: String, registry: &Registry, now: Now) -> io::Result<()> {
        self.last += 1;
        let ask = Ask { number: self.last, question: Question::MailHosts { domain, validate: false } };
        if self.channel.is_none() {
            let caller = self.caller.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            let mut channel = caller.call::<Ask, Told>()?;
            registry.register(&mut channel, RESOLVER, Interest::READABLE)?;
            self.channel = Some(channel);
        }
        // A send that fails means that the resolver has died: the event that says so is on its way.
        if let Some(channel) = &mut self.channel {
            let _ = channel.send(&ask);
        }
        self.waiting.insert(self.last, (destination, now.ms + PATIENCE_MS));
        Ok(())
    }

    /// The answers that have come; all questions, when the resolver has died.
    fn receive(&mut self) -> Vec<Located> {
        let mut located = Vec::new();
        let Some(channel) = &mut self.channel else { return located };
        // Questions that a full socket kept back leave with the answers.
        let broken = channel.flush().is_err();
        loop {
            match channel.recv() {
                Ok(Some((Told { number, answer }, _))) => {
                    located.extend(self.waiting.remove(&number).map(|(destination, _)| (destination, names(answer))));
                }
                Ok(None) if !broken => return located,
                Ok(None) | Err(_) => break,
            }
        }
        self.channel = None;
        located.extend(self.waiting.drain().map(|(_, (destination, _))| (destination, None)));
        located
    }

    fn overdue(&mut self, now: Now) -> Vec<Located> {
        let late = self.waiting.extract_if(|_, (_, deadline)| *deadline <= now.ms);
        late.map(|(_, (destination, _))| (destination, None)).collect()
    }
}

/// The hosts of the best preference. Nothing in the DNS is an answer too.
fn names(answer: Result<Answer, Trouble>) -> Option<Vec<String>> {
    match answer {
        Ok(Answer::MailHosts(found)) => {
            let best = found.hosts.iter().map(|host| host.preference).min()?;
            Some(found.hosts.into_iter().filter(|host| host.preference == best).map(|host| host.name).collect())
        }
        Err(Trouble::NoSuchName | Trouble::NoRecords | Trouble::NullMx | Trouble::Invalid) => Some(Vec::new()),
        Ok(_) | Err(Trouble::Temporary(_)) => None,
    }
}

impl Scheduler {
    pub(super) fn locate(&mut self, destination: u32, domain: String, now: Now) {
        if self.locator.ask(destination, domain, self.poll.registry(), now).is_err() {
            self.model.located(destination, None, now);
        }
    }

    /// The resolver's event.
    pub(super) fn told_where(&mut self, now: Now) {
        for (destination, names) in self.locator.receive() {
            self.model.located(destination, names, now);
        }
    }

    /// Once a second.
    pub(super) fn give_up_questions(&mut self, now: Now) {
        for (destination, names) in self.locator.overdue(now) {
            self.model.located(destination, names, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::dns::{MailHost, MailHosts};

    #[test]
    fn the_best_exchangers_count() {
        let host = |preference, name: &str| MailHost { preference, name: name.into(), addresses: Vec::new(), secure: false };
        let hosts = vec![host(10, "b"), host(10, "a"), host(20, "c")];
        assert_eq!(names(Ok(Answer::MailHosts(MailHosts { hosts, secure: false }))), Some(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(names(Err(Trouble::NullMx)), Some(Vec::new()));
        assert_eq!(names(Err(Trouble::Temporary("x".into()))), None);
    }
}
