//! The second pass: the message in its new form.

use super::LineEnd;
use super::encode::{Base64, QuotedPrintable};
use super::entity::Entity;
use super::survey::{Action, Plan};
use super::walk::{Place, Visitor, Walker};

/// Writes a message by the plan that was made of it. The result is ASCII but for its header, with LF line ends.
#[derive(Debug)]
pub struct Converter {
    walker: Walker,
    plan: Plan,
    octets: bool,
    next: usize,
    action: Action,
    place: Place,
    labelled: bool,
    quoted: QuotedPrintable,
    base64: Base64,
}

impl Converter {
    /// `octets`: as for [`super::Surveyor::new`], from which the plan comes.
    pub fn new(plan: Plan, octets: bool) -> Self {
        Self {
            walker: Walker::default(),
            plan,
            octets,
            next: 0,
            action: Action::Keep,
            place: Place::default(),
            labelled: false,
            quoted: QuotedPrintable::default(),
            base64: Base64::default(),
        }
    }

    /// Appends what the next piece becomes.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.walk(out, |walker, writer| walker.feed(piece, writer));
    }

    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.walk(out, |walker, writer| walker.finish(writer));
    }

    fn walk(&mut self, out: &mut Vec<u8>, step: impl FnOnce(&mut Walker, &mut Writer<'_>)) {
        let mut walker = std::mem::take(&mut self.walker);
        step(&mut walker, &mut Writer { to: self, out });
        self.walker = walker;
    }
}

struct Writer<'a> {
    to: &'a mut Converter,
    out: &'a mut Vec<u8>,
}

/// The label of an encoded entity.
const fn label(action: Action) -> Option<&'static str> {
    match action {
        Action::Keep | Action::Escape => None,
        Action::Relabel => Some("7bit"),
        Action::QuotedPrintable => Some("quoted-printable"),
        Action::Base64 => Some("base64"),
    }
}

impl Writer<'_> {
    fn label(&mut self) {
        if let (Some(label), false) = (label(self.to.action), self.to.labelled) {
            self.out.extend_from_slice(format!("Content-Transfer-Encoding: {label}\n").as_bytes());
            self.to.labelled = true;
        }
    }
}

impl Visitor for Writer<'_> {
    fn begin(&mut self, place: Place) {
        self.to.action = self.to.plan.actions.get(self.to.next).copied().unwrap_or(Action::Keep);
        self.to.next += 1;
        self.to.place = place;
        self.to.labelled = false;
    }

    fn header(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn encoding(&mut self, field: &[u8]) {
        match label(self.to.action) {
            None => self.out.extend_from_slice(field),
            Some(_) => self.label(),
        }
    }

    fn head_over(&mut self, entity: &Entity, separator: Option<&[u8]>) {
        let before = self.out.len();
        if matches!(self.to.action, Action::QuotedPrintable | Action::Base64) {
            self.label();
            if self.to.place.message && !entity.mime_version {
                self.out.extend_from_slice(b"MIME-Version: 1.0\n");
            }
            if self.to.place.message && !entity.content_type {
                // RFC 1428: that is all that is known of it.
                self.out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\n");
            }
        }
        match separator {
            Some(line) => {
                self.out.extend_from_slice(line);
                self.out.push(b'\n');
            }
            None if self.to.labelled && matches!(self.to.action, Action::QuotedPrintable | Action::Base64) => self.out.push(b'\n'),
            None if self.out.len() > before => self.out.push(b'\n'),
            None => {}
        }
    }

    fn body(&mut self, bytes: &[u8]) {
        match self.to.action {
            Action::Keep | Action::Relabel => self.out.extend_from_slice(bytes),
            Action::QuotedPrintable => self.to.quoted.encode(bytes, self.out),
            Action::Base64 => self.to.base64.encode(bytes, self.out),
            Action::Escape => {
                for byte in bytes {
                    if byte.is_ascii() {
                        self.out.push(*byte);
                    } else {
                        self.out.extend_from_slice(format!("={byte:02X}").as_bytes());
                    }
                }
            }
        }
    }

    fn line_end(&mut self, end: LineEnd) {
        match self.to.action {
            Action::Keep | Action::Relabel | Action::Escape => self.out.push(b'\n'),
            Action::QuotedPrintable => self.to.quoted.line_end(end, self.to.octets, self.out),
            Action::Base64 => self.to.base64.line_end(end, self.to.octets, self.out),
        }
    }

    fn leaf_over(&mut self, last: bool) {
        match self.to.action {
            Action::Keep | Action::Relabel | Action::Escape => {}
            Action::QuotedPrintable => self.to.quoted.finish(last, self.to.octets, self.out),
            Action::Base64 => self.to.base64.finish(self.out),
        }
    }

    fn delimiter(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn outside(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn lost(&mut self) {}
}
