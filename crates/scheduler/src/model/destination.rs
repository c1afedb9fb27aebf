//! One destination: its line, its counts, and what keeps it from being served. What it shares with others is its
//! [`super::site::Site`].

use super::entry::{NONE, State};
use super::line::Line;
use super::policy::Rules;
use std::rc::Rc;

/// Why a destination with mail stands in no round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Park {
    No,
    /// Its hours begin at this tick.
    Until(u32),
    /// Its ring has no place.
    Ring,
    /// Until somebody asks for its mail.
    Asking,
    /// Until it is thawed.
    Frozen,
    /// Until its mail exchangers are known; not longer than to this tick.
    Locating(u32),
}

#[derive(Debug)]
pub struct Destination {
    pub lane: u32,
    pub host: Rc<str>,
    pub rules: Rc<Rules>,
    /// `NONE`: not known yet.
    pub site: u32,
    pub line: Line,
    /// Jobs now.
    pub active: u32,
    /// Stands in its site's round, or among those to be located.
    pub listed: bool,
    pub park: Park,
    /// With `queue_only`: somebody has asked, and not all of it has gone yet.
    pub asked_for: bool,
    /// Goes by MX, so that its site depends on the DNS.
    pub by_exchangers: bool,
    /// A question about it is under way.
    pub locating: bool,
    /// What the DNS said is good until this tick.
    pub located: u32,
    /// The best mail exchangers, for policies and sites; empty: not known.
    pub exchangers: Rc<[String]>,
    /// Shares that exist.
    pub shares: u32,
    /// Recipients ready, active, deferred, held.
    counts: [u64; 4],
    /// Tick of the last job's end, for forgetting.
    pub used: u32,
}

impl Destination {
    pub fn new(lane: u32, host: Rc<str>, rules: Rc<Rules>, by_exchangers: bool) -> Self {
        Self {
            lane,
            host,
            line: Line::default(),
            rules,
            site: NONE,
            active: 0,
            listed: false,
            park: Park::No,
            asked_for: false,
            by_exchangers,
            locating: false,
            located: 0,
            exchangers: Rc::new([]),
            shares: 0,
            counts: [0; 4],
            used: 0,
        }
    }

    /// Something waits and nothing keeps it.
    pub fn wants_turn(&self) -> bool {
        !self.line.is_empty() && self.park == Park::No
    }

    pub fn count(&mut self, state: State, up: bool) {
        let column = match state {
            State::Ready | State::Frozen => 0,
            State::Active => 1,
            State::Deferred => 2,
            State::Held => 3,
            State::Delivered | State::Failed => return,
        };
        if let Some(count) = self.counts.get_mut(column) {
            *count = if up { *count + 1 } else { count.saturating_sub(1) };
        }
    }

    pub const fn counts(&self) -> [u64; 4] {
        self.counts
    }

    /// Nothing refers to it.
    pub fn is_unused(&self) -> bool {
        self.shares == 0 && self.active == 0 && !self.listed && !self.locating && self.line.is_empty()
    }
}
