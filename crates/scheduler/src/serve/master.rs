//! What the master says, and the end that it or a signal asks for.

use super::{End, Scheduler, orphaned, outsiders};
use crate::model::{Now, Reporting};
use ipc::master::ToChild;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Instant;

impl Scheduler {
    pub(super) fn master_readable(&mut self, now: Now) -> Option<End> {
        loop {
            match self.started.master.recv() {
                Ok(Some((frame, descriptors))) => self.told(frame, descriptors, now),
                Ok(None) => return None,
                Err(e) => {
                    daemon::event!(Warning, "orphaned", text = e);
                    return Some(orphaned());
                }
            }
        }
    }

    pub(super) fn told(&mut self, frame: ToChild, mut descriptors: Vec<OwnedFd>, now: Now) {
        match frame {
            ToChild::Agent { ticket, channel, pid } => match descriptors.pop() {
                Some(end) => self.welcome(end, ticket, &channel, pid, now),
                None => self.model.no_agent(ticket, &channel, "no descriptor came with the agent", now),
            },
            ToChild::NoAgent { ticket, channel, reason } => self.model.no_agent(ticket, &channel, &reason, now),
            ToChild::Command { request, .. } => {
                if let Some(end) = descriptors.pop() {
                    self.command(end, request);
                }
            }
            ToChild::Freeze(frozen) => self.model.freeze(frozen),
            ToChild::Drain => self.begin_drain(),
            ToChild::Reload(start) => match self.started.reload(&start, descriptors) {
                Ok(_) => {
                    let settings = &self.started.settings;
                    self.guests = outsiders::Guests::of(settings);
                    self.model.reload(settings.queue.clone(), settings.policies.clone(), now);
                    self.model.set_reporting(Reporting::new(settings));
                    self.reopen();
                }
                Err(e) => daemon::event!(Error, "reload_failed", reason = e),
            },
            ToChild::Start(_) | ToChild::Session(_) | ToChild::Shed(_) | ToChild::Shadow(_) => daemon::event!(Warning, "stray_frame"),
        }
    }

    /// Takes volumes into use that were missing.
    pub(super) fn reopen(&mut self) {
        for (volume, spool) in self.volumes.reopen() {
            match self.pool.add(volume, &spool, self.started.settings.queue.io_threads) {
                Ok(()) => daemon::event!(Info, "volume_back", volume = self.volumes.all().get(usize::from(volume)).map_or("", |v| &v.name)),
                Err(e) => daemon::event!(Error, "no_thread", text = e),
            }
        }
    }

    /// No new jobs; the agents finish theirs, report, and go.
    pub(super) fn begin_drain(&mut self) {
        if self.drain_deadline.is_none() {
            self.drain_deadline = Some(Instant::now() + self.started.settings.processes.drain);
            self.model.drain();
            let keys: Vec<u64> = self.agents.keys().copied().collect();
            keys.into_iter().for_each(|key| self.drain_agent(key));
        }
    }

    pub(super) fn drained(&mut self) -> Option<End> {
        let deadline = self.drain_deadline?;
        let idle = self.model.active_jobs() == 0 && self.pool.outstanding() == 0;
        if idle || Instant::now() >= deadline {
            self.remember_at_last();
            daemon::event!(Info, "drained", undecided = self.model.active_jobs());
            return Some(ExitCode::SUCCESS);
        }
        None
    }
}
