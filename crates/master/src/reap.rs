//! Processes that have ended, and those that must.

use crate::children::{Child, State};
use crate::services::Kind;
use crate::supervise::Master;
use mio::event::Source;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::time::Instant;

impl Master {
    /// Collects every child that has ended. One SIGCHLD may stand for several.
    pub fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, code == 0, format!("exit status {code}")),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, false, format!("killed by {signal}")),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    fn ended(&mut self, pid: Pid, clean: bool, how: String) {
        let Some(key) = self.children.iter().find(|(_, c)| c.pid == pid).map(|(key, _)| *key) else { return };
        // Its last words may still wait in the conversation.
        self.hear_child(key);
        let Some(mut child) = self.children.remove(&key) else { return };
        if let Some(link) = &mut child.link {
            let _ = link.deregister(self.poll.registry());
        }
        for counted in child.sessions.values() {
            self.connections.remove(*counted);
        }
        self.count_sessions();
        let reason = if child.failing.is_empty() { how } else { format!("{how}: {}", child.failing) };
        // A router that has routed its number of addresses goes by itself, agents when they have been idle.
        let by_itself = child.service.kind == Kind::Agent || (child.service.kind == Kind::Routers && child.ready_at.is_some());
        let expected = clean && (by_itself || child.state == State::Draining || child.superseded);
        if expected || self.stopping.is_some() {
            daemon::event!(Info, "ended", process = child.service.name, index = child.index, child = pid, reason = reason);
        } else {
            daemon::event!(Warning, "ended", process = child.service.name, index = child.index, child = pid, reason = reason);
        }
        self.forget_places();
        self.replace(key, &child, clean, reason);
        self.wake(Instant::now());
    }

    fn replace(&mut self, key: usize, child: &Child, clean: bool, reason: String) {
        let now = Instant::now();
        if child.service.kind == Kind::Agent {
            if !clean && child.state != State::Draining {
                self.agent_failed(child.service, child.ready_at, now);
            }
            return;
        }
        if let Some(at) = self.slots.iter().position(|slot| slot.child == Some(key)) {
            self.slot_failed(at, child.ready_at, clean, reason, now);
        }
    }

    /// SIGKILL for those whose time is over.
    pub fn kill_overdue(&mut self, now: Instant) {
        let mut next: Option<Instant> = None;
        for child in self.children.values_mut() {
            let Some(at) = child.kill_at else { continue };
            if at <= now {
                daemon::event!(Warning, "killed", process = child.service.name, child = child.pid, state = child.state.word());
                let _ = kill(child.pid, Signal::SIGKILL);
                child.kill_at = None;
            } else {
                next = Some(next.map_or(at, |other| other.min(at)));
            }
        }
        if let Some(at) = next {
            self.wake(at);
        }
    }
}
