//! The whole report: headers, three parts, and the boundary between them.

use crate::clean::{clean, is_message_id};
use crate::fields::{overall, said_headers, status, text};
use crate::original::{Look, Original, Returned, pass_returned};
use crate::{Action, Notification, Recipient};
use message::date;
use std::fmt::Write as _;
use std::io;

/// A report ready to be written: what the envelope must say about it is known.
#[allow(missing_debug_implementations)]
pub struct Prepared<'a> {
    /// Everything before the returned content, from the first header to the blank line of the third part.
    head: String,
    boundary: String,
    returned: Returned,
    original: &'a dyn Original,
    eight_bit: bool,
    smtputf8: bool,
}

/// Boundaries tried. Each holds the id of the report, which nobody knew when the original was written; so the
/// second try is as good as never needed.
const TRIES: u32 = 64;

/// Looks through the original and composes everything else.
pub fn prepare<'a>(notification: &Notification<'_>, original: &'a dyn Original) -> io::Result<Prepared<'a>> {
    for try_number in 0..TRIES {
        let boundary = format!("=_zpost_{}_{try_number}", clean(notification.id, false).replace(|c: char| !c.is_ascii_alphanumeric(), "x"));
        let mut look = Look::default();
        pass_returned(original, notification.returned, &mut |bytes| {
            look.see(bytes, boundary.as_bytes());
            Ok(())
        })?;
        let utf8 = needs_utf8(notification, &look);
        let (text, status) = (text(notification, utf8), status(notification, utf8));
        if look.has_boundary || text.contains(&boundary) || status.contains(&boundary) {
            continue;
        }
        let mut head = String::with_capacity(2048);
        let eight_bit = look.eight_bit || !text.is_ascii() || !status.is_ascii() || utf8;
        headers(notification, utf8, &boundary, eight_bit, &mut head);
        parts(notification, utf8, &boundary, &text, &status, &mut head, look.eight_bit);
        return Ok(Prepared { head, boundary, returned: notification.returned, original, eight_bit, smtputf8: utf8 });
    }
    Err(io::Error::other("the original message holds every boundary tried"))
}

/// The internationalised types of RFC 6533, and with them SMTPUTF8 at every further hop, only where there is something
/// to say in UTF-8: to an address that needs it anyway, or to a sender whose own transaction used it.
fn needs_utf8(notification: &Notification<'_>, look: &Look) -> bool {
    let address = |r: &Recipient| r.address.is_ascii() && r.original.as_deref().is_none_or(str::is_ascii);
    let all_ascii = !look.eight_bit_header && notification.recipients.iter().all(address);
    !notification.to.is_ascii() || (notification.smtputf8 && !all_ascii)
}

fn headers(notification: &Notification<'_>, utf8: bool, boundary: &str, eight_bit: bool, out: &mut String) {
    let host = clean(notification.hostname, utf8);
    let (from, subject) = said_headers(notification);
    let copy = if notification.copy_of.is_some() { "Postmaster Copy: " } else { "" };
    let _ = write!(
        out,
        "From: {from}\nTo: {}\nSubject: {copy}{subject}\nDate: {}\nMessage-ID: <{}@{host}>\n",
        clean(notification.to, utf8),
        date(notification.date),
        clean(notification.id, false),
    );
    if let Some(id) = notification.message_id.filter(|id| is_message_id(id)) {
        let _ = writeln!(out, "In-Reply-To: {id}\nReferences: {id}");
    }
    if notification.double_bounce || notification.copy_of.is_some() {
        let _ = writeln!(out, "{}: {host}", Notification::DOUBLE_BOUNCE);
    }
    let _ = write!(
        out,
        "Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"{boundary}\"\n{}\nThis is a MIME-encapsulated message.\n",
        if eight_bit { "Content-Transfer-Encoding: 8bit\n" } else { "" }
    );
}

fn parts(notification: &Notification<'_>, utf8: bool, boundary: &str, text: &str, status: &str, out: &mut String, original_8bit: bool) {
    let returned = notification.returned;
    let encoding = |eight_bit| if eight_bit { "Content-Transfer-Encoding: 8bit\n" } else { "" };
    let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
    let _ = write!(
        out,
        "\n--{boundary}\nContent-Description: Notification\nContent-Type: text/plain; charset={charset}\n{}\n{text}",
        encoding(!text.is_ascii())
    );
    let kind = if utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
    let _ = write!(
        out,
        "\n--{boundary}\nContent-Description: Delivery report\nContent-Type: {kind}\n{}\n{status}",
        encoding(!status.is_ascii())
    );
    let (kind, what) = match (returned, utf8) {
        (Returned::Full, false) => ("message/rfc822", "message"),
        (Returned::Full, true) => ("message/global", "message"),
        (Returned::Headers { .. }, false) => ("text/rfc822-headers", "message headers"),
        (Returned::Headers { .. }, true) => ("message/global-headers", "message headers"),
    };
    let description = match overall(notification) {
        Action::Failed | Action::Delayed => format!("Undelivered {what}"),
        Action::Delivered | Action::Relayed | Action::Expanded => format!("Your {what}"),
    };
    let _ = write!(out, "\n--{boundary}\nContent-Description: {description}\nContent-Type: {kind}\n{}\n", encoding(original_8bit));
}

impl Prepared<'_> {
    /// The content needs 8BITMIME (RFC 6152).
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }
    /// The content needs SMTPUTF8 (RFC 6531).
    pub fn smtputf8(&self) -> bool {
        self.smtputf8
    }
    /// Writes the report. The original has to be the same as when it was looked through.
    pub fn write(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        sink(self.head.as_bytes())?;
        pass_returned(self.original, self.returned, sink)?;
        sink(format!("\n--{}--\n", self.boundary).as_bytes())
    }
}
