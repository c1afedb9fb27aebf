//! One conversation with a process that answers for tables, whatever frames it speaks.

use ipc::tables::{Answer, LookedUp, Lookup};
use ipc::{Caller, Channel, RecvError};
use settings::Table;
use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// An answer, and for how long it may be believed where its source says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub number: u64,
    pub answer: Answer,
    pub ttl: Option<Duration>,
}

/// Our end. Nothing of it blocks.
pub(crate) trait Conversation: Debug {
    /// Asks what `table` has under `key`, exactly.
    fn ask(&mut self, number: u64, table: &Table, key: &str) -> io::Result<()>;
    /// The next answer; `None`: there is none now.
    fn next(&mut self) -> Result<Option<Heard>, RecvError>;
    /// Sends what the socket would not take before.
    fn flush(&mut self) -> io::Result<()>;
    /// For the loop.
    fn source(&mut self) -> &mut dyn mio::event::Source;
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl Conversation for Channel<Lookup, LookedUp> {
    fn ask(&mut self, number: u64, table: &Table, key: &str) -> io::Result<()> {
        self.send(&Lookup { number, table: table.name.clone(), key: key.to_owned() })
    }

    fn next(&mut self) -> Result<Option<Heard>, RecvError> {
        Ok(self.recv()?.map(|(LookedUp { number, answer }, _)| Heard { number, answer, ttl: None }))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }

    fn source(&mut self) -> &mut dyn mio::event::Source {
        self
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Opens a conversation with the process of this name.
pub(crate) fn open(process: &str, caller: &Caller) -> io::Result<Box<dyn Conversation>> {
    if process == "resolver" {
        return crate::dns::open(caller);
    }
    Ok(Box::new(caller.call::<Lookup, LookedUp>()?))
}
