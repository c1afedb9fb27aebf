//! Clients that left between the dot and our 250 (RFC 1047): their message is taken back as long as it can be.
//!
//! Whoever closes before the reply sends the message again; if it were accepted too, it would arrive twice. So the loop
//! marks a session whose client has closed, and the thread looks at the mark between sync and rename, the last moment at
//! which the message is not ours yet. What remains is the time of one rename and of the reply on its way. A crash after
//! the sync adopts the file: then it does arrive twice, and is never lost.
//!
//! A client that closes its sending side after QUIT has not left.

use crate::connection::{Awaiting, Connection};
use crate::drive::{Read, read};
use crate::sync::{Key, Meta};
use crate::worker::Worker;
use ipc::rates::Kind;
use status::{Enhanced, Reply};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Numbers of the sessions whose client has left.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// So that a message costs one load and no lock.
    any: AtomicBool,
    sessions: Mutex<HashSet<u64>>,
}

impl Gone {
    fn mark(&self, session: u64) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session);
        self.any.store(true, Ordering::Release);
    }

    fn forget(&self, session: u64) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session);
        self.any.store(!sessions.is_empty(), Ordering::Release);
    }

    pub fn has(&self, session: u64) -> bool {
        self.any.load(Ordering::Acquire) && self.sessions.lock().unwrap_or_else(PoisonError::into_inner).contains(&session)
    }
}

impl Worker {
    /// While a thread has the message: has the client closed?
    pub(crate) fn look_whether_gone(&mut self, c: &mut Connection, key: Key) {
        if !c.half_closed || c.awaiting != Awaiting::Commit || !c.held.is_empty() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        match read(c, &mut buffer) {
            Read::Bytes(count) => c.held = buffer.get(..count).unwrap_or_default().to_vec(),
            Read::Nothing => {}
            Read::End | Read::Broken(_) => self.disks.gone.mark(key.number),
        }
        self.read_buffer = buffer;
    }

    /// What became of the message of a session is known, by whatever way it went: the session needs no mark any more.
    pub(crate) fn settled(&self, session: u64) {
        if self.disks.gone.has(session) {
            self.disks.gone.forget(session);
        }
    }

    /// The thread has found the mark, and the message is no more.
    pub(crate) fn taken_back(&mut self, meta: &Meta) {
        self.counters.add("aborts", 1);
        self.tally.count(meta.client, Kind::Abort, 1);
        daemon::event!(Info, "taken_back", id = meta.id, peer = meta.client, reason = "the client closed before the reply");
        self.reply_to(meta, Err(Reply::new(451, Enhanced::transient(4, 2), "the connection was closed before the reply")));
    }
}
