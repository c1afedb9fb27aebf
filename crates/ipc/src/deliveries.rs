//! ta-mailbox as root and the process that it has made become a user: one copy at a time. The user can reach that
//! process, so the agent reads its answers as hostile.

use crate::agents::Job;
use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use status::{Enhanced, Outcome};

/// From the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToDeliverer {
    /// First: become this user for good, and deliver like this from then on.
    Become { uid: u32, gid: u32, groups: Vec<u32>, manner: Manner },
    /// A copy for the job's one recipient; the message's descriptor beside it.
    Copy(Box<Copy>),
}

/// From the deliverer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromDeliverer {
    /// It is the user now, and nobody else can it be.
    Ready,
    /// It could not become the user.
    Refused(String),
    Done(Answer),
}

/// One copy to deliver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Copy {
    /// With one recipient.
    pub job: Job,
    /// Of the account.
    pub user: String,
    pub home: Option<String>,
    pub shell: String,
    /// Of `user+detail`.
    pub detail: Option<String>,
    pub mailbox: Place,
    /// Whether the user's `.forward` is asked.
    pub forward: bool,
    /// What an alias or list names instead of a mailbox.
    pub task: Option<Task>,
}

/// A program or file that an alias or list names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub kind: TaskKind,
    /// The command, or the path, as written there.
    pub text: String,
    /// The file where a user of this host has written it; read again by whoever has become that user. `None`: it is the
    /// administrator's word.
    pub source: Option<String>,
    /// Who, beside root, may own a program.
    pub owner: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskKind {
    Program,
    File,
}

/// Where a mailbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub kind: PlaceKind,
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaceKind {
    Maildir,
    Mbox,
}

/// What became of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub outcome: Outcome,
    pub status: Enhanced,
    pub text: String,
    /// Where it lies now, for the log.
    pub place: String,
    /// Addresses of the user's `.forward` that the message has still to be sent to.
    pub addresses: Vec<String>,
    /// A copy was kept or given to a program.
    pub kept: bool,
    /// Why the user's `.forward` was not used.
    pub warning: Option<String>,
}

/// How copies are delivered: what `[local]` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manner {
    pub hostname: String,
    /// Programs in `.forward` are run.
    pub programs: bool,
    /// Milliseconds a program may take.
    pub program_time: u64,
    pub require_home: bool,
    pub detail_folders: DetailFolders,
    /// Bytes of a Maildir where its own `maildirsize` says nothing; 0: no limit.
    pub quota: u64,
    /// Over quota fails instead of being deferred.
    pub quota_fails: bool,
    /// In the order in which they are taken.
    pub locks: Vec<Lock>,
    /// Milliseconds.
    pub lock_wait: u64,
    /// Age in milliseconds at which a dot lock is nobody's any more.
    pub lock_stale: u64,
    /// `unix:/path` or `udp:address:port`; empty: nobody is told.
    pub notify: String,
}

/// Whether a detail names a folder of the Maildir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetailFolders {
    Never,
    /// Where the folder is there already.
    Existing,
    /// The folder is made.
    Made,
}

/// A lock on an mbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lock {
    /// A file beside it with `.lock` at the end of its name.
    Dot,
    Fcntl,
    Flock,
}

impl Frame for ToDeliverer {
    const PROTOCOL: u8 = 0x78;
}
impl Frame for FromDeliverer {
    const PROTOCOL: u8 = 0x79;
}
