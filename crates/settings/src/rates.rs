//! What the ratetracker counts and remembers: limits, greylisting, signs of overload.

use crate::sheet::Group;
use crate::{FailMode, Network};
use std::time::Duration;

/// `[rates]`: limits in a sliding window; `None`: only counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// Default 1 h.
    pub window: Duration,
    /// Slots the window is cut into. Default 8.
    pub slots: u32,
    pub connections_per_address: Option<u32>,
    pub connections_per_network: Option<u32>,
    pub messages_per_address: Option<u32>,
    pub messages_per_network: Option<u32>,
    pub messages_per_user: Option<u32>,
    pub messages_per_sender_domain: Option<u32>,
    pub recipients_per_address: Option<u32>,
    pub recipients_per_network: Option<u32>,
    pub recipients_per_user: Option<u32>,
    pub recipients_per_sender_domain: Option<u32>,
    pub failed_authentications_per_address: Option<u32>,
    pub failed_authentications_per_network: Option<u32>,
    pub failed_authentications_per_user: Option<u32>,
    pub aborts_per_address: Option<u32>,
    pub aborts_per_network: Option<u32>,
    /// Counted exactly: addresses, networks, users and domains together. Default 100,000.
    pub entries: usize,
    /// Cells in each of the four rows of the sketch that keeps the others. Default 65,536.
    pub sketch: usize,
    /// How often the counts are written to disk. Default 30 s.
    pub save: Duration,
    /// Without a ratetracker: `defer` or `accept`.
    pub failure: FailMode,
    /// Networks that are counted but never limited. Default: loopback.
    pub exempt: Vec<Network>,
}

impl Rates {
    /// Is there a limit of a sender domain?
    pub fn limits_sender_domains(&self) -> bool {
        self.messages_per_sender_domain.or(self.recipients_per_sender_domain).is_some()
    }
}

/// `[greylist]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greylist {
    /// How long a new triplet waits. Default 5 min.
    pub delay: Duration,
    /// It must come again within this time of its first attempt. Default 2 days.
    pub retry_window: Duration,
    /// A triplet or client that has passed is forgotten so long after its last mail. Default 35 days.
    pub lifetime: Duration,
    /// A client network that has passed so often (once an hour counts) waits no more; 0: it always does. Default 5.
    pub auto_allow: u32,
    /// Triplets remembered, and client networks likewise. Default 100,000.
    pub entries: usize,
}

/// `[overload]`: for each sign, where levels 1, 2 and 3 begin; `None`: not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverloadSigns {
    /// Per cent of `[connections] total`.
    pub sessions: Option<[u64; 3]>,
    /// Messages in the queue.
    pub queue: Option<[u64; 3]>,
    /// Milliseconds that accepted mail takes to the disk.
    pub sync: Option<[u64; 3]>,
    /// Per cent of time that processes waited for memory.
    pub pressure: Option<[u64; 3]>,
    /// Per cent of memory in use.
    pub memory: Option<[u64; 3]>,
}

pub fn rates(g: &Group) -> Rates {
    Rates {
        window: g.duration("window"),
        slots: g.u32("slots"),
        connections_per_address: g.limit("connections_per_address"),
        connections_per_network: g.limit("connections_per_network"),
        messages_per_address: g.limit("messages_per_address"),
        messages_per_network: g.limit("messages_per_network"),
        messages_per_user: g.limit("messages_per_user"),
        messages_per_sender_domain: g.limit("messages_per_sender_domain"),
        recipients_per_address: g.limit("recipients_per_address"),
        recipients_per_network: g.limit("recipients_per_network"),
        recipients_per_user: g.limit("recipients_per_user"),
        recipients_per_sender_domain: g.limit("recipients_per_sender_domain"),
        failed_authentications_per_address: g.limit("failed_authentications_per_address"),
        failed_authentications_per_network: g.limit("failed_authentications_per_network"),
        failed_authentications_per_user: g.limit("failed_authentications_per_user"),
        aborts_per_address: g.limit("aborts_per_address"),
        aborts_per_network: g.limit("aborts_per_network"),
        entries: g.usize("entries"),
        sketch: g.usize("sketch"),
        save: g.duration("save"),
        failure: g.fail_mode("failure"),
        exempt: g.networks("exempt"),
    }
}

pub fn greylist(g: &Group) -> Greylist {
    Greylist {
        delay: g.duration("delay"),
        retry_window: g.duration("retry_window"),
        lifetime: g.duration("lifetime"),
        auto_allow: g.u32("auto_allow"),
        entries: g.usize("entries"),
    }
}

pub fn overload_signs(g: &Group) -> OverloadSigns {
    let three = |key: &str| steps(&g.text(key)).unwrap_or_default();
    OverloadSigns {
        sessions: three("sessions"),
        queue: three("queue"),
        sync: three("sync"),
        pressure: three("pressure"),
        memory: three("memory"),
    }
}

/// `70 85 95`: three whole numbers, each greater than the one before; empty: `Some(None)`.
#[allow(clippy::option_option, reason = "no steps and wrong steps are different answers")]
pub fn steps(text: &str) -> Option<Option<[u64; 3]>> {
    let numbers: Vec<u64> = text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers.as_slice() {
        [] => Some(None),
        [a, b, c] if 0 < *a && a < b && b < c => Some(Some([*a, *b, *c])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_rise() {
        assert_eq!(steps("70 85 95"), Some(Some([70, 85, 95])));
        assert_eq!(steps(" "), Some(None));
        for wrong in ["1 2", "1 2 3 4", "3 2 1", "1 1 2", "0 1 2", "a b c", "-1 2 3"] {
            assert_eq!(steps(wrong), None, "{wrong}");
        }
    }
}
