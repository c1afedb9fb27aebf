//! One message for some recipients, its commands, and what became of each recipient.

use super::{Extensions, Form, Lacks};
use envelope::{BodyType, Notify, RecipientDsn, Ret};
use status::{Enhanced, Outcome, Reply};
use std::borrow::Cow;
use std::io::Write as _;

/// Bytes of the text of a verdict.
pub const MAX_VERDICT_TEXT: usize = 512;

/// "REQUIRETLS support required" (RFC 8689 section 4.2.1).
pub const REQUIRETLS_NEEDED: Enhanced = Enhanced::permanent(7, 30);

/// What is to be sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transaction {
    /// Empty: `<>`.
    pub sender: String,
    /// Bytes of the content as stored.
    pub size: u64,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    /// Eight-bit content goes to a server without 8BITMIME as it is, with BODY left out: most pass it on unharmed.
    pub send_anyway: bool,
    /// xtext.
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    /// Only to servers that offer REQUIRETLS inside TLS (RFC 8689).
    pub require_tls: bool,
    /// MT-PRIORITY (RFC 6710).
    pub priority: i8,
    /// BY (RFC 2852).
    pub by: Option<By>,
    pub recipients: Vec<Recipient>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recipient {
    pub address: String,
    pub dsn: RecipientDsn,
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub outcome: Outcome,
    pub status: Enhanced,
    /// The server's reply or the reason; no control bytes, at most [`MAX_VERDICT_TEXT`] bytes.
    pub text: String,
}

impl Verdict {
    pub fn of_reply(reply: &Reply) -> Self {
        Self { outcome: reply.outcome(), status: reply.enhanced(), text: cut(reply.to_string()) }
    }
    /// The recipient limit of RFC 5321 section 4.5.3.1.10: 552 to RCPT means 452.
    pub(super) fn of_rcpt_reply(reply: &Reply) -> Self {
        let mut verdict = Self::of_reply(reply);
        if reply.code == 552 {
            verdict.outcome = Outcome::Deferred;
            verdict.status = Enhanced::transient(5, 3);
        }
        verdict
    }
    pub fn deferred(status: Enhanced, text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Deferred, status, text: cut(text.into()) }
    }
    pub fn failed(status: Enhanced, text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, status, text: cut(text.into()) }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_VERDICT_TEXT));
    text
}

/// The time left for delivery, as the next hop is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Seconds; negative when the moment has passed.
    pub seconds: i64,
    pub or_return: bool,
    pub trace: bool,
}

impl By {
    /// RFC 2852 section 4: nine digits at most, and with by-mode R at least one second.
    fn write(self, out: &mut Vec<u8>) {
        let least = if self.or_return { 1 } else { -999_999_999 };
        let mode = if self.or_return { "R" } else { "N" };
        let _ = write!(out, " BY={};{mode}{}", self.seconds.clamp(least, 999_999_999), if self.trace { "T" } else { "" });
    }

    /// What is to come back in time must not go where nobody watches the time.
    fn obstacle(self, offered: &Extensions) -> Option<Verdict> {
        if !self.or_return {
            return None;
        }
        match offered.deliver_by {
            None => {
                let text = "the sender set a time after which the message is to come back, and the server does not offer DELIVERBY";
                Some(Verdict::failed(Enhanced::permanent(3, 3), text))
            }
            Some(least) if self.seconds < i64::from(least) => {
                let text = format!("{} seconds are left for delivery, the server asks for {least}", self.seconds);
                Some(Verdict::failed(Enhanced::permanent(4, 7), text))
            }
            Some(_) => None,
        }
    }
}

impl Transaction {
    /// Why the whole message cannot go to a server that offers only `offered`.
    pub(super) fn obstacle(&self, offered: &Extensions, size: u64) -> Option<Verdict> {
        if offered.size && offered.size_limit > 0 && size > offered.size_limit {
            let text = format!("the message has {size} bytes, the server takes {}", offered.size_limit);
            return Some(Verdict::failed(Enhanced::permanent(3, 4), text));
        }
        self.by.and_then(|by| by.obstacle(offered)).or_else(|| address_obstacle(&self.sender, offered))
    }

    /// Appends MAIL.
    pub(super) fn mail(&self, offered: &Extensions, form: Option<Form>, out: &mut Vec<u8>) {
        let utf8 = self.with_utf8(offered);
        let _ = write!(out, "MAIL FROM:<{}>", spelled(&self.sender, utf8));
        if offered.size {
            let _ = write!(out, " SIZE={}", form.map_or(self.size, |form| form.size(self.size)));
        }
        match self.bodytype {
            _ if form.is_some_and(Form::is_converted) => {}
            BodyType::EightBit if offered.eight_bit_mime => out.extend_from_slice(b" BODY=8BITMIME"),
            BodyType::Binary if offered.chunking && offered.binary_mime => out.extend_from_slice(b" BODY=BINARYMIME"),
            _ => {}
        }
        if utf8 {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if self.require_tls {
            out.extend_from_slice(b" REQUIRETLS");
        }
        if offered.mt_priority && self.priority != 0 {
            let _ = write!(out, " MT-PRIORITY={}", self.priority);
        }
        if let Some(by) = self.by.filter(|_| offered.deliver_by.is_some()) {
            by.write(out);
        }
        if offered.dsn {
            match self.ret {
                Some(Ret::Full) => out.extend_from_slice(b" RET=FULL"),
                Some(Ret::Headers) => out.extend_from_slice(b" RET=HDRS"),
                None => {}
            }
            if let Some(envid) = self.envid.as_deref().filter(|id| is_parameter(id)) {
                let _ = write!(out, " ENVID={envid}");
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// SMTPUTF8 is needed and can be had. A domain beyond ASCII alone is no need: it has its A-labels.
    pub(super) fn with_utf8(&self, offered: &Extensions) -> bool {
        offered.smtputf8 && (self.smtputf8 || needs_utf8(&self.sender) || self.recipients.iter().any(|r| needs_utf8(&r.address)))
    }

    /// What the server lacks for this content, as far as the envelope tells.
    pub(super) fn unfit(&self, offered: &Extensions) -> Option<Lacks> {
        let content = match self.bodytype {
            BodyType::SevenBit => false,
            BodyType::EightBit => !offered.eight_bit_mime && !self.send_anyway,
            BodyType::Binary => !(offered.chunking && offered.binary_mime),
        };
        let utf8 = self.smtputf8 && !offered.smtputf8;
        (content || utf8).then_some(Lacks { content, utf8 })
    }
}

impl Recipient {
    /// Why this recipient cannot be named to a server that offers only `offered`.
    pub(super) fn obstacle(&self, offered: &Extensions) -> Option<Verdict> {
        if self.address.is_empty() {
            return Some(Verdict::failed(Enhanced::permanent(1, 3), "the recipient address is empty"));
        }
        address_obstacle(&self.address, offered)
    }

    pub(super) fn rcpt(&self, offered: &Extensions, utf8: bool, out: &mut Vec<u8>) {
        let _ = write!(out, "RCPT TO:<{}>", spelled(&self.address, utf8));
        if offered.dsn {
            if let Some(notify) = &self.dsn.notify {
                write_notify(notify, out);
            }
            if let Some(orcpt) = self.dsn.orcpt.as_deref().filter(|orcpt| is_parameter(orcpt)) {
                let _ = write!(out, " ORCPT={orcpt}");
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The address parser lets no control byte pass; a control file edited by hand may, and must not become a command.
fn address_obstacle(address: &str, offered: &Extensions) -> Option<Verdict> {
    if address.bytes().any(|b| b.is_ascii_control()) {
        return Some(Verdict::failed(Enhanced::permanent(1, 3), "the address holds a control byte"));
    }
    if needs_utf8(address) && !offered.smtputf8 {
        let text = "the address needs SMTPUTF8, which the server does not offer";
        return Some(Verdict::failed(Enhanced::permanent(6, 7), text));
    }
    None
}

/// Splits at the `@` of the domain.
fn split(address: &str) -> (&str, &str) {
    address.rsplit_once('@').unwrap_or((address, ""))
}

/// Its local part is beyond ASCII, or its domain in a way that A-labels do not help.
fn needs_utf8(address: &str) -> bool {
    if address.is_ascii() {
        return false;
    }
    let (local, domain) = split(address);
    !local.is_ascii() || address::normalise(domain).is_err()
}

/// An address as it goes on the wire: without SMTPUTF8 its domain in A-labels.
fn spelled(address: &str, utf8: bool) -> Cow<'_, str> {
    if utf8 || address.is_ascii() {
        return Cow::Borrowed(address);
    }
    let (local, domain) = split(address);
    address::normalise(domain).map_or(Cow::Borrowed(address), |domain| Cow::Owned(format!("{local}@{domain}")))
}

/// xtext holds printable ASCII only; anything else could end the command line.
fn is_parameter(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

fn write_notify(notify: &Notify, out: &mut Vec<u8>) {
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    if notify.never {
        out.extend_from_slice(b" NOTIFY=NEVER");
        return;
    }
    let mut lead = " NOTIFY=";
    for (_, word) in words.iter().filter(|(wanted, _)| *wanted) {
        let _ = write!(out, "{lead}{word}");
        lead = ",";
    }
}
