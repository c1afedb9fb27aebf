//! `zpost` commands at `<run>/control`: the master answers what is its own and hands the rest on.

use crate::listeners::credentials;
use crate::supervise::Master;
use ipc::Channel;
use ipc::control::{Reply, Request};
use ipc::master::{Peer, ToChild};
use mio::{Interest, Token};
use nix::unistd::{Uid, User};
use std::time::{Duration, Instant};

/// Commands at once; more are turned away unheard.
const MOST: usize = 64;
/// For the question, and for taking the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// One command's connection.
#[derive(Debug)]
pub struct Client {
    pub link: Channel<Reply, Request>,
    peer: Peer,
    deadline: Instant,
    /// It has had its one request.
    asked: bool,
}

impl Client {
    /// A command whose answer is still owed (it asked for an upgrade, and the master has become another program).
    pub fn owed(link: Channel<Reply, Request>, deadline: Instant) -> Self {
        Self { link, peer: Peer::Local { uid: u32::MAX, gid: u32::MAX, pid: 0 }, deadline, asked: true }
    }
}

impl Master {
    pub fn accept_commands(&mut self) {
        while let Some(end) = self.accept_command() {
            if self.clients.len() >= MOST {
                continue;
            }
            let peer = credentials(&end);
            let deadline = Instant::now() + DEADLINE;
            if let Ok(link) = Channel::new(end) {
                self.add_client(Client { link, peer, deadline, asked: false });
            }
        }
    }

    /// Listens to a command; gives its key.
    pub fn add_client(&mut self, mut client: Client) -> Option<usize> {
        let key = self.new_key();
        self.poll.registry().register(&mut client.link, Token(key), Interest::READABLE | Interest::WRITABLE).ok()?;
        self.wake(client.deadline);
        self.clients.insert(key, client);
        Some(key)
    }

    pub fn hear_client(&mut self, key: usize) {
        let owed = self.owed_to() == Some(key);
        let Some(client) = self.clients.get_mut(&key) else { return };
        if client.link.flush().is_err() {
            return self.close_client(key);
        }
        if client.asked && client.link.pending() == 0 && !owed {
            return self.close_client(key);
        }
        let asked = client.asked;
        match client.link.recv() {
            Ok(None) => {}
            Ok(Some((request, _))) if !asked => {
                client.asked = true;
                self.answer(key, request);
            }
            // A second request, a malformed one, or the end.
            _ => self.close_client(key),
        }
    }

    fn close_client(&mut self, key: usize) {
        if let Some(mut client) = self.clients.remove(&key) {
            let _ = self.poll.registry().deregister(&mut client.link);
        }
    }

    pub fn close_overdue_clients(&mut self, now: Instant) {
        let owed = self.owed_to();
        let overdue: Vec<usize> =
            self.clients.iter().filter(|(key, c)| c.deadline <= now && Some(**key) != owed).map(|(key, _)| *key).collect();
        for key in overdue {
            self.close_client(key);
        }
        if let Some(at) = self.clients.values().map(|c| c.deadline).filter(|at| *at > now).min() {
            self.wake(at);
        }
    }

    /// Sends the whole answer; the connection closes once it is taken.
    pub fn reply(&mut self, key: usize, replies: Vec<Reply>) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        client.deadline = Instant::now() + DEADLINE;
        let at = client.deadline;
        let failed = replies.iter().any(|reply| client.link.send(reply).is_err());
        if failed || client.link.pending() == 0 {
            self.close_client(key);
        } else {
            self.wake(at);
        }
    }

    pub fn done(&mut self, key: usize, text: impl Into<String>) {
        self.reply(key, vec![Reply::Done(text.into()), Reply::End]);
    }

    pub fn refuse(&mut self, key: usize, code: u8, reason: impl Into<String>) {
        self.reply(key, vec![Reply::Refused { code, reason: reason.into() }]);
    }

    fn answer(&mut self, key: usize, request: Request) {
        let allowed = self.clients.get(&key).is_some_and(|c| self.may_command(&c.peer));
        if !allowed && !matches!(request, Request::Status) {
            let text = "you may not command this suite: only root, its own users and members of [users] admin_group may";
            return self.refuse(key, 77, text);
        }
        match request {
            Request::Status => {
                let status = self.status();
                self.reply(key, vec![Reply::Status(status), Reply::End]);
            }
            Request::Counters => {
                let mut replies = self.counter_replies();
                replies.push(Reply::End);
                self.reply(key, replies);
            }
            Request::Stop { now } => {
                self.done(key, if now { "stopping at once" } else { "draining" });
                self.begin_stop(0);
                if now {
                    self.kill_all();
                }
            }
            Request::Reload => self.begin_reload(Some(key)),
            Request::Shadow { seconds } => self.begin_shadow(key, seconds),
            Request::ShadowCancel => self.cancel_shadow(key),
            Request::Upgrade => self.begin_upgrade(Some(key)),
            Request::Freeze => self.freeze(key, true),
            Request::Thaw => self.freeze(key, false),
            Request::Queue(_)
            | Request::Destinations
            | Request::Destination { .. }
            | Request::Change { .. }
            | Request::Why { .. }
            | Request::FreezePart(_)
            | Request::ThawPart(_)
            | Request::FrozenParts => self.hand_over(key, request, "scheduler"),
            Request::Rates(_) | Request::ClearRates(_) => self.hand_over(key, request, "ratetracker"),
            Request::PolicyTest(_) => self.hand_over(key, request, "smtpserver"),
            Request::TlsReports => self.hand_over(key, request, "tlspolicy"),
            Request::Route { .. } | Request::Lookup { .. } => self.hand_over(key, request, "routermux"),
        }
    }

    fn may_command(&self, peer: &Peer) -> bool {
        let Peer::Local { uid, gid, .. } = peer else { return false };
        let uid = Uid::from_raw(*uid);
        if uid.is_root() || self.site.own_users.contains(&uid) {
            return true;
        }
        self.site.admin_group.as_ref().is_some_and(|(group, members)| {
            group.as_raw() == *gid || User::from_uid(uid).ok().flatten().is_some_and(|user| members.contains(&user.name))
        })
    }

    /// Passes the connection and its request to the process that knows the answer.
    fn hand_over(&mut self, key: usize, request: Request, service: &str) {
        let child = self.slots.iter().find(|s| s.service.name == service).and_then(|s| s.child);
        let Some(child) = child.filter(|c| self.children.get(c).is_some_and(|c| c.link.is_some())) else {
            return self.refuse(key, 75, format!("the {service} is not running now; see `zpost status`, try again"));
        };
        let Some(mut client) = self.clients.remove(&key) else { return };
        let _ = self.poll.registry().deregister(&mut client.link);
        self.tell(child, &ToChild::Command { request, peer: client.peer }, vec![client.link.into_end()]);
    }

    pub fn frozen_flag(&self) -> std::path::PathBuf {
        self.configuration.settings.paths.postoffice.join(".frozen")
    }

    /// Remembered in a file, so that a restart does not thaw what an operator froze.
    fn freeze(&mut self, key: usize, frozen: bool) {
        let flag = self.frozen_flag();
        let kept = match (frozen, flag.exists()) {
            (true, false) => std::fs::write(&flag, ""),
            (false, true) => std::fs::remove_file(&flag),
            _ => Ok(()),
        };
        if let Err(e) = kept {
            return self.refuse(key, 71, format!("cannot change {}: {e}", flag.display()));
        }
        self.frozen = frozen;
        let scheduler = self.slots.iter().find(|s| s.service.name == "scheduler").and_then(|s| s.child);
        if let Some(scheduler) = scheduler {
            self.tell(scheduler, &ToChild::Freeze(frozen), Vec::new());
        }
        daemon::event!(Info, if frozen { "frozen" } else { "thawed" });
        self.done(key, if frozen { "frozen: no delivery starts until `zpost thaw`" } else { "thawed" });
    }
}
