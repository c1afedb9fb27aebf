//! Commands that the master passes on: a connection each, served a turn at a time.

use super::clients::{Client, Turn};
use super::{Scheduler, link};
use crate::model::Now;
use ipc::control::{Reply, Request};
use mio::Token;
use std::os::fd::OwnedFd;

/// Commands answered at once.
const CLIENTS: usize = 64;

impl Scheduler {
    pub(super) fn command(&mut self, end: OwnedFd, request: Request) {
        self.last_token += 1;
        let token = Token(self.last_token);
        let link = ipc::Channel::new(end).and_then(|channel| link::Link::new(channel, token, self.poll.registry()));
        let Ok(mut link) = link else { return };
        if self.clients.len() >= CLIENTS {
            let reason = "the scheduler answers too many commands already; try again".to_owned();
            let _ = link.channel.send(&Reply::Refused { code: daemon::EX_TEMPFAIL, reason });
            return;
        }
        let client = match self.freezing(&request) {
            Some(replies) => Client::answered(link, replies),
            None => Client::new(link, request),
        };
        self.clients.insert(token.0 as u64, client);
    }

    /// One turn for every client.
    pub(super) fn answer(&mut self, now: Now) {
        let keys: Vec<u64> = self.clients.keys().copied().collect();
        for key in keys {
            let Some(client) = self.clients.get_mut(&key) else { continue };
            match client.turn(key, &mut self.model, &mut self.pool, self.poll.registry(), now) {
                Turn::Full => {}
                Turn::More => self.busy = true,
                Turn::Over => self.close_client(key),
            }
        }
    }

    pub(super) fn close_client(&mut self, key: u64) {
        if let Some(client) = self.clients.remove(&key) {
            let _ = client.close(self.poll.registry());
        }
    }
}
