//! One conversation with a process that answers for tables, whatever frames it speaks.

use ipc::tables::{Answer, LookedUp, Lookup};
use ipc::{Caller, Channel, Frame, RecvError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use settings::Table;
use std::fmt::{self, Debug};
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

/// The frames of a process: what it is asked, and what it says.
pub(crate) trait Frames {
    type Ask: Frame + Serialize;
    type Told: Frame + DeserializeOwned;

    fn ask(number: u64, table: &Table, key: &str) -> Self::Ask;
    fn heard(told: Self::Told) -> Heard;
}

/// A conversation in these frames.
pub(crate) struct Talk<F: Frames>(Channel<F::Ask, F::Told>);

impl<F: Frames> Talk<F> {
    pub fn open(caller: &Caller) -> io::Result<Self> {
        Ok(Self(caller.call()?))
    }
}

impl<F: Frames> Debug for Talk<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<F: Frames> Conversation for Talk<F> {
    fn ask(&mut self, number: u64, table: &Table, key: &str) -> io::Result<()> {
        self.0.send(&F::ask(number, table, key))
    }

    fn next(&mut self) -> Result<Option<Heard>, RecvError> {
        Ok(self.0.recv()?.map(|(told, _)| F::heard(told)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn source(&mut self) -> &mut dyn mio::event::Source {
        &mut self.0
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Of the table- processes.
struct Tables;

impl Frames for Tables {
    type Ask = Lookup;
    type Told = LookedUp;

    fn ask(number: u64, table: &Table, key: &str) -> Lookup {
        Lookup { number, table: table.name.clone(), key: key.to_owned() }
    }

    fn heard(LookedUp { number, answer }: LookedUp) -> Heard {
        Heard { number, answer, ttl: None }
    }
}

/// Opens a conversation with the process of this name.
pub(crate) fn open(process: &str, caller: &Caller) -> io::Result<Box<dyn Conversation>> {
    if process == "resolver" {
        return Ok(Box::new(Talk::<crate::dns::Records>::open(caller)?));
    }
    Ok(Box::new(Talk::<Tables>::open(caller)?))
}
