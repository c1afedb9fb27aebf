//! `zpost policy test`: a client that is made up goes through the policy with real look-ups. No message, no count and no
//! cache of ours comes of it.

use crate::policy::Asker;
use crate::worker::Worker;
use ipc::Channel;
use ipc::control::{PolicyTest, Reply, Request};
use policy::{Answer, QueryId, Questions, Trial};
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Tests at once at most; each waits for others a while.
const MOST: usize = 50;

/// Tests under way, with the conversation of the command.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    open: HashMap<u64, (Trial, Channel<Reply, Request>)>,
    next: u64,
}

impl Worker {
    /// A command that the master has handed over.
    pub(crate) fn command(&mut self, request: Request, end: OwnedFd) {
        let Ok(mut channel) = Channel::<Reply, Request>::new(end) else { return };
        let made = match request {
            Request::PolicyTest(test) => self.trial(&test),
            _ => Err("this is no question for an SMTP server".to_owned()),
        };
        match made {
            Ok(trial) => {
                self.trials.next += 1;
                let number = self.trials.next;
                self.trials.open.insert(number, (trial, channel));
                self.with_trial(number, |trial, policy, ask| trial.begin(policy, ask));
            }
            Err(reason) => {
                let _ = channel.send(&Reply::Refused { code: 65, reason });
            }
        }
    }

    fn trial(&self, test: &PolicyTest) -> Result<Trial, String> {
        if self.trials.open.len() >= MOST {
            return Err("too many tests are under way, try again".to_owned());
        }
        Trial::new(test, &self.context.settings, &self.context.machine.relay, false)
    }

    pub(crate) fn trial_told(&mut self, number: u64, id: QueryId, answer: Answer) {
        self.with_trial(number, |trial, policy, ask| trial.told(policy, id, answer, ask));
    }

    fn with_trial(&mut self, number: u64, step: impl FnOnce(&mut Trial, &policy::Policy, &mut Questions) -> bool) {
        let Some((mut trial, channel)) = self.trials.open.remove(&number) else { return };
        let mut ask = Questions::new();
        let mut over = step(&mut trial, &self.context.policy, &mut ask);
        while !ask.is_empty() {
            let mut next = Questions::new();
            for (id, query) in std::mem::take(&mut ask) {
                if let Some(answer) = self.carry(Asker::Trial(number, id), query) {
                    over |= trial.told(&self.context.policy, id, answer, &mut next);
                }
            }
            ask = next;
        }
        if over { report(trial, channel) } else { drop(self.trials.open.insert(number, (trial, channel))) }
    }
}

fn report(trial: Trial, mut channel: Channel<Reply, Request>) {
    let replies = trial.into_steps().into_iter().map(Reply::PolicyStep).chain([Reply::End]);
    for reply in replies {
        // Who asked may have gone.
        if channel.send(&reply).is_err() {
            return;
        }
    }
}
