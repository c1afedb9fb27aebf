//! The envelope at the top of a message file: ZMailer's keyword lines up to `env-end`.

use crate::lines::{escape, number, unescape};
use crate::{BodyType, DeliverBy, Notify, RecipientDsn, Ret, Terms, TlsTerms, is_envid, is_orcpt, read_priority};
use address::{Address, Path};
use std::fmt;
use std::io::Write;

/// Our own first line of files written by zpost: `length ` + 20 digits + LF, the size of the whole file in bytes.
/// A file of another size is incomplete. Files dropped by hand need none.
pub const LENGTH_FIELD: &str = "length";

/// Bytes of one envelope line at most.
pub const MAX_LINE: usize = 64 * 1024;

/// The reason of an [`EnvelopeError`] for a text that ends too early: more bytes may mend it.
pub const INCOMPLETE: &str = "incomplete";

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
    /// Our own keyword (trusted owners only): a user of this host sends it on, in the sender's name.
    pub forwarded: bool,
    /// Our own keyword (trusted owners only): the sender has the form that routing gives it, and gets no other.
    pub formed: bool,
    /// Our own keyword (trusted owners only): the uid of the user of this host who has given it, by the kernel's word.
    pub submitter: Option<u32>,
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
    /// Our own keywords `priority`, `deliverby`, `holduntil`, `requiretls`.
    pub terms: Terms,
}
#[derive(Debug, Clone, PartialEq)]
pub struct EnvelopeRecipient {
    pub address: Address,
    pub dsn: RecipientDsn,
    /// Our own parameter `VIA` of `todsn` (trusted owners only): what routing had done when it came to this address, which
    /// it does not do again. See [`crate::ControlRecipient::via`].
    pub via: Option<String>,
}

impl EnvelopeRecipient {
    /// An address that nothing has been done with.
    pub const fn new(address: Address, dsn: RecipientDsn) -> Self {
        Self { address, dsn, via: None }
    }
}

/// A malformed envelope: 1-based line and the reason, fit for the `.reason` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeError {
    pub line: usize,
    pub reason: String,
}
impl EnvelopeError {
    /// The bytes ended before the envelope did: read more, if there is more.
    pub fn is_incomplete(&self) -> bool {
        self.reason == INCOMPLETE
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "envelope line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for EnvelopeError {}

/// Reads the envelope lines of a message file from its first bytes; gives the envelope and the byte offset where the
/// message headers begin. `Err` with reason "incomplete" when `bytes` ends before env-end or the first header.
///
/// Keywords are ZMailer's, in any case; CRLF line ends are tolerated; without `env-end` the first `name:` line ends the
/// envelope. An empty line, an unknown keyword, a line over [`MAX_LINE`], a control byte in a value, or no recipient
/// at all is an error.
pub fn parse_envelope(bytes: &[u8]) -> Result<(Envelope, usize), EnvelopeError> {
    let mut envelope = Envelope::default();
    let mut said = ToDsn::default();
    let mut offset = 0;
    for line in 1.. {
        let rest = bytes.get(offset..).unwrap_or_default();
        let fault = |reason: String| EnvelopeError { line, reason };
        let end = if begins_header(rest) {
            Some(offset)
        } else {
            let text = take_line(rest).map_err(fault)?;
            offset += text.len() + 1;
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            envelope.read_line(text, &mut said).map_err(fault)?.then_some(offset)
        };
        if let Some(end) = end {
            envelope.check().map_err(fault)?;
            return Ok((envelope, end));
        }
    }
    Err(EnvelopeError { line: 0, reason: INCOMPLETE.to_owned() })
}

/// True when a header's name and colon stand at the beginning.
fn begins_header(rest: &[u8]) -> bool {
    let name = rest.iter().take(MAX_LINE).position(|b| !b.is_ascii_graphic() || *b == b':').unwrap_or(0);
    name > 0 && rest.get(name) == Some(&b':')
}

fn take_line(rest: &[u8]) -> Result<&[u8], String> {
    let searched = rest.get(..rest.len().min(MAX_LINE + 1)).unwrap_or_default();
    match memchr::memchr(b'\n', searched) {
        Some(end) => Ok(rest.get(..end).unwrap_or_default()),
        None if searched.len() > MAX_LINE => Err(format!("line longer than {MAX_LINE} bytes")),
        None => Err(INCOMPLETE.to_owned()),
    }
}

impl Envelope {
    /// Takes one line in; true at `env-end`. `said` keeps `todsn` for the next `to`.
    fn read_line(&mut self, line: &[u8], said: &mut ToDsn) -> Result<bool, String> {
        let line = std::str::from_utf8(line).map_err(|_| "not valid UTF-8".to_owned())?;
        let (keyword, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let value = value.trim_matches([' ', '\t']);
        if value.chars().any(char::is_control) {
            return Err("control character in a value".to_owned());
        }
        let text = || if value.is_empty() { None } else { Some(value.to_owned()) };
        let lower = keyword.to_ascii_lowercase();
        match lower.as_str() {
            "" => return Err("empty line before the end of the envelope".to_owned()),
            "env-end" | "env-eof" => return no_value(value).map(|()| true),
            "external" => self.external = no_value(value).map(|()| true)?,
            "errormsg" => self.errormsg = no_value(value).map(|()| true)?,
            "forwarded" => self.forwarded = no_value(value).map(|()| true)?,
            "formed" => self.formed = no_value(value).map(|()| true)?,
            "smtputf8" => self.smtputf8 = no_value(value).map(|()| true)?,
            LENGTH_FIELD => self.length = Some(number(value.as_bytes()).ok_or_else(|| wrong("number", value))?),
            "arrived" => self.arrived = Some(number(value.as_bytes()).ok_or_else(|| wrong("number", value))?),
            "priority" => self.terms.priority = read_priority(value).ok_or_else(|| wrong("priority", value))?,
            "deliverby" => self.terms.deliver_by = Some(DeliverBy::parse(value).ok_or_else(|| wrong("deliverby", value))?),
            "holduntil" => self.terms.hold_until = Some(number(value.as_bytes()).ok_or_else(|| wrong("number", value))?),
            "requiretls" => self.terms.tls = no_value(value).map(|()| TlsTerms::Required)?,
            "submitter" => self.submitter = Some(number(value.as_bytes()).ok_or_else(|| wrong("uid", value))?),
            "rcvdfrom" => self.rcvdfrom = text(),
            "with" => self.with = text(),
            "identinfo" => self.identinfo = text(),
            "authinfo" => self.authinfo = text(),
            "fullname" => self.fullname = text(),
            "loginname" => self.loginname = text(),
            "verbose" => self.verbose = text(),
            "bodytype" => self.bodytype = BodyType::parse(value).ok_or_else(|| wrong("body type", value))?,
            "envid" => self.envid = Some(Some(value.to_owned()).filter(|v| is_envid(v)).ok_or_else(|| wrong("envid", value))?),
            "notaryret" => self.ret = Some(Ret::parse(value).ok_or_else(|| wrong("notaryret", value))?),
            "channel" => self.read_channel(value)?,
            "from" => self.read_from(value)?,
            "todsn" => *said = read_todsn(value)?,
            "to" => {
                let address = read_mailbox(value)?.ok_or_else(|| wrong("recipient", value))?;
                let ToDsn { dsn, via } = std::mem::take(said);
                self.recipients.push(EnvelopeRecipient { address, dsn, via });
            }
            // ZMailer's, without a meaning here.
            "comment" | "via" | "user" => {}
            _ => return Err(format!("unknown keyword \"{:.40}\"", keyword.escape_default().to_string())),
        }
        Ok(false)
    }

    fn read_channel(&mut self, value: &str) -> Result<(), String> {
        if value.is_empty() || value.contains([' ', '\t']) {
            return Err(wrong("channel", value));
        }
        if value.eq_ignore_ascii_case("error") {
            self.from = Some(Path::Null);
        }
        self.channel = Some(value.to_owned());
        Ok(())
    }

    fn read_from(&mut self, value: &str) -> Result<(), String> {
        let null_by_channel = self.channel.as_deref().is_some_and(|c| c.eq_ignore_ascii_case("error"));
        let path = read_mailbox(value)?.map_or(Path::Null, Path::Mailbox);
        if self.from.is_some() && !null_by_channel {
            return Err("second from".to_owned());
        }
        self.from = Some(if null_by_channel { Path::Null } else { path });
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.recipients.is_empty() { Err("no recipient".to_owned()) } else { Ok(()) }
    }
}

fn wrong(what: &str, value: &str) -> String {
    format!("malformed {what} \"{value:.80}\"")
}

fn no_value(value: &str) -> Result<(), String> {
    if value.is_empty() { Ok(()) } else { Err(format!("unexpected value \"{value:.80}\"")) }
}

/// An address with or without angle brackets; `None` for `<>`.
fn read_mailbox(value: &str) -> Result<Option<Address>, String> {
    let inside = value.strip_prefix('<').and_then(|v| v.strip_suffix('>'));
    match inside {
        Some("") => Ok(None),
        _ => Address::parse(inside.unwrap_or(value)).map(Some).map_err(|e| format!("{e}: \"{value:.80}\"")),
    }
}

/// What a `todsn` line says of the next recipient.
#[derive(Default)]
struct ToDsn {
    dsn: RecipientDsn,
    via: Option<String>,
}

/// `NOTIFY=... ORCPT=... VIA=...`; ZMailer's other parameters are allowed and without a meaning here.
fn read_todsn(value: &str) -> Result<ToDsn, String> {
    let (mut dsn, mut via) = (RecipientDsn::default(), None);
    for parameter in value.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "NOTIFY" => dsn.notify = Some(Notify::parse(value).ok_or_else(|| wrong("NOTIFY", value))?),
            "ORCPT" => {
                dsn.orcpt = Some(Some(value.to_owned()).filter(|v| is_orcpt(v)).ok_or_else(|| wrong("ORCPT", value))?);
            }
            "VIA" => via = Some(unescape(value.as_bytes()).ok_or_else(|| wrong("VIA", value))?.into_owned()),
            "BY" | "INRCPT" | "INFROM" | "EZMLM" => {}
            _ => return Err(format!("unknown parameter \"{name:.40}\" of todsn")),
        }
    }
    Ok(ToDsn { dsn, via })
}

/// Appends the envelope lines, env-end included. `envelope.length` Some: the length line comes first.
/// What could break a line (it cannot come from the parsers) is written as `?`.
pub fn write_envelope(envelope: &Envelope, out: &mut Vec<u8>) {
    if let Some(length) = envelope.length {
        let _ = writeln!(out, "{LENGTH_FIELD} {length:020}");
    }
    let flags = [
        (envelope.external, "external"),
        (envelope.errormsg, "errormsg"),
        (envelope.forwarded, "forwarded"),
        (envelope.formed, "formed"),
        (envelope.smtputf8, "smtputf8"),
    ];
    for (_, keyword) in flags.iter().filter(|(on, _)| *on) {
        line(out, keyword, None);
    }
    let texts = [
        ("rcvdfrom", &envelope.rcvdfrom),
        ("with", &envelope.with),
        ("identinfo", &envelope.identinfo),
        ("authinfo", &envelope.authinfo),
        ("channel", &envelope.channel),
        ("fullname", &envelope.fullname),
        ("loginname", &envelope.loginname),
        ("envid", &envelope.envid),
        ("verbose", &envelope.verbose),
    ];
    for (keyword, value) in texts {
        if let Some(value) = value {
            line(out, keyword, Some(value));
        }
    }
    if let Some(uid) = envelope.submitter {
        line(out, "submitter", Some(&uid.to_string()));
    }
    if envelope.bodytype != BodyType::default() {
        line(out, "bodytype", Some(envelope.bodytype.as_str()));
    }
    if let Some(ret) = envelope.ret {
        line(out, "notaryret", Some(ret.as_str()));
    }
    if let Some(arrived) = envelope.arrived {
        let _ = writeln!(out, "arrived {arrived}");
    }
    write_terms(&envelope.terms, out);
    if let Some(from) = &envelope.from {
        write_path(out, "from", from.as_str());
    }
    for recipient in &envelope.recipients {
        write_recipient(recipient, out);
    }
    line(out, "env-end", None);
}

fn write_terms(terms: &Terms, out: &mut Vec<u8>) {
    if terms.priority != 0 {
        let _ = writeln!(out, "priority {}", terms.priority);
    }
    if let Some(deliver_by) = terms.deliver_by {
        let _ = writeln!(out, "deliverby {deliver_by}");
    }
    if let Some(moment) = terms.hold_until {
        let _ = writeln!(out, "holduntil {moment}");
    }
    if terms.tls == TlsTerms::Required {
        line(out, "requiretls", None);
    }
}

fn write_recipient(recipient: &EnvelopeRecipient, out: &mut Vec<u8>) {
    let notify = recipient.dsn.notify;
    let orcpt = recipient.dsn.orcpt.as_deref().filter(|orcpt| is_orcpt(orcpt));
    if notify.is_some() || orcpt.is_some() || recipient.via.is_some() {
        out.extend_from_slice(b"todsn");
        if let Some(notify) = notify {
            let _ = write!(out, " NOTIFY={notify}");
        }
        if let Some(orcpt) = orcpt {
            let _ = write!(out, " ORCPT={orcpt}");
        }
        if let Some(via) = &recipient.via {
            out.extend_from_slice(b" VIA=");
            escape(via, out);
        }
        out.push(b'\n');
    }
    write_path(out, "to", recipient.address.as_str());
}

fn write_path(out: &mut Vec<u8>, keyword: &str, address: &str) {
    out.extend_from_slice(keyword.as_bytes());
    out.extend_from_slice(b" <");
    out.extend_from_slice(address.as_bytes());
    out.extend_from_slice(b">\n");
}

fn line(out: &mut Vec<u8>, keyword: &str, value: Option<&str>) {
    out.extend_from_slice(keyword.as_bytes());
    if let Some(value) = value {
        out.push(b' ');
        if value.chars().any(char::is_control) {
            out.extend_from_slice(value.replace(char::is_control, "?").as_bytes());
        } else {
            out.extend_from_slice(value.as_bytes());
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "message_tests.rs"]
pub(crate) mod tests;
