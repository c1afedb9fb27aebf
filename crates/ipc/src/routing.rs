//! Routing: questions of sessions to the routermux, and the routermux with its routers.

use crate::channel::Frame;
use envelope::Quad;
use serde::{Deserialize, Serialize};
use status::Reply;

/// What a worker says to the routermux.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToRoutermux {
    Ask(Ask),
    /// These files are in `router/` now: a hint that wants no answer.
    Arrived(Vec<String>),
}

/// A question of a session or a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    pub number: u64,
    pub question: Question,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Question {
    /// RCPT: would this recipient be taken?
    Verify { address: String, sender: String },
    /// `zpost route`: where does it go, and why?
    Explain { address: String, sender: String },
    /// EXPN: whom does this address stand for? Answered by quads of which only `user` says something, at most 100.
    Expand { address: String },
    /// `zpost lookup`: what does a declared table say? Answered by quads of which only `user` says something (a value), and
    /// steps; absence by `Refused` with 550 5.1.1.
    Lookup { table: String, key: String },
    /// May anybody send to this domain (normalised)? For a server whose configuration names tables of domains.
    Kinship { domain: String },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub number: u64,
    pub answer: Answer,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// The recipient goes to these places (more than one after alias expansion; at most 100 are listed).
    Routed { quads: Vec<Quad>, steps: Vec<String> },
    /// The reply a client gets for it (5xx unknown user, 4xx table trouble).
    Refused { reply: Reply, steps: Vec<String> },
    /// Of [`Question::Kinship`].
    Kinship(Kinship),
}

/// What a table says: the answer to [`Question::Lookup`], read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfTable {
    Found {
        values: Vec<String>,
        place: Option<String>,
    },
    Absent,
    /// It gives no answer now.
    Silent(Reply),
}

impl OfTable {
    /// `None`: an answer to another question.
    pub fn read(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Routed { quads, .. } if quads.is_empty() => Some(Self::Absent),
            Answer::Routed { quads, steps } => {
                Some(Self::Found { values: quads.into_iter().map(|quad| quad.user).collect(), place: steps.into_iter().next() })
            }
            Answer::Refused { reply, .. } if reply.code >= 500 => Some(Self::Absent),
            Answer::Refused { reply, .. } => Some(Self::Silent(reply)),
            Answer::Kinship(_) => None,
        }
    }
}

/// Whose a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kinship {
    /// Its addresses are known here: the recipient must exist.
    Ours,
    /// Mail to it is passed on for everybody.
    Relayed,
    Foreign,
}

/// From the routermux to a router.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToRouter {
    /// Route these files of `router/`, in order.
    Files(Vec<String>),
    /// Answer this; `number` is the routermux's.
    Ask(Ask),
}

/// From a router.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromRouter {
    /// Begins with this file now, said where nothing else has been said for some seconds: it is alive, and if it dies,
    /// this is the file to suspect first.
    Begun(String),
    /// These files are done (moved to `queue/`, `deferred/`, or gone).
    Done(Vec<String>),
    /// These files wait for tables. They stay in hand until they are done, and count no longer against the window.
    Parked(Vec<String>),
    Told(Told),
    /// Said every thousand addresses: those routed so far in this life, and the bytes of memory that are its own.
    Spent {
        addresses: u64,
        memory: u64,
    },
    /// It was asked to drain: give it nothing more, and close the conversation once it has nothing in hand.
    Leaving,
}

impl Frame for ToRoutermux {
    const PROTOCOL: u8 = 0x60;
}
impl Frame for Told {
    const PROTOCOL: u8 = 0x61;
}
impl Frame for ToRouter {
    const PROTOCOL: u8 = 0x62;
}
impl Frame for FromRouter {
    const PROTOCOL: u8 = 0x63;
}
