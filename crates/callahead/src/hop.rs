//! A next hop: where it is, who is to be asked about there, and whether it can be reached.

use nexthop::Candidate;
use smtp::client::Flavour;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Addresses are asked for again after this time; the resolver knows how long they really hold.
pub const ADDRESSES_HOLD: Duration = Duration::from_secs(60);
/// Addresses tried for one question.
pub const MOST_CANDIDATES: usize = 3;

/// Which next hop: as the router gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub channel: String,
    pub host: String,
}

impl Name {
    /// None: the channel speaks neither protocol.
    pub fn flavour(&self) -> Option<Flavour> {
        match self.channel.as_str() {
            "smtp" => Some(Flavour::Smtp),
            "lmtp" => Some(Flavour::Lmtp),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub enum Place {
    #[default]
    Unknown,
    /// The resolver has been asked.
    Asked,
    Known {
        candidates: VecDeque<Candidate>,
        until: Instant,
    },
}

#[derive(Debug, Default)]
pub struct Hop {
    pub place: Place,
    /// Recipients that no session has yet.
    pub waiting: VecDeque<String>,
    pub sessions: usize,
    /// It could not be reached: why, and until when it is not tried.
    pub paused: Option<(String, Instant)>,
}

impl Hop {
    /// Nothing would be lost with it.
    pub fn is_idle(&self, now: Instant) -> bool {
        let known = match self.place {
            Place::Known { until, .. } => now < until,
            Place::Asked => true,
            Place::Unknown => false,
        };
        self.waiting.is_empty() && self.sessions == 0 && !known && self.paused.as_ref().is_none_or(|(_, until)| *until <= now)
    }
}
