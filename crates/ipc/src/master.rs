//! The master and its children: descriptor 0 of every process the master spawns.

use crate::channel::Frame;
use crate::control;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What the master says to a child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToChild {
    /// The first frame. One descriptor for each of `names`, in order.
    Start(Start),
    /// A new, checked configuration (descriptors as in `Start`). Only to processes that live through a reload.
    Reload(Start),
    /// Finish what is in hand, take no more, exit 0.
    Drain,
    /// A client's socket (one descriptor), to an smtpserver worker.
    Session(Session),
    /// Places run short: end this many sessions of strangers, those idle longest first. To an smtpserver worker.
    Shed(u32),
    /// An agent the scheduler asked for runs; one descriptor: the job conversation (`ipc::agents`).
    Agent { ticket: u64, channel: String, pid: u32 },
    /// The agent asked for under `ticket` could not be started.
    NoAgent { ticket: u64, channel: String, reason: String },
    /// A `zpost` command for this process (one descriptor: the conversation, `ipc::control`) and its first request.
    Command { request: control::Request, peer: Peer },
    /// Deliver nothing new until thawed.
    Freeze(bool),
    /// To a router: try this configuration (one descriptor, `config`) beside the one at work; `None`: no longer.
    Shadow(Option<Start>),
}

/// What a child says to the master.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToMaster {
    /// Start-up is complete.
    Ready,
    /// These sessions have ended.
    SessionsEnded(Vec<u64>),
    /// The scheduler wants an agent process for a channel.
    WantAgent { ticket: u64, channel: String },
    /// Something is wrong with the sender's work, and what (shown by `zpost status`); empty: no longer.
    Failing(String),
    /// The routermux: this router has work and has said nothing for too long. It is killed; its successor comes as after any death.
    Unresponsive { pid: u32 },
}

/// The first frame of a child's life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    pub service: String,
    /// Which of the processes of this service, from 0.
    pub index: u16,
    /// Counts reloads.
    pub generation: u32,
    /// The row of the counter table that is this process's.
    pub counter_row: u32,
    /// The configuration file's path, for messages about it.
    pub config_path: String,
    /// What the descriptors beside this frame are. Always `config` (a sealed memory file with the configuration's text)
    /// and `counters`; `log` (an append-only file) where logging goes to a file; `contact:NAME` the calling end of a subdaemon's contact
    /// point; `serve` the answering end; `notify` a bound notification socket; `agents` the listening agent socket;
    /// `jobs` an agent's end of its job conversation.
    pub names: Vec<String>,
    /// For agents: the channel served.
    pub channel: String,
}

/// A client's connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// The master's number for it, given back in `SessionsEnded`.
    pub number: u64,
    /// Index into `settings.listeners`; `u16::MAX`: the local submission socket.
    pub listener: u16,
    pub peer: Peer,
    /// Over a limit: greet with 421 and this text, then close.
    pub refuse: Option<String>,
}

/// Who is at the other end of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Peer {
    Network(SocketAddr),
    /// Unix socket credentials.
    Local {
        uid: u32,
        gid: u32,
        pid: i32,
    },
}

impl Frame for ToChild {
    const PROTOCOL: u8 = 0x10;
}
impl Frame for ToMaster {
    const PROTOCOL: u8 = 0x11;
}
