//! The scheduler and a transport agent. Flow control by credits: the agent says how many more jobs it takes.

use crate::channel::Frame;
use envelope::{BodyType, Edits, RecipientDsn, Ret, Terms};
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
    /// Each recipient has a sender of its own, made from `sender` ([`envelope::verp`]). The link of our agents parts such
    /// jobs, so that what delivers never sees one, but for those that say they know of it.
    pub verp: bool,
    /// Byte offset of the message headers in the file.
    pub body_offset: u64,
    /// Bytes of the content, as edited.
    pub size: u64,
    /// Changes of the header; see [`Job::content`].
    pub edits: Edits,
    /// Unix milliseconds.
    pub arrived: u64,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    pub terms: Terms,
    pub sharing: Sharing,
    pub recipients: Vec<JobRecipient>,
}

/// What an agent that keeps sessions is to keep to. 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// The number of the site: its destinations share the sessions below.
    pub site: u32,
    /// Sessions at a time; further jobs wait for one of them.
    pub sessions: u32,
    /// Messages in one session.
    pub messages: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobRecipient {
    /// The recipient's `offset` in the control file.
    pub index: u32,
    pub user: String,
    pub attributes: String,
    /// The address before routing, when it differs.
    pub original: Option<String>,
    /// What routing had done, for whoever routes it again; see `envelope::ControlRecipient::via`.
    pub via: Option<String>,
    pub dsn: RecipientDsn,
    /// For channel `error`: what is to be reported.
    pub failure: Option<Failure>,
}

/// What a report tells about a recipient: why it failed or is late, or how it was delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub status: Enhanced,
    pub remote: String,
    pub text: String,
    /// Unix seconds; 0: not known.
    pub time: u64,
    /// Of a delay: Unix seconds until which it is tried; else 0.
    pub retry_until: u64,
}

/// What became of a job, or of part of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub job: u64,
    pub phase: Phase,
    pub results: Vec<RecipientResult>,
    pub learned: Learned,
}

impl Report {
    /// A report that has learned nothing about the server.
    pub fn new(job: u64, phase: Phase, results: Vec<RecipientResult>) -> Self {
        Self { job, phase, results, learned: Learned::default() }
    }
}

/// What the session taught about the server, for the destination's limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// LIMITS (RFC 9422): messages in one session, recipients in one transaction, recipient domains in one transaction.
    pub mail_max: Option<u32>,
    pub rcpt_max: Option<u32>,
    pub rcpt_domain_max: Option<u32>,
    /// The server refused one more connection (421 to the connection, or a text that says so): it takes fewer than we
    /// have open.
    pub crowded: bool,
    /// The server answered EHLO: that a limit is not among the others means that there is none.
    pub greeted: bool,
    /// No connection was made: the job went over a session that was there.
    pub reused: bool,
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
    /// TLS of the session as the log has it: version, cipher, policy, `verified` or not. Empty: none.
    pub tls: String,
    /// Of a delivery: who reports further (RFC 3461).
    pub handed: Handed,
    /// Of a deferral: the agent's own wish for the next attempt, in seconds from now.
    pub retry_after: Option<u32>,
}

impl RecipientResult {
    /// A result without wishes; a delivery counts as final.
    pub fn new(index: u32, outcome: Outcome, status: Enhanced, remote: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            index,
            outcome,
            status,
            remote: remote.into(),
            text: text.into(),
            tls: String::new(),
            handed: Handed::Delivered,
            retry_after: None,
        }
    }
}

/// What a delivery means for reports of success (RFC 3461 section 5.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handed {
    /// In the mailbox (or in the program): report `delivered` where asked.
    #[default]
    Delivered,
    /// To a server that does not know DSN: report `relayed` where asked.
    Relayed,
    /// To a server that knows DSN: the duty is its.
    Passed,
    /// To a list or another gateway: report `expanded` where asked.
    Expanded,
}

impl Frame for ToAgent {
    const PROTOCOL: u8 = 0x20;
}
impl Frame for ToScheduler {
    const PROTOCOL: u8 = 0x21;
}
