//! What children say, and saying something to a child.

use crate::children::State;
use crate::services::Kind;
use crate::supervise::Master;
use ipc::master::{ToChild, ToMaster};
use mio::{Interest, Token};
use nix::sys::signal::{Signal, kill};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A child whose conversation has ended must exit by itself within this time.
const EXIT_DEADLINE: Duration = Duration::from_secs(5);

impl Master {
    /// Sends a frame to a child. False when there is no such conversation any more.
    pub fn tell(&mut self, key: usize, frame: &ToChild, descriptors: Vec<OwnedFd>) -> bool {
        let Some(child) = self.children.get_mut(&key) else { return false };
        let Some(link) = &mut child.link else { return false };
        if let Err(e) = link.send_with(frame, descriptors) {
            daemon::event!(Warning, "conversation_failed", process = child.service.name, child = child.pid, error = e);
            self.end_conversation(key);
            return false;
        }
        self.watch_writing(key);
        true
    }

    /// Asks the poll for writability only while something waits: each frame that a child reads would wake us else.
    fn watch_writing(&mut self, key: usize) {
        let Some(child) = self.children.get_mut(&key) else { return };
        let Some(link) = &mut child.link else { return };
        let wanted = link.pending() > 0;
        if wanted != child.writing {
            child.writing = wanted;
            let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let _ = self.poll.registry().reregister(link, Token(key), interest);
        }
    }

    /// An event on a child's conversation.
    pub fn hear_child(&mut self, key: usize) {
        if let Some(link) = self.children.get_mut(&key).and_then(|c| c.link.as_mut())
            && link.pending() > 0
        {
            let _ = link.flush();
            self.watch_writing(key);
        }
        loop {
            let Some(link) = self.children.get_mut(&key).and_then(|c| c.link.as_mut()) else { return };
            match link.recv() {
                Ok(Some((frame, _))) => self.heard(key, frame),
                Ok(None) => return,
                Err(ipc::RecvError::Closed) => return self.end_conversation(key),
                Err(e) => {
                    if let Some(child) = self.children.get_mut(&key) {
                        child.failing = format!("broke the conversation: {e}");
                        let _ = kill(child.pid, Signal::SIGKILL);
                    }
                    return self.end_conversation(key);
                }
            }
        }
    }

    fn heard(&mut self, key: usize, frame: ToMaster) {
        match frame {
            ToMaster::Ready => self.child_ready(key),
            ToMaster::SessionsEnded(numbers) => self.sessions_ended(key, &numbers),
            ToMaster::WantAgent { ticket, channel } => self.want_agent(key, ticket, channel),
            ToMaster::Failing(reason) => {
                if let Some(child) = self.children.get_mut(&key) {
                    child.failing = reason;
                }
            }
            ToMaster::Unresponsive { pid } => self.kill_router(key, pid),
        }
    }

    /// Only a router, and only because the routermux says so.
    fn kill_router(&mut self, asker: usize, pid: u32) {
        if self.children.get(&asker).is_none_or(|asker| asker.service.name != "routermux") {
            return;
        }
        let router = self.children.values_mut().find(|c| c.service.kind == Kind::Routers && u32::try_from(c.pid.as_raw()) == Ok(pid));
        if let Some(router) = router {
            daemon::event!(Warning, "killed", process = router.service.name, child = pid, state = "unresponsive");
            router.failing = "was silent over its work and was killed".to_owned();
            let _ = kill(router.pid, Signal::SIGKILL);
        }
    }

    fn end_conversation(&mut self, key: usize) {
        let Some(child) = self.children.get_mut(&key) else { return };
        if let Some(mut link) = child.link.take() {
            let _ = self.poll.registry().deregister(&mut link);
        }
        let deadline = Instant::now() + EXIT_DEADLINE;
        child.kill_at = Some(child.kill_at.map_or(deadline, |at| at.min(deadline)));
        self.wake(deadline);
    }

    fn child_ready(&mut self, key: usize) {
        let Some(child) = self.children.get_mut(&key) else { return };
        if child.state != State::Starting {
            return;
        }
        child.state = State::Ready;
        child.ready_at = Some(Instant::now());
        child.kill_at = None;
        let service = child.service;
        daemon::event!(Info, "child_ready", process = service.name, index = child.index, child = child.pid);
        self.retire_superseded(service.name);
        if service.kind != Kind::Agent {
            self.announce();
            self.wake(Instant::now());
        }
    }

    /// Successors are ready: as many predecessors may go.
    fn retire_superseded(&mut self, service: &str) {
        let waiting = self
            .slots
            .iter()
            .filter(|s| s.service.name == service)
            .any(|slot| slot.child.and_then(|key| self.children.get(&key)).is_none_or(|c| c.state != State::Ready));
        let old: Vec<usize> = self
            .children
            .iter()
            .filter(|(_, c)| c.superseded && c.service.name == service && c.state != State::Draining && c.retire_by.is_none())
            .map(|(key, _)| *key)
            .collect();
        let number = if waiting { 1 } else { old.len() };
        for key in old.into_iter().take(number) {
            self.retire(key);
        }
    }

    /// Lets a child end in peace: a worker whose clients still talk is not drained (it would tell them to go) before
    /// they have left or the time for a drain is over.
    pub fn retire(&mut self, key: usize) {
        let deadline = Instant::now() + self.configuration.settings.processes.drain;
        match self.children.get_mut(&key) {
            Some(child) if !child.sessions.is_empty() && child.state == State::Ready => {
                child.retire_by = Some(deadline);
                self.wake(deadline);
            }
            _ => self.drain(key),
        }
    }

    /// Drains those whose clients have taken too long.
    pub fn drain_overdue(&mut self, now: Instant) {
        let retiring = |c: &&crate::children::Child| c.retire_by.is_some() && c.state == State::Ready;
        let overdue: Vec<usize> =
            self.children.iter().filter(|(_, c)| retiring(c) && c.retire_by.is_some_and(|at| at <= now)).map(|(key, _)| *key).collect();
        for key in overdue {
            self.drain(key);
        }
        if let Some(at) = self.children.values().filter(retiring).filter_map(|c| c.retire_by).min() {
            self.wake(at);
        }
    }

    /// Asks a child to finish and exit; it has the configured time for that.
    pub fn drain(&mut self, key: usize) {
        let deadline = Instant::now() + self.configuration.settings.processes.drain;
        let Some(child) = self.children.get_mut(&key) else { return };
        if child.state == State::Draining {
            return;
        }
        child.state = State::Draining;
        child.kill_at = Some(deadline);
        self.wake(deadline);
        self.tell(key, &ToChild::Drain, Vec::new());
    }

    /// Takes a new process for a place while the old one goes on until that one is ready.
    pub fn supersede(&mut self, key: usize) {
        if let Some(child) = self.children.get_mut(&key) {
            child.superseded = true;
        }
        let now = Instant::now();
        for slot in self.slots.iter_mut().filter(|slot| slot.child == Some(key)) {
            slot.child = None;
            slot.start_at = now;
        }
        self.wake(now);
    }
}
