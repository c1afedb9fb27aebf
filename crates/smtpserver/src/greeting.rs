//! First contact: everything before the greeting, and the client's first bytes after it.
//!
//! What Postfix's postscreen does in a process of its own happens here on the session's own loop: the tracker says
//! whether the client has been here before; one that has not waits for its greeting (`first_contact.wait`), and has
//! failed when it cannot. A client that is known or exempt costs one comparison.
//!
//! The order: connection from the master, tracker, wait, greeting, first command.

use crate::connection::{Awaiting, Connection};
use crate::drive::{Read, read};
use crate::foreign::{self, Foreign};
use crate::policy::Layer;
use crate::sync::Key;
use crate::worker::Worker;
use ipc::rates::Kind;
use settings::EarlyTalkers;
use std::io;
use std::time::{Duration, Instant};

/// Bytes of a client that the log shows.
const SHOWN: usize = 100;
/// Lines about strangers in one second: a flood must not fill the disk that the mail needs.
const LINES: u32 = 100;

impl Worker {
    /// The greeting, once the client has shown that it waits for it and nobody has anything against it.
    /// False: not greeted.
    pub(crate) fn greet(&mut self, c: &mut Connection, key: Key) -> bool {
        if !c.heralded && (c.session.is_closed() || !self.hear_header(c)) {
            return false;
        }
        if c.session.is_closed() || (c.readable && c.held.is_empty() && !self.hear_early(c)) {
            return false;
        }
        match c.awaiting {
            Awaiting::Nothing => {}
            _ => return false,
        }
        if self.asks_at_connection(c, key) {
            return false;
        }
        self.admitted(c, key);
        c.greeted
    }

    /// The tracker is asked where a limit wants it, or where it matters whether the client is known.
    fn asks_at_connection(&mut self, c: &mut Connection, key: Key) -> bool {
        let matters = c.conduct.stranger && (self.level >= 2 || !self.context.settings.first_contact.wait.is_zero());
        if !matters && !self.context.limits_connections() {
            self.tally.count(c.client, Kind::Connection, 1);
            return false;
        }
        self.ask_rate(c, key, Kind::Connection, Awaiting::ConnectionRate)
    }

    /// The tracker has nothing against the client: it is greeted now or after the wait.
    pub(crate) fn admitted(&mut self, c: &mut Connection, key: Key) {
        if self.is_too_strange(c) {
            self.counters.add("overloaded", 1);
            c.session.output().clear();
            return c.session.close(421, "4.3.2", "this server is overloaded, try again later");
        }
        let accepted = self.connect_policy(c, key);
        if c.session.is_closed() {
            return;
        }
        let wait = self.context.settings.first_contact.wait;
        if !c.conduct.is_unproven() || wait.is_zero() {
            if accepted {
                self.met(c);
            }
            return;
        }
        self.counters.add("waited", 1);
        c.awaiting = Awaiting::FirstContact;
        c.deadline = self.now + wait;
    }

    /// The wait is over and the client has kept silent.
    pub(crate) fn waited(&mut self, c: &mut Connection) {
        if c.policy.is_asking() {
            // What the lists say of the client takes longer than the wait.
            c.awaiting = Awaiting::Policy(Layer::Connect);
            c.deadline = self.now + self.command_timeout(c);
            return;
        }
        c.awaiting = Awaiting::Nothing;
        self.met(c);
    }

    /// Nothing stands between the client and its greeting any more.
    pub(crate) fn met(&mut self, c: &mut Connection) {
        c.greeted = true;
        c.deadline = self.now + self.command_timeout(c);
    }

    /// Input before the greeting. False: the session is over.
    fn hear_early(&mut self, c: &mut Connection) -> bool {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let go_on = match read(c, &mut buffer) {
            Read::Nothing => true,
            Read::Bytes(count) => self.talks_early(c, buffer.get(..count).unwrap_or_default()),
            Read::Broken(reason) => {
                self.broken_tls(c, &reason);
                c.session.output().clear();
                c.session.close(554, "5.5.0", "no TLS");
                false
            }
            Read::End => {
                c.session.output().clear();
                c.session.close(421, "4.4.2", "client is gone");
                false
            }
        };
        self.read_buffer = buffer;
        go_on
    }

    /// attacks.md 19.
    fn talks_early(&mut self, c: &mut Connection, bytes: &[u8]) -> bool {
        self.counters.add("early_talkers", 1);
        if let Some(foreign) = foreign::recognise(bytes) {
            c.session.output().clear();
            self.drop_foreign(c, foreign, bytes);
            return false;
        }
        let action = self.context.settings.first_contact.early_talkers;
        if self.noise.allows(self.now) {
            let word = match action {
                EarlyTalkers::Drop => "drop",
                EarlyTalkers::Enforce => "enforce",
                EarlyTalkers::Log => "log",
            };
            daemon::event!(Info, "early_talker", peer = c.client, action = word, data = shown(bytes));
        }
        match action {
            EarlyTalkers::Drop => {
                self.counters.add("protocol_errors", 1);
                c.session.output().clear();
                c.session.close(554, "5.5.0", "protocol synchronization error: wait for the greeting");
                return false;
            }
            EarlyTalkers::Enforce => c.conduct.condemned = true,
            EarlyTalkers::Log => {}
        }
        c.held = bytes.to_vec();
        true
    }

    /// Looks at the first bytes of a greeted client. True: it speaks something else, and its session is over.
    pub(crate) fn is_foreign(&mut self, c: &mut Connection, input: &[u8]) -> bool {
        let strict = c.conduct.is_unproven() && self.context.settings.first_contact.drop_bare_newlines;
        let Some(foreign) = c.conduct.opening.look(input, strict) else { return false };
        self.drop_foreign(c, foreign, input);
        true
    }

    fn drop_foreign(&mut self, c: &mut Connection, foreign: Foreign, bytes: &[u8]) {
        self.counters.add("not_smtp", 1);
        if self.noise.allows(self.now)
            && let Some(line) = daemon::log::Line::begin(settings::LogLevel::Info, "not_smtp")
        {
            let line = line.field("peer", &c.client).field("kind", &foreign.word()).field("data", &shown(bytes));
            let line = if let Some(hint) = foreign.hint() { line.field("hint", &hint) } else { line };
            line.end();
        }
        c.session.close(554, "5.5.2", foreign.text());
    }

    /// What came is no TLS, or not as we speak it.
    pub(crate) fn broken_tls(&mut self, c: &Connection, reason: &io::Error) {
        self.counters.add("tls_failures", 1);
        if self.noise.allows(self.now) {
            daemon::event!(Info, "tls_failed", peer = c.client, reason = reason, hint = tls_hint(reason));
        }
    }

    /// A stranger that has said hello as it should, and nothing out of turn, has passed: the tracker remembers it.
    pub(crate) fn prove(&mut self, c: &mut Connection) {
        if !c.conduct.stranger || c.conduct.passed || c.conduct.condemned || c.session.hello().is_none() || c.session.is_closed() {
            return;
        }
        c.conduct.passed = true;
        if self.tracker.exists() {
            self.tally.passed(c.client);
        }
    }
}

/// The first bytes of a client, as text that harms no terminal and tells no password.
pub(crate) fn shown(bytes: &[u8]) -> std::slice::EscapeAscii<'_> {
    smtp::server::showable(bytes, SHOWN).escape_ascii()
}

/// Why TLS with a client broke, for somebody who has to do something about it.
fn tls_hint(reason: &io::Error) -> &'static str {
    use rustls::{Error, InvalidMessage};
    match reason.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "the client speaks no TLS: one for STARTTLS at a listener of kind submissions?"
        }
        Some(Error::AlertReceived(_)) => "the client does not like our certificate or versions",
        _ => "",
    }
}

/// Keeps the log readable while strangers come in floods.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    second: Option<Instant>,
    lines: u32,
    /// Lines that were not written in this second.
    kept: u64,
}

impl Noise {
    /// May another line be written? Says how many were not, with the first one after.
    pub fn allows(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1)) {
            if self.kept > 0 {
                daemon::event!(Warning, "lines_left_out", lines = self.kept);
            }
            *self = Self { second: Some(now), lines: 0, kept: 0 };
        }
        self.lines += 1;
        if self.lines > LINES {
            self.kept += 1;
        }
        self.lines <= LINES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_a_second() {
        let (mut noise, now) = (Noise::default(), Instant::now());
        assert_eq!((0..5000).filter(|_| noise.allows(now)).count(), LINES as usize);
        assert_eq!(noise.kept, 5000 - u64::from(LINES));
        assert!(noise.allows(now + Duration::from_secs(1)) && noise.kept == 0);
    }

    #[test]
    fn what_is_shown_is_short_and_plain() {
        let text = shown(&[0x1b; 300]).to_string();
        assert_eq!(text, "\\x1b".repeat(SHOWN));
    }
}
