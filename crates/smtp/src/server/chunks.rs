//! BDAT (RFC 3030): content in chunks whose size is said before.
//!
//! **Invariant:** the octets of a chunk are never read as commands. Where a chunk is refused they are skipped, and the
//! reply comes after them; where nobody can know how many there are, the session ends.

use super::Stage;
use super::command;
use super::content::{Content, Framing};
use super::replies::reply_of;
use super::session::{Session, State, Step};
use super::transaction::Transaction;
use envelope::BodyType;
use status::Reply;

/// Content of which a chunk is due for each this many octets at most, beside as many as there may be idle commands.
const FAIR_CHUNK: u64 = 512;

/// What a BDAT command has announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Octets, and those still to come.
    pub size: u64,
    pub left: u64,
    pub last: bool,
}

/// Content that comes in chunks.
#[derive(Debug)]
pub(super) struct Chunked {
    pub transaction: Box<Transaction>,
    pub content: Content,
    /// Chunks so far.
    pub count: u64,
}

/// Why a chunk is not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The command was wrong.
    Wrong(u16, &'static str, &'static str),
    /// The driver's word.
    Given(Reply),
}

/// A chunk that is not taken, and what is said of it.
#[derive(Debug)]
pub(super) struct Skipping {
    pub left: u64,
    pub refusal: Refusal,
    /// The transaction that goes on after it.
    pub transaction: Option<Box<Transaction>>,
}

impl Session {
    pub(super) fn bdat(&mut self, argument: &[u8]) -> Option<Step> {
        let Some((size, last)) = command::chunk(argument) else {
            // How much follows nobody knows, and it would be taken for commands.
            self.note(Stage::Protocol, 501, "BDAT", "malformed chunk size");
            self.close(501, "5.5.4", "malformed BDAT");
            return None;
        };
        let chunk = Chunk { size, left: size, last };
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Transaction(transaction) if transaction.recipients().is_empty() => {
                self.skip(size, Refusal::Wrong(554, "5.5.1", "no valid recipients"), Some(transaction));
                None
            }
            State::Transaction(transaction) if self.rights.ask_data => {
                self.state = State::AwaitingData(transaction, Some(chunk));
                Some(Step::Data)
            }
            State::Transaction(transaction) => {
                self.receive_chunks(transaction, chunk);
                Some(Step::Begin)
            }
            State::BetweenChunks(chunked) => {
                self.next_chunk(chunked, chunk);
                None
            }
            _ => {
                self.skip(size, Refusal::Wrong(503, "5.5.1", "MAIL and RCPT first"), None);
                None
            }
        }
    }

    /// The first chunk.
    pub(super) fn receive_chunks(&mut self, transaction: Box<Transaction>, chunk: Chunk) {
        let framing = if transaction.bodytype == BodyType::Binary { Framing::Octets } else { Framing::Lines };
        let content = Content::new(framing, self.max_message_size());
        self.state = State::Chunk(Box::new(Chunked { transaction, content, count: 1 }), chunk);
    }

    fn next_chunk(&mut self, mut chunked: Box<Chunked>, chunk: Chunk) {
        chunked.count += 1;
        // Chunks of a few octets cost as much as commands that do nothing (attacks.md 28).
        if chunked.count > u64::from(self.config.max_idle_commands).saturating_add(chunked.content.bytes() / FAIR_CHUNK) {
            self.note(Stage::Protocol, 421, "BDAT", "too many small chunks");
            return self.close(421, "4.7.0", "too many small chunks");
        }
        self.state = State::Chunk(chunked, chunk);
    }

    /// Refuses a chunk; its octets are still to come.
    pub(super) fn skip(&mut self, left: u64, refusal: Refusal, transaction: Option<Box<Transaction>>) {
        self.state = State::Skipping(Box::new(Skipping { left, refusal, transaction }));
    }

    /// Takes octets of the chunk: how many, and whether that was the last of them.
    pub(super) fn take_chunk(&mut self, input: &[u8], sink: &mut Vec<u8>) -> (usize, Option<Step>) {
        let State::Chunk(chunked, chunk) = &mut self.state else { return (0, None) };
        let part = within(input, chunk.left);
        chunked.content.feed(part, &self.config, sink);
        chunk.left -= part.len() as u64;
        if chunk.left > 0 {
            return (part.len(), None);
        }
        (part.len(), self.end_of_chunk(sink))
    }

    fn end_of_chunk(&mut self, sink: &mut Vec<u8>) -> Option<Step> {
        let State::Chunk(mut chunked, chunk) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        if chunk.last {
            chunked.content.finish(&self.config, sink);
        }
        if let (Some(fault), false) = (chunked.content.fault(), chunk.last) {
            // One reply, whatever the protocol: those for each recipient belong to the last chunk.
            let (code, status, text) = fault.reply();
            self.refuse(Stage::Data, "", &reply_of(code, status, text));
            return Some(Step::Refused);
        }
        if chunk.last {
            let Chunked { transaction, content, .. } = *chunked;
            return Some(self.end_of_content(transaction, content.fault()));
        }
        self.reply(250, "2.0.0", &format!("{} octets received", chunk.size));
        self.state = State::BetweenChunks(chunked);
        None
    }

    pub(super) fn take_skipped(&mut self, input: &[u8]) -> usize {
        let State::Skipping(skipping) = &mut self.state else { return 0 };
        let part = within(input, skipping.left).len();
        skipping.left -= part as u64;
        if skipping.left == 0 {
            let State::Skipping(skipping) = std::mem::replace(&mut self.state, State::Idle) else { return part };
            if let Some(transaction) = skipping.transaction {
                self.state = State::Transaction(transaction);
            }
            match skipping.refusal {
                Refusal::Wrong(code, status, text) => self.error(code, status, text),
                Refusal::Given(reply) => self.give(&reply),
            }
        }
        part
    }
}

fn within(input: &[u8], left: u64) -> &[u8] {
    let room = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    input.get(..room).unwrap_or(input)
}
