//! The envelope at the top of a message file: ZMailer's keyword lines up to `env-end`.

use crate::{BodyType, RecipientDsn, Ret};
use address::{Address, Path};

/// Our own first line of files written by zpost: `length ` + 20 digits + LF, the size of the whole file in bytes.
/// A file of another size is incomplete. Files dropped by hand need none.
pub const LENGTH_FIELD: &str = "length";

/// Everything the envelope lines say. Trust is not decided here: the router compares it with the file's owner.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Envelope {
    pub length: Option<u64>,
    pub external: bool,
    pub rcvdfrom: Option<String>,
    pub with: Option<String>,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    pub identinfo: Option<String>,
    pub authinfo: Option<String>,
    pub errormsg: bool,
    pub channel: Option<String>,
    /// `None`: no `from` and no `channel error` line.
    pub from: Option<Path>,
    pub fullname: Option<String>,
    pub loginname: Option<String>,
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    pub recipients: Vec<EnvelopeRecipient>,
    pub verbose: Option<String>,
    /// Our own keyword `arrived` (Unix milliseconds; trusted owners only): keeps the first arrival over a resubmission.
    pub arrived: Option<u64>,
}
#[derive(Debug, Clone, PartialEq)]
pub struct EnvelopeRecipient {
    pub address: Address,
    pub dsn: RecipientDsn,
}
/// A malformed envelope: 1-based line and the reason, fit for the `.reason` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeError {
    pub line: usize,
    pub reason: String,
}
/// Reads the envelope lines of a message file from its first bytes; gives the envelope and the byte offset where the
/// message headers begin. `Err` with reason "incomplete" when `bytes` ends before env-end or the first header.
pub fn parse_envelope(bytes: &[u8]) -> Result<(Envelope, usize), EnvelopeError> { let _ = bytes; todo!() }
/// Appends the envelope lines, env-end included. `envelope.length` Some: the length line comes first.
pub fn write_envelope(envelope: &Envelope, out: &mut Vec<u8>) { let _ = (envelope, out); todo!() }
