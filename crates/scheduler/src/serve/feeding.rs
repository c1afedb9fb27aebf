//! Agents on the loop: jobs out with their message files, reports in.

use super::link::Link;
use super::outsiders::Outsider;
use super::{Scheduler, Token};
use crate::io::{Opened, Order};
use crate::model::{Now, StartedJob};
use envelope::MessageId;
use ipc::agents::{Job, ToAgent, ToScheduler};
use ipc::{Channel, Packet, RecvError};
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Jobs and bytes in one frame (a frame takes 128 KiB and 64 descriptors).
const JOBS: usize = 32;
const BYTES: usize = 96 * 1024;
/// What a file cannot be opened for though nothing is wrong with it.
const SHORT: [i32; 5] = [Errno::EMFILE as i32, Errno::ENFILE as i32, Errno::ENOMEM as i32, Errno::EAGAIN as i32, Errno::EINTR as i32];
/// Message files kept open from the load until the first job.
const OPEN_FILES: usize = 256;
/// Agents from outside that have not registered yet.
pub const STRANGERS: usize = 64;
/// How long they have for it, in milliseconds.
const REGISTER_MS: u64 = 10_000;

/// One agent's conversation.
#[derive(Debug)]
pub struct AgentLink {
    pub link: Link<ToAgent, ToScheduler>,
    jobs: Vec<(Job, File)>,
    bytes: usize,
    pub registered: bool,
    /// It must have registered by then.
    pub deadline: u64,
    pub pid: u32,
    /// Of one that came by itself: who it is, and how it speaks.
    pub outsider: Option<Box<Outsider>>,
}

/// Message files from the load, for the jobs that follow at once; the oldest goes when there are too many.
#[derive(Debug, Default)]
pub struct Files {
    open: HashMap<MessageId, File>,
    order: VecDeque<MessageId>,
}

impl Files {
    pub fn keep(&mut self, id: MessageId, file: File) {
        while self.order.len() >= OPEN_FILES {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
        self.open.insert(id, file);
        self.order.push_back(id);
    }

    pub fn take(&mut self, id: MessageId) -> Option<File> {
        self.open.remove(&id)
    }
}

impl AgentLink {
    pub const fn new(link: Link<ToAgent, ToScheduler>, registered: bool, pid: u32, now: Now) -> Self {
        Self { link, jobs: Vec::new(), bytes: 0, registered, deadline: now.ms + REGISTER_MS, pid, outsider: None }
    }

    fn push(&mut self, job: Job, file: File, bytes: usize) -> io::Result<()> {
        if self.jobs.len() >= JOBS || self.bytes + bytes > BYTES {
            self.send()?;
        }
        self.jobs.push((job, file));
        self.bytes += bytes;
        Ok(())
    }

    /// Sends the gathered jobs as one frame.
    pub fn send(&mut self) -> io::Result<()> {
        self.bytes = 0;
        if let Some(outsider) = self.outsider.as_mut().filter(|outsider| outsider.lines) {
            return outsider.give(self.jobs.drain(..), &mut self.link.channel);
        }
        if self.jobs.is_empty() {
            return Ok(());
        }
        let (jobs, files): (Vec<Job>, Vec<OwnedFd>) = self.jobs.drain(..).map(|(job, file)| (job, OwnedFd::from(file))).unzip();
        self.link.channel.send_with(&ToAgent::Jobs(jobs), files)
    }
}

impl Scheduler {
    /// A conversation with an agent the master started.
    pub(super) fn welcome(&mut self, end: OwnedFd, ticket: u64, channel: &str, pid: u32, now: Now) {
        let token = self.new_token();
        let link = Channel::new(end).and_then(|conversation| Link::new(conversation, token, self.poll.registry()));
        match link {
            Ok(link) => {
                let key = token.0 as u64;
                self.agents.insert(key, AgentLink::new(link, true, pid, now));
                self.model.agent_joined(key, channel, Some(ticket), now);
                self.model.name_agent(key, pid);
                daemon::event!(Info, "agent_joined", channel = channel, agent = pid);
                self.agent_readable(key, now);
            }
            Err(e) => self.model.no_agent(ticket, channel, &e.to_string(), now),
        }
    }

    /// Agents from outside that knock at `<run>/agents`.
    pub(super) fn accept_agents(&mut self, now: Now) {
        while let Some(listener) = &self.listener {
            let end = match listener.accept() {
                Ok((stream, _)) => OwnedFd::from(stream),
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => continue,
                Err(_) => return,
            };
            let peer = getsockopt(&end, PeerCredentials);
            let strangers = self.agents.values().filter(|agent| !agent.registered).count();
            let allowed = peer.is_ok_and(|peer| self.guests.may_come(peer.uid()));
            if !allowed || strangers >= STRANGERS {
                daemon::event!(Warning, "agent_refused", uid = peer.map_or(u32::MAX, |peer| peer.uid()));
                continue;
            }
            let token = self.new_token();
            let link = Channel::new(end).and_then(|conversation| Link::new(conversation, token, self.poll.registry()));
            if let Ok(link) = link {
                let pid = peer.map_or(0, |peer| u32::try_from(peer.pid()).unwrap_or(0));
                let mut agent = AgentLink::new(link, false, pid, now);
                agent.outsider = peer.ok().map(|peer| Box::new(Outsider::new(peer.uid())));
                self.agents.insert(token.0 as u64, agent);
                self.agent_readable(token.0 as u64, now);
            }
        }
    }

    pub(super) fn agent_readable(&mut self, key: u64, now: Now) {
        loop {
            let Some(agent) = self.agents.get_mut(&key) else { return };
            let frame = match agent.link.channel.recv_any() {
                Ok(Some(Packet::Frame(frame))) => frame,
                Ok(Some(Packet::Text(text))) => match self.heard_text(key, &text, now) {
                    Ok(()) => continue,
                    Err(why) => return self.agent_gone(key, &RecvError::Malformed(why), now),
                },
                Ok(None) => return,
                Err(e) => return self.agent_gone(key, &e, now),
            };
            if !self.heard(key, frame, now) {
                return self.agent_gone(key, &RecvError::Malformed("not expected here"), now);
            }
        }
    }

    /// False: the agent does not keep to the conversation.
    pub(super) fn heard(&mut self, key: u64, frame: ToScheduler, now: Now) -> bool {
        let registered = self.agents.get(&key).is_some_and(|agent| agent.registered);
        match frame {
            // The first frame of an agent from outside; one the master started may say it too.
            ToScheduler::Register { channel } if !registered => {
                if channel.is_empty() || channel.len() > 64 || !channel.bytes().all(|b| b.is_ascii_graphic()) {
                    return false;
                }
                let Some(agent) = self.agents.get_mut(&key) else { return false };
                if !agent.outsider.as_ref().is_none_or(|outsider| self.guests.may_serve(outsider.uid, &channel)) {
                    return false;
                }
                agent.registered = true;
                let pid = agent.pid;
                daemon::event!(Info, "agent_registered", channel = channel, agent = pid);
                self.model.agent_joined(key, &channel, None, now);
                self.model.name_agent(key, pid);
                true
            }
            ToScheduler::Register { .. } => true,
            _ if !registered => false,
            ToScheduler::Credit(jobs) => self.model.credit(key, jobs),
            ToScheduler::Reports(reports) => {
                reports.iter().for_each(|report| self.model.report(key, report, now));
                true
            }
        }
    }

    pub(super) fn agent_gone(&mut self, key: u64, why: &RecvError, now: Now) {
        let Some(mut agent) = self.agents.remove(&key) else { return };
        let _ = self.poll.registry().deregister(&mut agent.link.channel);
        if !matches!(why, RecvError::Closed) {
            daemon::event!(Warning, "agent_dropped", agent = agent.pid, text = why);
        }
        self.model.agent_gone(key, now);
    }

    /// Nothing can be sent any more. What it reported before its end still counts, or that mail would be delivered twice: an
    /// agent that drains ends with its reports sent and perhaps with a job of ours unread.
    fn agent_unreachable(&mut self, key: u64, why: io::Error, now: Now) {
        self.agent_readable(key, now);
        self.agent_gone(key, &RecvError::Io(why), now);
    }

    /// Drops agents from outside that do not register.
    pub(super) fn expel_strangers(&mut self, now: Now) {
        let late: Vec<u64> =
            self.agents.iter().filter(|(_, agent)| !agent.registered && agent.deadline <= now.ms).map(|(key, _)| *key).collect();
        late.into_iter().for_each(|key| self.agent_gone(key, &RecvError::Malformed("did not register"), now));
        let silent = |agent: &AgentLink| agent.outsider.as_ref().is_some_and(|outsider| outsider.overdue(now.ms));
        let late: Vec<u64> = self.agents.iter().filter(|(_, agent)| silent(agent)).map(|(key, _)| *key).collect();
        late.into_iter().for_each(|key| self.agent_gone(key, &RecvError::Malformed("did not answer in time"), now));
    }

    /// A job needs its message's file: the one from the load when nobody else will want it, else a fresh one. A second
    /// descriptor of one open file would share its position between two jobs.
    pub(super) fn begin(&mut self, job: StartedJob, now: Now) {
        let plain = job.edits.is_none();
        match plain.then(|| self.files.take(job.id)).flatten() {
            Some(file) => self.deliver(job.number, job.agent, Opened::plain(file), now),
            None => {
                self.opening.insert(job.number, job.agent);
                let outsider = self.agents.get(&job.agent).and_then(|agent| agent.outsider.as_deref());
                let copy = outsider.is_some_and(|outsider| outsider.lines);
                let order = Order::Open { job: job.number, id: job.id, edits: job.edits, copy };
                self.pool.order(self.model.volume(job.id), order);
            }
        }
    }

    pub(super) fn opened(&mut self, number: u64, message: io::Result<Opened>, now: Now) {
        let Some(agent) = self.opening.remove(&number) else { return };
        match message {
            Ok(message) if self.drain_deadline.is_none() => self.deliver(number, agent, message, now),
            Ok(_) => self.model.undecided(number, now),
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.model.lost(number, now),
            Err(e) => {
                daemon::event!(Error, "message_not_opened", job = number, text = e);
                match e.raw_os_error() {
                    Some(code) if SHORT.contains(&code) => self.model.undecided(number, now),
                    _ => self.model.unreadable(number, &format!("the message cannot be read: {e}"), now),
                }
            }
        }
    }

    fn deliver(&mut self, number: u64, agent_key: u64, message: Opened, now: Now) {
        // The job may have ended meanwhile, with its agent.
        let Some((mut job, bytes)) = self.model.frame(number, now) else { return };
        let Opened { file, edits, copied } = message;
        let bytes = bytes + edits.text();
        job.edits = edits;
        if copied {
            job.body_offset = 0;
        }
        let sent = match self.agents.get_mut(&agent_key) {
            Some(agent) => agent.push(job, file, bytes),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        };
        if let Err(e) = sent {
            self.agent_unreachable(agent_key, e, now);
        }
    }

    /// Sends what this turn has gathered for the agents.
    pub(super) fn feed(&mut self, now: Now) {
        let mut broken = Vec::new();
        for (key, agent) in &mut self.agents {
            if let Err(e) = agent.send().and_then(|()| agent.link.settle(self.poll.registry())) {
                broken.push((*key, e));
            }
        }
        broken.into_iter().for_each(|(key, e)| self.agent_unreachable(key, e, now));
    }

    pub(super) fn drain_agent(&mut self, key: u64) {
        if let Some(agent) = self.agents.get_mut(&key) {
            let _ = agent.send();
            let _ = match agent.outsider.as_ref().is_some_and(|outsider| outsider.lines) {
                true => agent.link.channel.send_text("{\"drain\":true}\n".to_owned(), Vec::new()),
                false => agent.link.channel.send(&ToAgent::Drain),
            };
        }
    }

    fn new_token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }
}
