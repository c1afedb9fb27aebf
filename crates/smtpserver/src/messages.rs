//! A message on its way in: gathered in one buffer while small, streamed to a draft once large.
//!
//! Memory of one session is at most two pieces: one with a thread, one being filled; then the client waits.

use crate::connection::Connection;
use crate::ending::Ended;
use crate::envelopes;
use crate::sync::{Done, Job, Key, Meta, Opening};
use crate::worker::Worker;
use envelope::{BodyType, MessageId};
use ipc::rates::Kind;
use smtp::server::Transaction;
use spool::{Draft, POSTOFFICE, VolumeNumber};
use status::{Enhanced, Reply};
use std::io;

/// Content above this size does not wait for its end in memory.
pub(crate) const PIECE: usize = 256 * 1024;
/// Buffers kept for the next messages, and the largest one kept.
const KEPT: usize = 64;
const KEPT_SIZE: usize = 64 * 1024;

/// Where the content before the buffer is.
#[derive(Debug)]
pub(crate) enum Earlier {
    /// Nowhere: all of it is in the buffer.
    Nothing,
    /// A thread has the draft.
    Away,
    Draft(Draft),
    /// It could not be written; what the client gets for it at the end.
    Failed(Reply),
}

#[derive(Debug)]
pub(crate) struct Incoming {
    pub id: MessageId,
    pub volume: VolumeNumber,
    pub content: Vec<u8>,
    /// Bytes that are ours.
    pub added: usize,
    /// Of a user, and not looked at yet: what its header lacks will be added.
    pub mends: bool,
    /// Bytes given to threads.
    pub given: u64,
    pub earlier: Earlier,
    /// The content has ended, and policy is asked about the message.
    pub ended: Option<Ended>,
    /// The content has ended while the draft was away.
    pub ending: Option<Box<Meta>>,
}

impl Incoming {
    /// Bytes of the client's, as they are stored.
    pub fn size(&self) -> u64 {
        (self.given + self.content.len() as u64).saturating_sub(self.added as u64)
    }

    /// The client must wait until the thread is back.
    pub fn is_full(&self) -> bool {
        self.content.len() >= PIECE && matches!(self.earlier, Earlier::Away)
    }
}

/// What a client gets when its message could not be written.
pub(crate) fn io_reply(error: &io::Error) -> Reply {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Reply::new(452, Enhanced::transient(3, 1), "insufficient system storage")
        }
        _ => Reply::new(451, Enhanced::transient(3, 0), "local error in processing"),
    }
}

impl Worker {
    /// DATA was accepted: the id, and the Received field first.
    pub(crate) fn begin_message(&mut self, c: &mut Connection) {
        let id = self.ids.next(daemon::clock::unix_micros());
        let declared = c.session.transaction().map_or(0, |t| t.declared_size);
        let mut content = self.buffers.pop().unwrap_or_default();
        content.reserve(usize::try_from(declared).unwrap_or(PIECE).clamp(4 * 1024, PIECE) + 1024);
        // Above our own trace (RFC 7208 section 9.1).
        for line in c.policy.prepend() {
            content.extend_from_slice(line.as_bytes());
            content.push(b'\n');
        }
        if c.session.transaction().is_some_and(|t| t.bodytype == BodyType::Binary) {
            envelopes::with_crlf(0, &mut content);
        }
        envelopes::received(c, &self.context, id, &mut content);
        let added = content.len();
        let room = self.context.settings.server.min_free_bytes.saturating_add(declared);
        // Room there was at MAIL; should it be gone, the disk has the last word.
        let volume = self.disks.choose(room, self.now).unwrap_or(POSTOFFICE);
        self.disks.placed();
        let mends = self.mends(c);
        c.message =
            Some(Box::new(Incoming { id, volume, content, added, mends, given: 0, earlier: Earlier::Nothing, ended: None, ending: None }));
    }

    /// Gives a full buffer to a thread, unless one is still at the piece before it.
    pub(crate) fn spill(&mut self, c: &mut Connection, key: Key) {
        // At the end all that is left goes together.
        let Some(transaction) = c.session.transaction() else { return };
        let Some(mut message) = c.message.take_if(|message| message.content.len() >= PIECE) else { return };
        if message.mends {
            self.mend(&mut message, c.session.user(), transaction, false);
        }
        if let Some(opening) = self.opening(c, transaction, &mut message) {
            let piece = std::mem::take(&mut message.content);
            message.given += piece.len() as u64;
            self.disks.put(message.volume, Job::Append { key, id: message.id, opening, piece });
        }
        c.message = Some(message);
    }

    /// Where the next piece goes; none: it has to wait, or is lost already.
    fn opening(&self, c: &Connection, transaction: &Transaction, message: &mut Incoming) -> Option<Opening> {
        match std::mem::replace(&mut message.earlier, Earlier::Away) {
            Earlier::Nothing => {
                let envelope = self.envelope(c, transaction, transaction.recipients().to_vec(), c.session.with());
                Some(Opening::New(Box::new(envelope)))
            }
            Earlier::Draft(draft) => Some(Opening::Open(draft)),
            Earlier::Away => None,
            Earlier::Failed(reply) => {
                message.content.clear();
                message.earlier = Earlier::Failed(reply);
                None
            }
        }
    }

    /// The content was refused, or the client is gone: what there is of it goes.
    pub(crate) fn drop_message(&mut self, c: &mut Connection) {
        let Some(message) = c.message.take() else { return };
        let message = *message;
        if let Earlier::Draft(draft) = message.earlier {
            self.disks.put(message.volume, Job::Discard(draft));
        }
        self.recycle(message.content);
    }

    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < KEPT && buffer.capacity() > 0 && buffer.capacity() <= KEPT_SIZE {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Something came back from a thread.
    pub(crate) fn done(&mut self, volume: VolumeNumber, done: Done) {
        match done {
            Done::Measured(free) => self.disks.measured(volume, free),
            Done::Discarded => {}
            Done::Appended { key, id, result, buffer } => self.appended(volume, (key, id), result, buffer),
            Done::Staged { meta, result, buffer } => {
                self.recycle(buffer);
                match result {
                    Ok(draft) => self.judge(meta, draft),
                    Err(error) => self.not_written(&meta, &error),
                }
            }
            Done::Committed { meta, result, frozen, buffer } => {
                self.recycle(buffer);
                match result {
                    Ok(()) => self.accepted(&meta, frozen),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => self.taken_back(&meta),
                    Err(error) => self.not_written(&meta, &error),
                }
            }
        }
    }

    fn appended(&mut self, volume: VolumeNumber, (key, id): (Key, MessageId), result: io::Result<Draft>, buffer: Vec<u8>) {
        let Some(mut c) = self.take_connection(key) else {
            if let Ok(draft) = result {
                self.disks.put(volume, Job::Discard(draft));
            }
            return;
        };
        // The message may have been refused meanwhile, and another one begun.
        if c.message.as_ref().is_none_or(|message| message.id != id) {
            if let Ok(draft) = result {
                self.disks.put(volume, Job::Discard(draft));
            }
            return self.settle(key, c);
        }
        if let Some(message) = &mut c.message {
            if message.content.is_empty() {
                message.content = buffer;
                message.content.clear();
            }
            message.earlier = match result {
                Ok(draft) => Earlier::Draft(draft),
                Err(error) => {
                    daemon::event!(Warning, "not_written", id = id, reason = error);
                    self.disks.failed(volume, self.now);
                    Earlier::Failed(io_reply(&error))
                }
            };
        }
        self.end_if_ended(&mut c);
        self.spill(&mut c, key);
        self.settle(key, c);
    }

    /// The message is durable: the log, the counters, the client.
    fn accepted(&mut self, meta: &Meta, frozen: bool) {
        self.counters.add("messages", 1);
        self.counters.add("syncs", 1);
        let nrcpt = meta.accepted();
        self.counters.add("recipients", nrcpt as u64);
        self.counters.add("bytes", meta.size);
        let event = if frozen { "frozen" } else { "accepted" };
        if let Some(line) = daemon::log::Line::begin(settings::LogLevel::Info, event) {
            let line = line.field("id", &meta.id).field("from", &meta.from).field("peer", &meta.client).field("size", &meta.size);
            let line = line.field("nrcpt", &nrcpt).field("proto", &meta.proto);
            let volume = self.disks.volumes.all().get(usize::from(meta.volume)).map_or("", |volume| &volume.name);
            if volume.is_empty() { line.end() } else { line.field("volume", &volume).end() }
        }
        let user = meta.user.as_deref();
        if !meta.counted.0 {
            self.tally.count_of(meta.client, user, Kind::Message, 1);
        }
        if !meta.counted.1 {
            self.tally.count_of(meta.client, user, Kind::Recipient, nrcpt);
        }
        if !frozen {
            self.arrived.push(self.disks.volumes.written(meta.volume, meta.id.as_str()));
        }
        self.reply_to(meta, Ok(meta.id));
    }

    fn not_written(&mut self, meta: &Meta, error: &io::Error) {
        daemon::event!(Warning, "not_written", id = meta.id, reason = error);
        self.disks.failed(meta.volume, self.now);
        self.reply_to(meta, Err(io_reply(error)));
    }
}
