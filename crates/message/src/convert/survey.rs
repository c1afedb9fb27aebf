//! The first pass: what each entity needs.

use super::LineEnd;
use super::entity::{Encoding, Entity, Kind};
use super::walk::{Place, Visitor, Walker};
use std::fmt;

/// Most entities of a message.
const MAX_ENTITIES: usize = 10_000;
/// Longest line that SMTP carries (RFC 5321 section 4.5.3.1.6), without its end.
const MAX_LINE: u64 = 998;

/// What becomes of one entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Keep,
    /// The content needs nothing, but its label says otherwise.
    Relabel,
    QuotedPrintable,
    Base64,
    /// Quoted-printable already, with bytes in it that should not be there.
    Escape,
}

/// Why a message must stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unconvertible {
    Signature,
    Structure,
}

impl fmt::Display for Unconvertible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "conversion would break its signature",
            Self::Structure => "its structure allows no conversion",
        })
    }
}

/// What a message needs before it can cross a seven-bit transport.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub(super) actions: Vec<Action>,
    /// Something must change.
    pub needed: bool,
    /// It must change and cannot.
    pub obstacle: Option<Unconvertible>,
    /// A header field (of the message or of a part) holds bytes beyond ASCII.
    pub eight_bit_header: bool,
    /// Bytes after the conversion, about.
    pub size: u64,
}

/// The first pass over a message.
#[derive(Debug)]
pub struct Surveyor {
    walker: Walker,
    tally: Tally,
}

impl Surveyor {
    /// `octets`: stored as it came (BINARYMIME), so a lone LF is a byte like any other.
    pub fn new(octets: bool) -> Self {
        Self { walker: Walker::default(), tally: Tally { octets, ..Tally::default() } }
    }

    pub fn feed(&mut self, piece: &[u8]) {
        self.walker.feed(piece, &mut self.tally);
    }

    pub fn finish(mut self) -> Plan {
        self.walker.finish(&mut self.tally);
        let mut plan = self.tally.plan;
        if plan.needed && self.tally.signature {
            plan.obstacle = Some(Unconvertible::Signature);
        }
        plan
    }
}

#[derive(Debug, Default)]
struct Tally {
    octets: bool,
    plan: Plan,
    place: Place,
    /// The message bears a signature of its whole content.
    signature: bool,
    kind: Option<Kind>,
    encoding: Encoding,
    leaf: Leaf,
}

/// What was seen of a leaf.
#[derive(Debug, Default)]
struct Leaf {
    bytes: u64,
    eight: u64,
    /// Bytes that quoted-printable escapes.
    escaped: u64,
    line: u64,
    longest: u64,
    /// Lone CR or LF, or NUL.
    raw: bool,
}

impl Leaf {
    fn quoted_printable(&self) -> u64 {
        let size = self.bytes + 2 * self.escaped;
        size + size / 50
    }

    fn base64(&self) -> u64 {
        self.bytes / 57 * 77 + 77
    }
}

impl Tally {
    fn set(&mut self, action: Action) {
        if let Some(last) = self.plan.actions.last_mut() {
            *last = action;
        }
    }

    fn obstacle(&mut self, obstacle: Unconvertible) {
        self.plan.needed = true;
        self.plan.obstacle.get_or_insert(obstacle);
    }

    fn judge(&mut self) -> Action {
        let (leaf, encoding) = (&self.leaf, self.encoding);
        let binary = encoding == Encoding::Binary || self.octets;
        let identity = encoding.is_identity();
        let needs = leaf.eight > 0 || leaf.raw && (identity && binary || self.octets) || identity && binary && leaf.longest > MAX_LINE;
        if !needs {
            let mislabelled = matches!(encoding, Encoding::Eight | Encoding::Binary) && !self.place.signed;
            return if mislabelled { Action::Relabel } else { Action::Keep };
        }
        if self.place.signed {
            self.obstacle(Unconvertible::Signature);
            return Action::Keep;
        }
        let action = match (encoding, &self.kind) {
            (Encoding::QuotedPrintable, _) => Action::Escape,
            (Encoding::Base64 | Encoding::Other, _) | (_, Some(Kind::Untouchable | Kind::Multipart { .. } | Kind::Message)) => {
                self.obstacle(Unconvertible::Structure);
                return Action::Keep;
            }
            (_, Some(Kind::Binary)) if leaf.raw => Action::Base64,
            _ if leaf.base64() < leaf.quoted_printable() => Action::Base64,
            _ => Action::QuotedPrintable,
        };
        self.plan.size += if action == Action::Base64 { leaf.base64() } else { leaf.quoted_printable() };
        self.plan.size = self.plan.size.saturating_sub(leaf.bytes);
        self.plan.needed = true;
        action
    }
}

impl Visitor for Tally {
    fn begin(&mut self, place: Place) {
        self.place = place;
        if self.plan.actions.len() >= MAX_ENTITIES {
            return self.lost();
        }
        self.plan.actions.push(Action::Keep);
    }

    fn header(&mut self, bytes: &[u8]) {
        self.plan.size += bytes.len() as u64;
        self.plan.eight_bit_header |= !bytes.is_ascii();
    }

    fn encoding(&mut self, field: &[u8]) {
        self.plan.size += field.len() as u64 + 20;
    }

    fn head_over(&mut self, entity: &Entity, _separator: Option<&[u8]>) {
        self.signature |= self.place.top && entity.signature;
        self.kind = Some(entity.kind.clone());
        self.encoding = entity.encoding;
        self.leaf = Leaf::default();
        self.plan.size += 50;
        let container = matches!(entity.kind, Kind::Multipart { .. } | Kind::Message) && entity.encoding.is_identity();
        if container && entity.encoding != Encoding::Seven && !self.place.signed {
            self.set(Action::Relabel);
        }
    }

    fn body(&mut self, bytes: &[u8]) {
        let leaf = &mut self.leaf;
        leaf.bytes += bytes.len() as u64;
        leaf.line += bytes.len() as u64;
        leaf.longest = leaf.longest.max(leaf.line);
        self.plan.size += bytes.len() as u64;
        for byte in bytes {
            leaf.eight += u64::from(!byte.is_ascii());
            leaf.escaped += u64::from(super::encode::is_escaped(*byte));
            leaf.raw |= matches!(byte, 0 | b'\r');
        }
    }

    fn line_end(&mut self, end: LineEnd) {
        self.leaf.bytes += 2;
        self.leaf.line = 0;
        self.plan.size += 2;
        if end == LineEnd::Lf && self.octets {
            self.leaf.raw = true;
            self.leaf.escaped += 1;
        }
    }

    fn leaf_over(&mut self, _last: bool) {
        let action = self.judge();
        self.set(action);
    }

    fn delimiter(&mut self, bytes: &[u8]) {
        self.plan.size += bytes.len() as u64;
        if !bytes.is_ascii() {
            self.obstacle(Unconvertible::Structure);
        }
    }

    fn outside(&mut self, bytes: &[u8]) {
        self.plan.size += bytes.len() as u64;
        // It belongs to no part, so nothing can say how it is encoded; and to leave it out would lose it.
        if !bytes.is_ascii() {
            self.obstacle(Unconvertible::Structure);
        }
    }

    fn lost(&mut self) {
        self.obstacle(Unconvertible::Structure);
    }
}
