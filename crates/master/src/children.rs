//! The processes the master has, and the places they fill.

use crate::backoff::Backoff;
use crate::limits::Counted;
use crate::services::Service;
use ipc::Channel;
use ipc::master::{ToChild, ToMaster};
use nix::unistd::Pid;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// What a process is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Starting,
    Ready,
    /// Finishes what it has in hand.
    Draining,
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// One process.
#[derive(Debug)]
pub struct Child {
    pub service: &'static Service,
    /// Which of the living processes of this service.
    pub index: u16,
    pub generation: u32,
    /// Its row of the counter table.
    pub row: u32,
    pub pid: Pid,
    /// `None` once the conversation has ended; its exit follows.
    pub link: Option<Channel<ToChild, ToMaster>>,
    /// The poll tells us when the conversation takes more.
    pub writing: bool,
    pub state: State,
    /// A successor is on the way; drained as soon as that one is ready.
    pub superseded: bool,
    pub ready_at: Option<Instant>,
    /// It gets no more sessions; it is drained when the last has ended, or at this moment.
    pub retire_by: Option<Instant>,
    /// SIGKILL when this moment comes.
    pub kill_at: Option<Instant>,
    /// Sessions it serves, with what each counts for.
    pub sessions: HashMap<u64, Counted>,
    /// How many of them are strangers'.
    pub strangers: u32,
    /// Sessions it was ever given.
    pub served: u64,
    /// Agents: the channel served.
    pub channel: String,
    /// Routers: the routermux's end of the conversation, until a routermux can have it.
    pub mux_end: Option<OwnedFd>,
    /// What it said of its own end.
    pub failing: String,
}

impl Child {
    /// It can be given a session now.
    pub fn takes_sessions(&self) -> bool {
        self.state == State::Ready && self.retire_by.is_none() && self.link.as_ref().is_some_and(|link| link.pending() == 0)
    }

    /// What `zpost status` says.
    pub const fn word(&self) -> &'static str {
        if self.retire_by.is_some() { State::Draining.word() } else { self.state.word() }
    }

    pub const fn stranger_count(&self) -> u32 {
        self.strangers
    }

    /// A session has begun.
    pub fn begin(&mut self, number: u64, counted: Counted) {
        self.strangers += u32::from(counted.stranger);
        self.sessions.insert(number, counted);
    }

    /// A session has ended: what it counted for.
    pub fn end(&mut self, number: u64) -> Option<Counted> {
        let counted = self.sessions.remove(&number)?;
        self.strangers = self.strangers.saturating_sub(u32::from(counted.stranger));
        Some(counted)
    }

    pub fn session_count(&self) -> u32 {
        u32::try_from(self.sessions.len()).unwrap_or(u32::MAX)
    }
}

/// A place that wants a process.
#[derive(Debug)]
pub struct Slot {
    pub service: &'static Service,
    /// The process that fills it or is on the way to.
    pub child: Option<usize>,
    pub backoff: Backoff,
    pub restarts: u32,
    /// Why the last one ended.
    pub last_end: String,
    /// Not before this moment.
    pub start_at: Instant,
}

impl Slot {
    pub fn new(service: &'static Service, now: Instant) -> Self {
        Self { service, child: None, backoff: Backoff::default(), restarts: 0, last_end: String::new(), start_at: now }
    }
}

/// Rows of the counter table: one for each service and index, for good, so that a successor goes on counting.
#[derive(Debug, Default)]
pub struct Rows(BTreeMap<(String, u16), u32>);

impl Rows {
    /// The row of a process; the last one is shared by all that come after the table is full.
    pub fn row(&mut self, service: &str, index: u16) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX).min(daemon::counters::ROWS as u32 - 2);
        *self.0.entry((service.to_owned(), index)).or_insert(next)
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, u16, u32)> {
        self.0.iter().map(|((service, index), row)| (service.as_str(), *index, *row))
    }

    pub fn restore(rows: Vec<(String, u16, u32)>) -> Self {
        Self(rows.into_iter().map(|(service, index, row)| ((service, index), row)).collect())
    }
}

/// The smallest index that no living process of the service has.
pub fn free_index<'a>(children: impl Iterator<Item = &'a Child>, service: &Service) -> u16 {
    let mut taken: Vec<u16> = children.filter(|c| c.service.name == service.name).map(|c| c.index).collect();
    taken.sort_unstable();
    taken.dedup();
    let mut index = 0;
    for used in taken {
        if used != index {
            break;
        }
        index = index.saturating_add(1);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_with_their_process() {
        let mut rows = Rows::default();
        let first = rows.row("router", 0);
        let second = rows.row("router", 1);
        assert_ne!(first, second);
        assert_eq!(rows.row("router", 0), first);
        for index in 0..1000 {
            assert!((rows.row("ta-smtp", index) as usize) < daemon::counters::ROWS);
        }
    }
}
