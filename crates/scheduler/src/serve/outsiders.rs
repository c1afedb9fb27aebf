//! Agents that come by themselves to `<run>/agents`: who may, and the line protocol that they may speak (zpost-agent(7)).

use super::Scheduler;
use crate::model::Now;
use ipc::Channel;
use ipc::agents::{Job, ToAgent, ToScheduler};
use jobline::{Dialogue, Event};
use nix::unistd::{User, geteuid};
use settings::Settings;
use std::fs::File;
use std::io;
use std::time::Duration;

/// Longest line sent: what fits a socket whatever its limits are.
const LONGEST: usize = 160 * 1024;
/// For channels that no `[[agent]]` describes.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Users that may serve channels, by the kernel's word. Looked up once for each configuration: the loop must not wait for
/// a directory of users.
#[derive(Debug)]
pub struct Guests {
    own: u32,
    by_channel: Vec<(String, Option<u32>)>,
}

impl Guests {
    pub fn of(settings: &Settings) -> Self {
        let from_outside = settings.agents.iter().filter(|agent| agent.program.is_empty());
        let uid = |agent: &settings::ForeignAgent| User::from_name(agent.user.as_deref()?).ok().flatten().map(|user| user.uid.as_raw());
        Self { own: geteuid().as_raw(), by_channel: from_outside.map(|agent| (agent.channel.clone(), uid(agent))).collect() }
    }

    /// Root and the scheduler's own user may serve every channel, others those that name them.
    fn own_or_root(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }
    pub fn may_come(&self, uid: u32) -> bool {
        self.own_or_root(uid) || self.by_channel.iter().any(|(_, allowed)| *allowed == Some(uid))
    }
    pub fn may_serve(&self, uid: u32, channel: &str) -> bool {
        self.own_or_root(uid) || self.by_channel.iter().any(|(name, allowed)| name == channel && *allowed == Some(uid))
    }
}

/// One that came by itself.
#[derive(Debug)]
pub struct Outsider {
    pub uid: u32,
    /// It speaks by lines.
    pub lines: bool,
    dialogue: Dialogue,
    /// For the results of a job, in milliseconds.
    timeout: u64,
    now: u64,
}

impl Outsider {
    pub fn new(uid: u32) -> Self {
        Self { uid, lines: false, dialogue: Dialogue::default(), timeout: 0, now: 0 }
    }

    /// Tells it jobs, each with its message.
    pub fn give(&mut self, jobs: impl Iterator<Item = (Job, File)>, channel: &mut Channel<ToAgent, ToScheduler>) -> io::Result<()> {
        for (job, file) in jobs {
            let line = self.dialogue.give(&job, job.body_offset, self.now.saturating_add(self.timeout));
            if line.len() > LONGEST {
                return Err(io::Error::other("a job is too long for a line; lower recipients_per_job of the channel"));
            }
            channel.send_text(line, vec![file.into()])?;
        }
        Ok(())
    }

    /// It owes a result for too long. Called every second, and so the clock for new jobs too.
    pub fn overdue(&self, now: u64) -> bool {
        self.lines && self.dialogue.deadline().is_some_and(|deadline| deadline <= now)
    }
}

impl Scheduler {
    /// A line of an agent from outside.
    pub(super) fn heard_text(&mut self, key: u64, text: &[u8], now: Now) -> Result<(), &'static str> {
        let agent = self.agents.get_mut(&key).ok_or("nobody")?;
        let registered = agent.registered;
        let outsider = agent.outsider.as_mut().ok_or("lines are for agents from outside")?;
        if !outsider.lines && registered {
            return Err("lines after frames");
        }
        outsider.lines = true;
        outsider.now = now.ms;
        match outsider.dialogue.line(text).map_err(|fault| fault.0)? {
            None => Ok(()),
            Some(Event::Register(channel)) if !registered => {
                let timeout = self.started.settings.agent_for(&channel).map_or(TIMEOUT, |agent| agent.timeout);
                outsider.timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                if self.heard(key, ToScheduler::Register { channel }, now) { Ok(()) } else { Err("it may not serve this channel") }
            }
            Some(Event::Register(_)) => Err("it has registered already"),
            Some(_) if !registered => Err("it has not registered"),
            Some(Event::Hungry(jobs)) => {
                if self.model.credit(key, jobs) {
                    Ok(())
                } else {
                    Err("it asks for too much")
                }
            }
            Some(Event::Results { report, .. }) => {
                self.model.report(key, &report, now);
                Ok(())
            }
        }
    }

    /// The clock of agents that speak by lines, for the deadlines of what they are given.
    pub(super) fn tick_outsiders(&mut self, now: Now) {
        for outsider in self.agents.values_mut().filter_map(|agent| agent.outsider.as_mut()) {
            outsider.now = now.ms;
        }
    }
}
