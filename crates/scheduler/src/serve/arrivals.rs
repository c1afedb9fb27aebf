//! Routers that tell what has arrived. Hints like the datagrams, over conversations that lose none.

use super::Scheduler;
use ipc::arrivals::Arrived;
use mio::{Interest, Token};

impl Scheduler {
    /// Routers that want to tell of arrivals.
    pub(super) fn meet(&mut self) {
        let Some(contact) = &self.contact else { return };
        let mut new = Vec::new();
        // An error is the end of the contact point, hence of the master: its own conversation tells.
        while let Ok(Some(channel)) = contact.accept() {
            new.push(channel);
        }
        for mut channel in new {
            self.last_token += 1;
            let key = self.last_token;
            if self.poll.registry().register(&mut channel, Token(key), Interest::READABLE).is_ok() {
                self.routers_heard.insert(key as u64, channel);
                self.arrivals(key as u64);
            }
        }
    }

    /// A message that is said to be in `queue/` of a volume. False: no volume or no id of ours.
    pub(super) fn announced(&mut self, name: &str) -> bool {
        let Some((volume, id)) = self.volumes.read(name) else { return false };
        self.intakes.get_mut(usize::from(volume)).is_some_and(|intake| intake.announced(id))
    }

    pub(super) fn arrivals(&mut self, key: u64) {
        loop {
            let Some(channel) = self.routers_heard.get_mut(&key) else { return };
            match channel.recv() {
                Ok(Some((Arrived { names, wanted }, _))) => {
                    wanted.iter().for_each(|node| self.etrns.want(node));
                    self.started.counters.add("announced", names.len() as u64);
                    for name in &names {
                        self.announced(name);
                    }
                }
                Ok(None) => return,
                Err(_) => break,
            }
        }
        if let Some(mut gone) = self.routers_heard.remove(&key) {
            let _ = self.poll.registry().deregister(&mut gone);
        }
    }
}
