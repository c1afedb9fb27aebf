//! One message for some recipients, its commands, and what became of each recipient.

use super::Extensions;
use envelope::{BodyType, Notify, RecipientDsn, Ret};
use status::{Enhanced, Outcome, Reply};
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
    /// xtext.
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    /// Only to servers that offer REQUIRETLS inside TLS (RFC 8689).
    pub require_tls: bool,
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

impl Transaction {
    /// Why the whole message cannot go to a server that offers only `offered`.
    pub(super) fn obstacle(&self, offered: &Extensions) -> Option<Verdict> {
        if offered.size && offered.size_limit > 0 && self.size > offered.size_limit {
            let text = format!("the message has {} bytes, the server takes {}", self.size, offered.size_limit);
            return Some(Verdict::failed(Enhanced::permanent(3, 4), text));
        }
        address_obstacle(&self.sender, offered)
    }

    /// Appends MAIL. Eight-bit content goes to a server without 8BITMIME as it is, with BODY left out: servers pass
    /// it on unharmed, and a bounce would help nobody (conversion is another matter).
    pub(super) fn mail(&self, offered: &Extensions, out: &mut Vec<u8>) {
        let _ = write!(out, "MAIL FROM:<{}>", self.sender);
        if offered.size {
            let _ = write!(out, " SIZE={}", self.size);
        }
        if offered.eight_bit_mime && self.bodytype == BodyType::EightBit {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if offered.smtputf8 && self.needs_utf8() {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if self.require_tls {
            out.extend_from_slice(b" REQUIRETLS");
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

    fn needs_utf8(&self) -> bool {
        self.smtputf8 || !self.sender.is_ascii() || self.recipients.iter().any(|r| !r.address.is_ascii())
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

    pub(super) fn rcpt(&self, offered: &Extensions, out: &mut Vec<u8>) {
        let _ = write!(out, "RCPT TO:<{}>", self.address);
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
    if !address.is_ascii() && !offered.smtputf8 {
        let text = "the address needs SMTPUTF8, which the server does not offer";
        return Some(Verdict::failed(Enhanced::permanent(6, 7), text));
    }
    None
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
