//! The scheduler and a transport agent. Flow control by credits: the agent says how many more jobs it takes.

use crate::channel::Frame;
use envelope::{BodyType, RecipientDsn, Ret};
use serde::{Deserialize, Serialize};
use status::{Enhanced, Outcome, Phase};

/// From the scheduler.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToAgent {
    /// Jobs; one descriptor (the message file, read-only) for each, in order.
    Jobs(Vec<Job>),
    /// Finish what is in hand, report it, then exit 0.
    Drain,
}

/// From an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToScheduler {
    /// First frame of an agent that came by `<run>/agents`.
    Register { channel: String },
    /// This many more jobs can be sent.
    Credit(u32),
    /// Results; a job is over once every recipient of it has one.
    Reports(Vec<Report>),
}

/// Some recipients of one message for one destination.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The scheduler's number for it.
    pub number: u64,
    /// The message id.
    pub message: String,
    pub channel: String,
    pub host: String,
    /// Empty for `<>`.
    pub sender: String,
    /// Byte offset of the message headers in the file.
    pub body_offset: u64,
    /// Bytes from there on.
    pub size: u64,
    /// Unix milliseconds.
    pub arrived: u64,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    pub recipients: Vec<JobRecipient>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobRecipient {
    /// The recipient's `offset` in the control file.
    pub index: u32,
    pub user: String,
    pub attributes: String,
    /// The address before routing, when it differs.
    pub original: Option<String>,
    pub dsn: RecipientDsn,
    /// For channel `error`: why the recipient failed.
    pub failure: Option<Failure>,
}

/// Why a recipient failed, for the bounce.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub status: Enhanced,
    pub remote: String,
    pub text: String,
    /// Unix seconds.
    pub time: u64,
}

/// What became of a job, or of part of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub job: u64,
    pub phase: Phase,
    pub results: Vec<RecipientResult>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecipientResult {
    pub index: u32,
    pub outcome: Outcome,
    pub status: Enhanced,
    /// `host [ip]:port`, a path, or `-`.
    pub remote: String,
    /// The reply or the reason; no control bytes, at most 512 bytes.
    pub text: String,
}

impl Frame for ToAgent {
    const PROTOCOL: u8 = 0x20;
}
impl Frame for ToScheduler {
    const PROTOCOL: u8 = 0x21;
}
