//! Agents that the scheduler asks for: it has no right to change users, so the master spawns them.

use crate::backoff::Backoff;
use crate::services::{self, Service};
use crate::supervise::Master;
use ipc::master::ToChild;
use std::time::Instant;

impl Master {
    /// Spawns an agent for a channel and gives the scheduler its end of the job conversation, or says why not.
    pub fn want_agent(&mut self, scheduler: usize, ticket: u64, channel: String) {
        match self.start_agent(&channel) {
            Ok((pid, end)) => {
                self.tell(scheduler, &ToChild::Agent { ticket, channel, pid }, vec![end]);
            }
            Err(reason) => {
                daemon::event!(Warning, "no_agent", channel = channel, reason = reason);
                self.tell(scheduler, &ToChild::NoAgent { ticket, channel, reason }, Vec::new());
            }
        }
    }

    fn start_agent(&mut self, channel: &str) -> Result<(u32, std::os::fd::OwnedFd), String> {
        let service =
            services::agent_for(channel, &self.configuration.settings).ok_or_else(|| format!("no program serves channel {channel:?}"))?;
        if self.stopping.is_some() {
            return Err("the suite is stopping".into());
        }
        let now = Instant::now();
        if let Some((_, after)) = self.agent_waits.get(service.name)
            && *after > now
        {
            return Err(format!("{} ended badly and waits {} ms", service.name, (*after - now).as_millis()));
        }
        let (agent, scheduler) = ipc::channel::pair().map_err(|e| e.to_string())?;
        match self.launch(service, channel, Some(agent)) {
            Ok(key) => {
                let pid = self.children.get(&key).map_or(0, |c| c.pid.as_raw());
                Ok((u32::try_from(pid).unwrap_or(0), scheduler))
            }
            Err(e) => {
                self.agent_failed(service, None, now);
                Err(format!("{} cannot be spawned: {e}", service.name))
            }
        }
    }

    /// An agent ended badly: the next of its kind waits.
    pub fn agent_failed(&mut self, service: &'static Service, ready: Option<Instant>, now: Instant) {
        let processes = &self.configuration.settings.processes;
        let (backoff, after) = self.agent_waits.entry(service.name).or_insert_with(|| (Backoff::default(), now));
        *after = now + backoff.wait(ready, now, false, processes.restart_first, processes.restart_longest);
        self.counters.add("restarts", 1);
    }
}
