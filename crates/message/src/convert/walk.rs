//! The structure of a message, line by line, as both passes see it.

use super::LineEnd;
use super::entity::{Encoding, Entity, Kind, kind};
use crate::fields::field_name;
use memchr::memchr;

/// Bytes of a line held until it is clear what it is; more than any delimiter has.
const HOLD: usize = 1024;
/// Bytes of a field that is looked at.
const MAX_FIELD: usize = 16 * 1024;
/// Multiparts and messages within each other.
const MAX_DEPTH: usize = 50;

/// Where an entity stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// It is the whole content.
    pub top: bool,
    /// A message, not a body part.
    pub message: bool,
    /// Inside multipart/signed: not a byte may change.
    pub signed: bool,
}

/// What the structure means for one pass. Lines of headers, delimiters and what surrounds them come with LF for their end.
pub trait Visitor {
    fn begin(&mut self, place: Place);
    fn header(&mut self, bytes: &[u8]);
    /// A whole Content-Transfer-Encoding field.
    fn encoding(&mut self, field: &[u8]);
    /// `separator`: the empty line, without its end; `None` where the header ends without one.
    fn head_over(&mut self, entity: &Entity, separator: Option<&[u8]>);
    /// A piece of a line of a leaf.
    fn body(&mut self, bytes: &[u8]);
    /// A line end that belongs to the content of a leaf.
    fn line_end(&mut self, end: LineEnd);
    /// The leaf is over; `last`: so is the content.
    fn leaf_over(&mut self, last: bool);
    /// Delimiters, and what stands before the first and behind the last.
    fn delimiter(&mut self, bytes: &[u8]);
    fn outside(&mut self, bytes: &[u8]);
    /// The structure is beyond what can be followed.
    fn lost(&mut self);
}

#[derive(Debug)]
struct Level {
    boundary: Vec<u8>,
    signed: bool,
    digest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Header,
    Leaf,
    Outside,
}

/// Fields whose text is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capture {
    None,
    ContentType,
    Encoding,
}

#[derive(Debug)]
pub struct Walker {
    levels: Vec<Level>,
    depth: usize,
    mode: Mode,
    place: Place,
    /// The start of a line.
    line: Vec<u8>,
    /// The rest of a line that is too long to be anything but what it is taken for.
    in_long: bool,
    held_cr: bool,
    /// The line end before the next line of a leaf; it belongs to a delimiter if that follows.
    pending: Option<LineEnd>,
    capture: Capture,
    field: Vec<u8>,
    in_field: bool,
    first_line: bool,
    content_type: Option<Vec<u8>>,
    entity: Head,
    begun: bool,
}

#[derive(Debug, Default)]
struct Head {
    encoding: Encoding,
    mime_version: bool,
    signature: bool,
}

impl Default for Walker {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            depth: 0,
            mode: Mode::Header,
            place: Place { top: true, message: true, signed: false },
            line: Vec::new(),
            in_long: false,
            held_cr: false,
            pending: None,
            capture: Capture::None,
            field: Vec::new(),
            in_field: false,
            first_line: true,
            content_type: None,
            entity: Head::default(),
            begun: false,
        }
    }
}

impl Walker {
    /// Takes the next piece.
    pub fn feed(&mut self, mut rest: &[u8], visitor: &mut dyn Visitor) {
        self.begin_top(visitor);
        while !rest.is_empty() {
            let (piece, after, whole) = match memchr(b'\n', rest) {
                Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default(), true),
                None => (rest, &[][..], false),
            };
            rest = after;
            if self.in_long {
                self.long_piece(piece, whole, visitor);
            } else if whole && self.line.is_empty() {
                self.line_of(piece, visitor);
            } else {
                self.line.extend_from_slice(piece);
                if whole {
                    let line = std::mem::take(&mut self.line);
                    self.line_of(&line, visitor);
                    self.line = line;
                    self.line.clear();
                } else if self.line.len() > HOLD {
                    let line = std::mem::take(&mut self.line);
                    self.long_begin(&line, visitor);
                }
            }
        }
    }

    /// The content is over.
    pub fn finish(&mut self, visitor: &mut dyn Visitor) {
        self.begin_top(visitor);
        if std::mem::take(&mut self.in_long) {
            if std::mem::take(&mut self.held_cr) {
                self.continue_with(b"\r", visitor);
            }
        } else if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.whole_line(&line, None, visitor);
        }
        if self.mode == Mode::Header {
            self.head_over(None, visitor);
        }
        if self.mode == Mode::Leaf {
            self.pending.take().into_iter().for_each(|end| visitor.line_end(end));
            visitor.leaf_over(true);
        }
    }

    fn begin_top(&mut self, visitor: &mut dyn Visitor) {
        if !std::mem::replace(&mut self.begun, true) {
            visitor.begin(self.place);
        }
    }

    fn line_of(&mut self, piece: &[u8], visitor: &mut dyn Visitor) {
        match piece.strip_suffix(b"\r") {
            Some(line) => self.whole_line(line, Some(LineEnd::CrLf), visitor),
            None => self.whole_line(piece, Some(LineEnd::Lf), visitor),
        }
    }

    /// A line that is longer than any that is looked at closely: its beginning says what it is.
    fn long_begin(&mut self, line: &[u8], visitor: &mut dyn Visitor) {
        self.in_long = true;
        if self.mode == Mode::Header && !self.header_begin(line, visitor) {
            self.head_over(None, visitor);
        }
        if self.mode == Mode::Leaf {
            self.pending.take().into_iter().for_each(|end| visitor.line_end(end));
        }
        self.long_piece(line, false, visitor);
    }

    fn long_piece(&mut self, piece: &[u8], whole: bool, visitor: &mut dyn Visitor) {
        if self.held_cr && !(whole && piece.is_empty()) {
            self.held_cr = false;
            self.continue_with(b"\r", visitor);
        }
        let bare = piece.strip_suffix(b"\r");
        self.continue_with(bare.unwrap_or(piece), visitor);
        self.held_cr |= bare.is_some();
        if whole {
            let end = if std::mem::take(&mut self.held_cr) { LineEnd::CrLf } else { LineEnd::Lf };
            self.in_long = false;
            match self.mode {
                Mode::Leaf => self.pending = Some(end),
                Mode::Header => self.header_bytes(b"\n", visitor),
                Mode::Outside => visitor.outside(b"\n"),
            }
        }
    }

    fn continue_with(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) {
        match self.mode {
            Mode::Leaf => visitor.body(bytes),
            Mode::Header => self.header_bytes(bytes, visitor),
            Mode::Outside => visitor.outside(bytes),
        }
    }

    fn whole_line(&mut self, line: &[u8], end: Option<LineEnd>, visitor: &mut dyn Visitor) {
        if line.starts_with(b"--")
            && let Some((level, last)) = self.delimiter_of(line)
        {
            return self.delimiter(level, last, line, end, visitor);
        }
        if self.mode == Mode::Header {
            if line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')) {
                return self.head_over(Some(line), visitor);
            }
            if self.header_begin(line, visitor) {
                self.header_bytes(line, visitor);
                return self.header_bytes(b"\n", visitor);
            }
            self.head_over(None, visitor);
            if self.mode == Mode::Header {
                // A message within, whose header is missing too.
                return self.whole_line(line, end, visitor);
            }
        }
        match self.mode {
            Mode::Leaf => {
                self.pending.take().into_iter().for_each(|end| visitor.line_end(end));
                visitor.body(line);
                self.pending = end;
            }
            _ => {
                visitor.outside(line);
                visitor.outside(b"\n");
            }
        }
    }

    /// Looks at the beginning of a header line; false when it is none.
    fn header_begin(&mut self, line: &[u8], visitor: &mut dyn Visitor) -> bool {
        let first = std::mem::replace(&mut self.first_line, false);
        if matches!(line.first(), Some(b' ' | b'\t')) && self.in_field {
            return true;
        }
        self.field_over(visitor);
        let Some((name, _)) = field_name(line) else {
            return first && self.place.top && (line.starts_with(b"From ") || line.starts_with(b">From "));
        };
        self.in_field = true;
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        if is("Content-Type") && self.content_type.is_none() {
            self.capture = Capture::ContentType;
        } else if is("Content-Transfer-Encoding") {
            self.capture = Capture::Encoding;
        } else if is("MIME-Version") {
            self.entity.mime_version = true;
        } else if is("DKIM-Signature") || is("DomainKey-Signature") {
            self.entity.signature = true;
        }
        true
    }

    fn header_bytes(&mut self, bytes: &[u8], visitor: &mut dyn Visitor) {
        if self.capture == Capture::None {
            return visitor.header(bytes);
        }
        if self.field.len() + bytes.len() > MAX_FIELD {
            return visitor.lost();
        }
        self.field.extend_from_slice(bytes);
    }

    fn field_over(&mut self, visitor: &mut dyn Visitor) {
        let field = std::mem::take(&mut self.field);
        let value = || field_name(&field).and_then(|(_, at)| field.get(at..)).unwrap_or_default();
        match std::mem::replace(&mut self.capture, Capture::None) {
            Capture::None => {}
            Capture::ContentType => {
                self.content_type = Some(value().to_vec());
                visitor.header(&field);
            }
            Capture::Encoding => {
                self.entity.encoding = Encoding::parse(value());
                visitor.encoding(&field);
            }
        }
        self.in_field = false;
    }

    fn head_over(&mut self, separator: Option<&[u8]>, visitor: &mut dyn Visitor) {
        self.field_over(visitor);
        let digest = !self.place.message && self.levels.last().is_some_and(|level| level.digest);
        let content_type = self.content_type.take();
        let head = std::mem::take(&mut self.entity);
        let entity = Entity {
            kind: kind(content_type.as_deref(), digest),
            encoding: head.encoding,
            mime_version: head.mime_version,
            content_type: content_type.is_some(),
            signature: head.signature,
        };
        visitor.head_over(&entity, separator);
        let container = entity.encoding.is_identity() && matches!(entity.kind, Kind::Multipart { .. } | Kind::Message);
        if container && self.depth >= MAX_DEPTH {
            visitor.lost();
        }
        self.mode = match entity.kind {
            Kind::Multipart { boundary, signed, digest } if container && self.depth < MAX_DEPTH => {
                self.depth += 1;
                self.levels.push(Level { boundary, signed: signed || self.place.signed, digest });
                Mode::Outside
            }
            Kind::Message if container && self.depth < MAX_DEPTH => {
                self.depth += 1;
                self.enter(Place { top: false, message: true, signed: self.place.signed }, visitor);
                Mode::Header
            }
            _ => Mode::Leaf,
        };
    }

    fn enter(&mut self, place: Place, visitor: &mut dyn Visitor) {
        self.place = place;
        self.mode = Mode::Header;
        self.in_field = false;
        self.first_line = true;
        visitor.begin(place);
    }

    /// The level that a line delimits, and whether it is the last delimiter of it (RFC 2046 section 5.1.1).
    fn delimiter_of(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        self.levels.iter().enumerate().rev().find_map(|(index, level)| {
            let rest = rest.strip_prefix(level.boundary.as_slice())?;
            let last = rest.strip_prefix(b"--");
            last.unwrap_or(rest).iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')).then_some((index, last.is_some()))
        })
    }

    fn delimiter(&mut self, level: usize, last: bool, line: &[u8], end: Option<LineEnd>, visitor: &mut dyn Visitor) {
        if self.mode == Mode::Header {
            self.head_over(None, visitor);
            if self.mode == Mode::Header {
                // An empty message within: its (empty) header ends here too.
                self.head_over(None, visitor);
            }
        }
        if self.mode == Mode::Leaf {
            visitor.leaf_over(false);
            if self.pending.take().is_some() {
                visitor.delimiter(b"\n");
            }
        }
        visitor.delimiter(line);
        if end.is_some() {
            visitor.delimiter(b"\n");
        }
        self.levels.truncate(if last { level } else { level + 1 });
        self.depth = self.levels.len();
        self.mode = Mode::Outside;
        if !last {
            let signed = self.levels.last().is_some_and(|level| level.signed);
            self.enter(Place { top: false, message: false, signed }, visitor);
        }
    }
}
