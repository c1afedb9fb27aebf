//! Message content off the wire: of DATA it finds CRLF.CRLF and nothing less and removes dot stuffing; chunks of BDAT have
//! neither (RFC 3030 section 2). Turns CRLF into LF, but in the octets of BINARYMIME, and notices what makes the message
//! unacceptable. Keeps a few bytes at most, however the input is cut.

use super::Config;

/// Why the message is refused at its end. The first fault found is the one told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    BareNewline,
    Nul,
    TooLarge,
    HeaderTooLarge,
    LineTooLong,
    TooManyHops,
}

impl Fault {
    pub(super) const fn reply(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BareNewline => (550, "5.5.2", "bare CR or LF in the message: lines must end in CRLF"),
            Self::Nul => (550, "5.6.0", "NUL byte in the message"),
            Self::TooLarge => (552, "5.3.4", "message too large"),
            Self::HeaderTooLarge => (552, "5.3.4", "message header too large"),
            Self::LineTooLong => (552, "5.3.4", "line too long in the message"),
            Self::TooManyHops => (554, "5.4.6", "too many hops: mail loop"),
        }
    }
}

/// Where in a line the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// After a dot that began the line.
    Dot,
    /// After a dot and a CR at the beginning of the line.
    DotCr,
    Inside,
    /// After a CR.
    Cr,
}

/// Which part of the message the line belongs to.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// At the start of a header line: the bytes so far could be a field name.
    Name(Vec<u8>),
    /// In a header line that is one.
    Field,
    Body,
}

/// A field name longer than this is none.
const LONGEST_NAME: usize = 998;

/// How content comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// DATA: lines, with dots before those that begin with one, until a line of one dot.
    Dots,
    /// BDAT: lines; the command says where they end.
    Lines,
    /// BDAT with BINARYMIME: a header of lines, then octets, which stay as they are.
    Octets,
}

#[derive(Debug)]
pub(super) struct Content {
    framing: Framing,
    most: u64,
    place: Place,
    part: Part,
    /// A header field has been seen, so that a line with a leading blank continues it.
    fields: bool,
    /// Bytes so far, line ends counted as two.
    bytes: u64,
    line: u64,
    hops: u32,
    fault: Option<Fault>,
}

impl Content {
    /// `most`: bytes as on the wire.
    pub(super) fn new(framing: Framing, most: u64) -> Self {
        Self { framing, most, place: Place::Start, part: Part::Name(Vec::new()), fields: false, bytes: 0, line: 0, hops: 0, fault: None }
    }

    /// So far, as on the wire.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last chunk has ended: what was held back goes into the sink.
    pub(super) fn finish(&mut self, config: &Config, sink: &mut Vec<u8>) {
        if self.place == Place::Cr {
            self.stray(config, sink);
        }
        if let (Part::Name(held), None) = (&self.part, self.fault)
            && !held.is_empty()
        {
            begin_body(held, self.framing, sink);
            self.part = Part::Body;
        }
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Decodes `input` into `sink`: the bytes used, and whether the content has ended.
    /// After a fault nothing more reaches the sink, but the end is still looked for.
    pub(super) fn feed(&mut self, input: &[u8], config: &Config, sink: &mut Vec<u8>) -> (usize, bool) {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            if self.framing == Framing::Octets && self.part == Part::Body {
                self.octets(rest, config, sink);
                break;
            }
            match (self.place, byte) {
                (Place::Start, b'.') if self.framing == Framing::Dots => (self.place, rest) = (Place::Dot, after),
                (Place::Dot, b'\r') => (self.place, rest) = (Place::DotCr, after),
                (Place::DotCr, b'\n') => return (input.len() - after.len(), true),
                (Place::Cr, b'\n') => {
                    self.end_line(config, sink);
                    (self.place, rest) = (Place::Start, after);
                }
                (Place::DotCr | Place::Cr, _) => {
                    self.stray(config, sink);
                    self.place = Place::Inside;
                }
                (Place::Start | Place::Dot | Place::Inside, _) => rest = self.inside(rest, config, sink),
            }
        }
        (input.len(), false)
    }

    /// The body of BINARYMIME: any octets.
    fn octets(&mut self, bytes: &[u8], config: &Config, sink: &mut Vec<u8>) {
        self.count(bytes.len() as u64, config);
        self.place = Place::Start;
        if self.fault.is_none() {
            sink.extend_from_slice(bytes);
        }
    }

    /// Takes a run of ordinary bytes and the special one after it.
    fn inside<'i>(&mut self, input: &'i [u8], config: &Config, sink: &mut Vec<u8>) -> &'i [u8] {
        self.place = Place::Inside;
        let run = memchr::memchr3(b'\r', b'\n', 0, input).unwrap_or(input.len());
        let (plain, rest) = input.split_at_checked(run).unwrap_or((input, &[]));
        self.take(plain, config, sink);
        if self.framing == Framing::Octets && self.part == Part::Body {
            return rest;
        }
        match rest.split_first() {
            Some((b'\r', after)) => {
                self.place = Place::Cr;
                after
            }
            Some((b'\n', after)) => {
                self.stray(config, sink);
                after
            }
            Some((_, after)) => {
                self.fault.get_or_insert(Fault::Nul);
                after
            }
            None => rest,
        }
    }

    /// A CR or LF that is no CRLF.
    fn stray(&mut self, config: &Config, sink: &mut Vec<u8>) {
        if config.blank_newlines {
            self.take(b" ", config, sink);
        } else {
            self.fault.get_or_insert(Fault::BareNewline);
        }
    }

    fn take(&mut self, bytes: &[u8], config: &Config, sink: &mut Vec<u8>) {
        let count = bytes.len() as u64;
        let (line, total, header, hops) = (self.line, self.bytes, self.part != Part::Body, self.hops);
        self.line += count;
        self.bytes = self.bytes.saturating_add(count);
        if count == 0 || self.fault.is_some() {
            return;
        }
        let rest = self.name(bytes, sink);
        let named = count - rest.len() as u64;
        let header = match self.part {
            _ if !header => 0,
            Part::Body => named,
            Part::Name(_) | Part::Field => count,
        };
        // The first fault is the one told, and which one that is must not depend on the cut of the input.
        let over = |limit: u64, before: u64, more: u64| Some(limit.saturating_sub(before)).filter(|room| more > *room);
        let faults = [
            (over(self.most, total, count), Fault::TooLarge),
            (over(config.max_header_bytes, total, header), Fault::HeaderTooLarge),
            (over(config.max_line, line, count), Fault::LineTooLong),
            ((self.hops > hops && self.hops > config.max_hops).then_some(named), Fault::TooManyHops),
        ];
        let first = faults.into_iter().filter_map(|(at, fault)| Some((at?, fault))).min_by_key(|(at, _)| *at);
        match first {
            Some((_, fault)) => self.fault = Some(fault),
            None => sink.extend_from_slice(rest),
        }
    }

    fn end_line(&mut self, config: &Config, sink: &mut Vec<u8>) {
        self.line = 0;
        self.count(2, config);
        if self.fault.is_some() {
            return;
        }
        self.part = match std::mem::replace(&mut self.part, Part::Body) {
            Part::Field => Part::Name(Vec::new()),
            Part::Name(held) if held.is_empty() => Part::Body,
            Part::Name(held) => {
                begin_body(&held, self.framing, sink);
                Part::Body
            }
            Part::Body => Part::Body,
        };
        line_end(self.framing, sink);
    }

    fn count(&mut self, bytes: u64, config: &Config) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.most {
            self.fault.get_or_insert(Fault::TooLarge);
        }
        if self.part != Part::Body && self.bytes > config.max_header_bytes {
            self.fault.get_or_insert(Fault::HeaderTooLarge);
        }
    }

    /// Looks at the start of a header line; gives what goes on into the sink as it is.
    fn name<'i>(&mut self, bytes: &'i [u8], sink: &mut Vec<u8>) -> &'i [u8] {
        let Part::Name(held) = &mut self.part else { return bytes };
        if held.is_empty() && self.fields && matches!(bytes.first(), Some(b' ' | b'\t')) {
            self.part = Part::Field;
            return bytes;
        }
        let end = bytes.iter().position(|b| !(b'!'..=b'~').contains(b) || *b == b':').unwrap_or(bytes.len());
        let end = end.min((LONGEST_NAME + 1).saturating_sub(held.len()));
        let (name, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        held.extend_from_slice(name);
        if rest.is_empty() && held.len() <= LONGEST_NAME {
            return rest;
        }
        if rest.first() == Some(&b':') && !held.is_empty() && held.len() <= LONGEST_NAME {
            if held.eq_ignore_ascii_case(b"received") {
                self.hops += 1;
            }
            sink.extend_from_slice(held);
            self.fields = true;
            self.part = Part::Field;
        } else {
            begin_body(held, self.framing, sink);
            self.part = Part::Body;
        }
        rest
    }
}

/// A line that is no header field, where the blank line after the header should be: the blank line is put in, so
/// that everybody after us finds the same end of the header. (An obsolete blank before the colon counts as no field.)
fn begin_body(held: &[u8], framing: Framing, sink: &mut Vec<u8>) {
    line_end(framing, sink);
    sink.extend_from_slice(held);
}

fn line_end(framing: Framing, sink: &mut Vec<u8>) {
    sink.extend_from_slice(if framing == Framing::Octets { b"\r\n" } else { b"\n" });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "content_tests.rs"]
mod tests;
