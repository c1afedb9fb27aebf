//! A message on its way in: gathered in one buffer while small, streamed to a draft once large.
//!
//! Memory of one session is at most two pieces: one with a thread, one being filled; then the client waits.

use crate::connection::{Awaiting, Connection};
use crate::envelopes;
use crate::sync::{Done, Job, Key, Meta, Opening};
use crate::worker::Worker;
use envelope::{BodyType, MessageId};
use ipc::rates::Kind;
use policy::Verdict;
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
    /// The content has ended while the draft was away.
    pub ending: Option<Box<Meta>>,
}

impl Incoming {
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
        c.message = Some(Box::new(Incoming { id, volume, content, added, mends, given: 0, earlier: Earlier::Nothing, ending: None }));
    }

    /// Gives a full buffer to a thread, unless one is still at the piece before it.
    pub(crate) fn spill(&mut self, c: &mut Connection, key: Key) {
        let Some(message) = &mut c.message else { return };
        if message.content.len() < PIECE {
            return;
        }
        if let (true, Some(transaction)) = (message.mends, c.session.transaction()) {
            self.mend(message, c.session.user(), transaction, false);
        }
        let opening = match std::mem::replace(&mut message.earlier, Earlier::Away) {
            Earlier::Nothing => {
                let Some(transaction) = c.session.transaction() else { return };
                let mut envelope = envelopes::envelope(c.client, c.session.hello().unwrap_or_default(), c.session.with(), transaction);
                envelope.authinfo = c.session.user().map(str::to_owned);
                envelope.submitter = envelopes::submitter(c.client, c.listener, &self.context);
                envelope.recipients = transaction.recipients().iter().cloned().map(envelopes::recipient).collect();
                Opening::New(Box::new(envelope))
            }
            Earlier::Draft(draft) => Opening::Open(draft),
            Earlier::Away => return,
            Earlier::Failed(reply) => {
                message.content.clear();
                message.earlier = Earlier::Failed(reply);
                return;
            }
        };
        let piece = std::mem::take(&mut message.content);
        message.given += piece.len() as u64;
        self.disks.put(message.volume, Job::Append { key, id: message.id, opening, piece });
    }

    /// The dot has come and the content is acceptable.
    pub(crate) fn end_message(&mut self, c: &mut Connection, key: Key, mut transaction: Box<Transaction>, with: &'static str) {
        c.awaiting = Awaiting::Commit;
        if self.is_refused_whole(c) {
            return;
        }
        let end = c.policy.end();
        let stage = end.freeze.is_some() || self.filters() && !end.unfiltered;
        let Some(mut message) = c.message.take() else {
            return self.finish(c, Err(Reply::new(451, Enhanced::transient(3, 0), "local error in processing")));
        };
        self.mend(&mut message, c.session.user(), &transaction, true);
        let meta = Box::new(Meta {
            key,
            id: message.id,
            volume: message.volume,
            from: envelopes::sender_text(&transaction),
            client: c.client,
            user: c.session.user().map(str::to_lowercase),
            size: message.given + message.content.len() as u64,
            nrcpt: transaction.recipients().len(),
            proto: with,
            freeze: end.freeze.map(String::into_boxed_str),
            stage,
            counted: c.policy.counted(),
        });
        match message.earlier {
            Earlier::Nothing => {
                let mut envelope = envelopes::envelope(c.client, c.session.hello().unwrap_or_default(), with, &transaction);
                envelope.authinfo = c.session.user().map(str::to_owned);
                envelope.submitter = envelopes::submitter(c.client, c.listener, &self.context);
                envelope.recipients = transaction.take_recipients().into_iter().map(envelopes::recipient).collect();
                let content = std::mem::take(&mut message.content);
                self.disks.put(message.volume, Job::Submit { meta, envelope: Box::new(envelope), content, stage });
            }
            Earlier::Draft(draft) => self.disks.put(message.volume, Job::Finish { meta, draft, piece: message.content, stage }),
            Earlier::Away => {
                message.ending = Some(meta);
                c.message = Some(message);
            }
            Earlier::Failed(reply) => self.finish(c, Err(reply)),
        }
    }

    /// A rule allows less than what has come: the message goes, and the client has its reply.
    fn is_refused_whole(&mut self, c: &mut Connection) -> bool {
        let Some(message) = &c.message else { return false };
        let size = (message.given + message.content.len() as u64).saturating_sub(message.added as u64);
        let Some(decision) = c.policy.content(size) else { return false };
        let Verdict::Refuse(reply) = decision.verdict else { return false };
        self.drop_message(c);
        self.note(c);
        self.finish(c, Err(reply));
        self.note_because(c, decision.cause.as_deref());
        true
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

    fn filters(&self) -> bool {
        !self.context.settings.filter.program.is_empty()
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

    fn end_if_ended(&mut self, c: &mut Connection) {
        let Some(meta) = c.message.as_mut().and_then(|message| message.ending.take()) else { return };
        let Some(message) = c.message.take() else { return };
        let message = *message;
        match message.earlier {
            Earlier::Draft(draft) => {
                let stage = meta.stage;
                self.disks.put(message.volume, Job::Finish { meta, draft, piece: message.content, stage })
            }
            Earlier::Failed(reply) => self.finish(c, Err(reply)),
            Earlier::Nothing | Earlier::Away => {
                self.finish(c, Err(Reply::new(451, Enhanced::transient(3, 0), "local error in processing")))
            }
        }
    }

    /// The message is durable: the log, the counters, the client.
    fn accepted(&mut self, meta: &Meta, frozen: bool) {
        self.counters.add("messages", 1);
        self.counters.add("syncs", 1);
        self.counters.add("recipients", meta.nrcpt as u64);
        self.counters.add("bytes", meta.size);
        let event = if frozen { "frozen" } else { "accepted" };
        if let Some(line) = daemon::log::Line::begin(settings::LogLevel::Info, event) {
            let line = line.field("id", &meta.id).field("from", &meta.from).field("peer", &meta.client).field("size", &meta.size);
            let line = line.field("nrcpt", &meta.nrcpt).field("proto", &meta.proto);
            let volume = self.disks.volumes.all().get(usize::from(meta.volume)).map_or("", |volume| &volume.name);
            if volume.is_empty() { line.end() } else { line.field("volume", &volume).end() }
        }
        let user = meta.user.as_deref();
        if !meta.counted.0 {
            self.tally.count_of(meta.client, user, Kind::Message, 1);
        }
        if !meta.counted.1 {
            self.tally.count_of(meta.client, user, Kind::Recipient, meta.nrcpt);
        }
        if !frozen {
            self.arrived.push(self.disks.volumes.written(meta.volume, meta.id.as_str()));
        }
        self.reply_to(meta.key, Ok(meta.id));
    }

    fn not_written(&mut self, meta: &Meta, error: &io::Error) {
        daemon::event!(Warning, "not_written", id = meta.id, reason = error);
        self.disks.failed(meta.volume, self.now);
        self.reply_to(meta.key, Err(io_reply(error)));
    }

    /// The verdict on a message, to its session if that is still there.
    pub(crate) fn reply_to(&mut self, key: Key, verdict: Result<MessageId, Reply>) {
        self.settled(key.number);
        let Some(mut c) = self.take_connection(key) else { return };
        self.finish(&mut c, verdict);
        self.settle(key, c);
    }

    pub(crate) fn finish(&mut self, c: &mut Connection, verdict: Result<MessageId, Reply>) {
        c.awaiting = Awaiting::Nothing;
        self.settled(c.number);
        match verdict {
            Ok(id) => c.session.finish(Ok(id.as_str())),
            Err(reply) => c.session.finish(Err(reply)),
        }
    }
}
