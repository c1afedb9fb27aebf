//! How strangers are met and how much patience the SMTP server has: first contact, tarpit, limits of time and rate, overload.

use crate::sheet::Group;
use crate::{ListenerKind, Network, Settings};
use std::net::IpAddr;
use std::time::Duration;

/// `[first_contact]`
#[derive(Debug, Clone, PartialEq)]
pub struct FirstContact {
    /// Before the greeting; zero: strangers are greeted like everybody.
    pub wait: Duration,
    pub early_talkers: EarlyTalkers,
    /// A command line of a stranger that ends in a bare LF ends the session.
    pub drop_bare_newlines: bool,
    /// How long a client that has passed is remembered.
    pub remember: Duration,
    /// Networks that are no strangers, beside those of `[relay]`.
    pub exempt: Vec<Network>,
}

/// What becomes of a client that speaks before it is greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyTalkers {
    /// 554, and the connection is closed.
    Drop,
    /// The session goes on, and every recipient is refused: sender and recipients are in the log.
    Enforce,
    /// The session goes on.
    Log,
}

/// How long `[server]` waits for a client, and how it slows one down.
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    /// Delay of the first late reply; zero: none is ever late.
    pub tarpit_first: Duration,
    /// Each further delay is this many times longer.
    pub tarpit_factor: f64,
    pub tarpit_longest: Duration,
    /// Errors of a session that are answered at once.
    pub soft_errors: u32,
    /// Recipients of a session that are refused before it is ended.
    pub max_refused_recipients: u32,
    /// Bytes a second while a message comes; 0: any.
    pub min_rate: u64,
    /// What the rate is averaged over.
    pub min_rate_grace: Duration,
    /// Of a whole session; zero: none.
    pub session_limit: Duration,
    /// More time for a message in hand.
    pub session_limit_message: Duration,
    /// For the handshake of TLS.
    pub tls_timeout: Duration,
}

/// `[overload]`: what holds for clients that are not exempt while the host is overloaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Overload {
    /// At level 1; half of it at 2, a quarter at 3. So the other times.
    pub command_timeout: Duration,
    pub data_timeout: Duration,
    pub min_rate: u64,
    /// From level 2: sessions without a message are ended after so much silence.
    pub idle: Duration,
}

impl Settings {
    /// Is a client of this listener (`None`: the local submission socket) and address one that has to prove itself?
    /// Exempt are local sockets, submission and LMTP listeners, `[relay] networks` and `[first_contact] exempt`.
    pub fn is_stranger(&self, listener: Option<ListenerKind>, address: Option<IpAddr>) -> bool {
        let (Some(ListenerKind::Smtp), Some(address)) = (listener, address) else { return false };
        !self.relay_permits(address) && !self.first_contact.exempt.iter().any(|network| network.contains(address))
    }
}

pub fn first_contact(g: &Group) -> FirstContact {
    FirstContact {
        wait: g.duration("wait"),
        early_talkers: match g.text("early_talkers").as_str() {
            "enforce" => EarlyTalkers::Enforce,
            "log" => EarlyTalkers::Log,
            _ => EarlyTalkers::Drop,
        },
        drop_bare_newlines: g.text("bare_newlines") == "drop",
        remember: g.duration("remember"),
        exempt: g.networks("exempt"),
    }
}

/// From `[server]`.
pub fn patience(g: &Group) -> Patience {
    Patience {
        tarpit_first: g.duration("tarpit_first"),
        tarpit_factor: g.number("tarpit_factor"),
        tarpit_longest: g.duration("tarpit_longest"),
        soft_errors: g.u32("soft_errors"),
        max_refused_recipients: g.u32("max_refused_recipients"),
        min_rate: g.u64("min_rate"),
        min_rate_grace: g.duration("min_rate_grace"),
        session_limit: g.duration("session_limit"),
        session_limit_message: g.duration("session_limit_message"),
        tls_timeout: g.duration("tls_timeout"),
    }
}

pub fn overload(g: &Group) -> Overload {
    Overload {
        command_timeout: g.duration("command_timeout"),
        data_timeout: g.duration("data_timeout"),
        min_rate: g.u64("min_rate"),
        idle: g.duration("idle"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_clients_of_the_open_port_from_elsewhere() {
        let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n[relay]\nnetworks = [\"10.0.0.0/8\"]\n";
        let settings = crate::parse(text, "t").unwrap();
        let ask = |kind, address: &str| settings.is_stranger(Some(kind), Some(address.parse().unwrap()));
        assert!(ask(ListenerKind::Smtp, "192.0.2.1"));
        for (kind, address) in [
            (ListenerKind::Smtp, "127.0.0.1"),
            (ListenerKind::Smtp, "::1"),
            (ListenerKind::Smtp, "10.1.2.3"),
            (ListenerKind::Smtp, "::ffff:10.1.2.3"),
            (ListenerKind::Submission, "192.0.2.1"),
            (ListenerKind::Lmtp, "192.0.2.1"),
        ] {
            assert!(!ask(kind, address), "{address}");
        }
        assert!(!settings.is_stranger(Some(ListenerKind::Smtp), None) && !settings.is_stranger(None, None));
        assert_eq!((settings.first_contact.wait, settings.patience.tarpit_first), (Duration::ZERO, Duration::ZERO));
    }
}
