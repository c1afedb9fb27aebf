//! STARTTLS (RFC 3207): when it is asked for, and what a session may believe before and after.

use super::session::{Expected, State};
use super::{Client, Event, Extensions, Verdict};
use crate::reply_reader::ReplyReader;
use status::{Enhanced, Reply};

/// When a session asks for TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum StartTls {
    #[default]
    Never,
    /// Where the server offers it; without it the session goes on in plain text.
    WhenOffered,
    /// Without it the session is [`Event::Refused`].
    Required,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tls {
    pub wish: StartTls,
    /// The handshake is done.
    pub on: bool,
    /// The server did not offer STARTTLS, or did not begin it.
    pub withheld: bool,
}

impl Client {
    /// Sets whether this session asks for TLS; before the greeting.
    pub fn set_starttls(&mut self, wish: StartTls) {
        self.tls.wish = wish;
    }

    /// TLS was wished for and the server did not offer it, or did not begin it after all.
    pub fn tls_withheld(&self) -> bool {
        self.tls.withheld
    }

    /// The handshake is done: whatever the server offered before, anybody may have said (RFC 3207 section 4.2), so
    /// it is forgotten and the server asked again.
    pub fn secured(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Handshake {
            return;
        }
        self.tls.on = true;
        self.offered = Extensions::default();
        self.reader = ReplyReader::default();
        self.expected.clear();
        self.state = State::Opening;
        self.introduce(out);
    }

    pub(super) fn wants_tls(&self) -> bool {
        self.tls.wish != StartTls::Never && !self.tls.on
    }

    /// After the first EHLO.
    pub(super) fn ask_for_tls(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        if !self.offered.starttls {
            return self.without_tls("the server does not offer STARTTLS", out);
        }
        out.extend_from_slice(b"STARTTLS\r\n");
        self.expected.push_back(Expected::StartTls);
        None
    }

    pub(super) fn starttls_answered(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Option<Event> {
        if reply.code == 220 {
            self.state = State::Handshake;
            return Some(Event::StartTls);
        }
        self.without_tls(&format!("the server answered STARTTLS with {reply}"), out)
    }

    /// TLS cannot be had. That is the server's state of today, or somebody between (RFC 3207 section 6): never a bounce.
    fn without_tls(&mut self, why: &str, out: &mut Vec<u8>) -> Option<Event> {
        self.tls.withheld = true;
        if self.tls.wish == StartTls::WhenOffered {
            return self.open(out);
        }
        self.close(Verdict::deferred(Enhanced::transient(7, 4), why))
    }

    /// Something followed the 220 outside TLS: replies for commands that are sent inside, put there by somebody between.
    pub(super) fn injected(&mut self) -> Option<Event> {
        self.close(Verdict::deferred(
            Enhanced::transient(7, 0),
            "bytes followed the reply to STARTTLS outside TLS; the session was given up",
        ))
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
