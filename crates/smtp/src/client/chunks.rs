//! BDAT (RFC 3030): content in chunks of announced size, without dots and without the round trip of DATA.

use super::session::{Expected, State};
use super::{Client, Event, Flavour, Framing, Verdict};
use envelope::BodyType;
use status::{Enhanced, Reply};

/// Content up to this size goes out with the envelope, before the recipients are answered: if none is taken, so much was
/// sent for nothing.
const EARLY: u64 = 48 * 1024;
/// Chunks whose replies may be out.
const WINDOW: usize = 16;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chunks {
    /// Use them for content that need not have them.
    wanted: bool,
    framing: Framing,
    /// The server took one of this message.
    taken: bool,
    /// It offers CHUNKING and does not know BDAT.
    broken: bool,
}

/// Puts the BDAT command for what `out` holds from `at` on before it.
pub fn announce(out: &mut Vec<u8>, at: usize, last: bool) {
    let size = out.len().saturating_sub(at);
    let command = if last { format!("BDAT {size} LAST\r\n") } else { format!("BDAT {size}\r\n") };
    out.splice(at.min(out.len())..at.min(out.len()), command.into_bytes());
}

impl Client {
    /// Whether content that could go by DATA goes by BDAT where that is offered; before the first transaction.
    pub fn set_chunking(&mut self, wanted: bool) {
        self.chunks.wanted = wanted;
    }

    /// How the content of this transaction is sent.
    pub fn framing(&self) -> Framing {
        self.chunks.framing
    }

    /// After [`Event::Refused`]: BDAT is why, and DATA would do.
    pub fn chunking_broken(&self) -> bool {
        self.chunks.broken
    }

    /// The content goes in chunks and was under way: if the session breaks now, BDAT may be why.
    pub fn in_chunks(&self) -> bool {
        self.chunks.framing != Framing::Dots && matches!(self.state, State::Content | State::Ending)
    }

    /// Whether a further chunk may be sent now.
    pub fn may_send(&self) -> bool {
        let out = self.expected.iter().filter(|expected| **expected == Expected::Chunk).count();
        self.chunks.framing == Framing::Dots || out < if self.offered.pipelining { WINDOW } else { 1 }
    }

    /// A chunk is written, with its command.
    pub fn chunk_sent(&mut self, last: bool) {
        if self.state != State::Content {
            return;
        }
        if last {
            self.state = State::Ending;
            self.expect_final();
        } else {
            self.expected.push_back(Expected::Chunk);
        }
    }

    /// At the start of a transaction; true: the content follows the envelope at once.
    pub(super) fn choose_framing(&mut self) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        let octets = transaction.bodytype == BodyType::Binary && self.form.is_none();
        self.chunks.taken = false;
        self.chunks.framing = match self.offered.chunking {
            true if octets => Framing::Octets,
            true if self.chunks.wanted => Framing::Lines,
            _ => Framing::Dots,
        };
        // LMTP answers the last chunk once for each accepted recipient: they must be known.
        let small = self.size(transaction) <= EARLY && self.flavour == Flavour::Smtp;
        self.chunks.framing != Framing::Dots && self.offered.pipelining && small
    }

    pub(super) fn chunk_answered(&mut self, reply: &Reply) -> Option<Event> {
        if reply.code / 100 == 2 {
            self.chunks.taken = true;
            return None;
        }
        self.chunk_refused(reply)
    }

    pub(super) fn last_chunk_answered(&mut self, reply: &Reply) -> Option<Event> {
        if reply.code / 100 == 2 {
            return self.ended(None, reply);
        }
        if self.any_accepted() && is_about_syntax(reply) && !self.chunks.taken {
            return self.chunk_refused(reply);
        }
        let event = self.ended(None, reply);
        self.needs_reset = true;
        event
    }

    /// The rest of the message must not be sent, and what is on its way will be answered too: the session is not used again.
    fn chunk_refused(&mut self, reply: &Reply) -> Option<Event> {
        self.state = State::Closed;
        self.expected.clear();
        if is_about_syntax(reply) && !self.chunks.taken && self.chunks.framing == Framing::Lines {
            self.chunks.broken = true;
            return Some(Event::Refused(Verdict::deferred(
                Enhanced::transient(5, 1),
                format!("the server does not know BDAT after all: {reply}"),
            )));
        }
        let mut verdict = Verdict::of_reply(reply);
        if reply.code < 400 {
            verdict = Verdict::deferred(Enhanced::transient(5, 0), format!("the server answered BDAT with {reply}"));
        }
        Some(self.decide_open(&verdict))
    }
}

/// Not about the message, but about the command.
const fn is_about_syntax(reply: &Reply) -> bool {
    matches!(reply.code, 500..=504)
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
