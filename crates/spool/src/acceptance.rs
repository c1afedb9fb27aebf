//! Acceptance: S1 to S2.
use crate::Spool;
use envelope::{Envelope, MessageId};
use std::io;

/// Makes drafts; one for each thread (holds the id source).
#[derive(Debug)]
pub struct Submitter { _todo: () }
/// A message file being written in `public/` (S1). Dropping it without commit removes it.
#[derive(Debug)]
pub struct Draft { _todo: () }

impl Submitter {
    pub fn new(spool: std::sync::Arc<Spool>) -> Self { let _ = spool; todo!() }
    /// An id for a message to come (its Received line needs it before the file exists).
    pub fn next_id(&mut self) -> MessageId { todo!() }
    /// Creates `public/<id>` and writes the envelope. The length line is filled in at the end.
    pub fn draft(&mut self, id: MessageId, envelope: &Envelope) -> io::Result<Draft> { let _ = (id, envelope); todo!() }
    /// The whole of a small message at once: create, one write, one sync, rename. `content` = headers and body.
    /// After Ok the message is durable and named in `router/`.
    pub fn submit(&mut self, id: MessageId, envelope: &Envelope, content: &[u8]) -> io::Result<()> { let _ = (id, envelope, content); todo!() }
    /// `submit` in two steps, for a content filter between them: the complete, not yet synced file.
    pub fn stage(&mut self, id: MessageId, envelope: &Envelope, content: &[u8]) -> io::Result<Draft> { let _ = (id, envelope, content); todo!() }
}
impl Draft {
    pub fn id(&self) -> MessageId { todo!() }
    /// Appends headers or body (LF line ends).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> { let _ = bytes; todo!() }
    /// Fills in the length, syncs, renames into `router/`. After Ok: durable (S2).
    pub fn commit(self) -> io::Result<MessageId> { todo!() }
    /// Fills in the length, syncs, renames into `freezer/` and writes `freezer/<id>.reason`.
    pub fn freeze(self, reason: &str) -> io::Result<MessageId> { let _ = reason; todo!() }
}
