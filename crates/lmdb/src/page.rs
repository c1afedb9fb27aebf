//! Numbers and places of the form, for both directions.

/// Bytes before the nodes' places: number of the page (8), padding (2), kind (2), end of the places and begin of the nodes.
pub const HEADER: usize = 16;
/// Bytes before a node's key: size of the data or number of the page (4), flags (2), size of the key (2).
pub const NODE: usize = 8;
pub const MAGIC: u32 = 0xBEEF_C0DE;
pub const VERSION: u32 = 1;
/// Bytes of a meta page's content.
pub const META: usize = 136;
/// Of a database without a page.
pub const NO_PAGE: u64 = u64::MAX;

// Kinds of pages.
pub const BRANCH: u16 = 0x01;
pub const LEAF: u16 = 0x02;
pub const OVERFLOW: u16 = 0x04;
pub const META_PAGE: u16 = 0x08;

/// Of a node: its data is the number of an overflow page.
pub const BIG: u16 = 0x01;
/// Of the database of free pages: its keys are numbers.
pub const INTEGER_KEYS: u16 = 0x08;

pub fn two(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub fn four(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub fn eight(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A database as a meta page names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Size of a page, in the first of the two; in the other, of fixed values.
    pub pad: u32,
    pub flags: u16,
    pub depth: u16,
    pub branches: u64,
    pub leaves: u64,
    pub overflows: u64,
    pub entries: u64,
    pub root: u64,
}

impl Tree {
    const BYTES: usize = 48;

    pub fn empty(pad: u32, flags: u16) -> Self {
        Self { pad, flags, depth: 0, branches: 0, leaves: 0, overflows: 0, entries: 0, root: NO_PAGE }
    }

    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let bytes = bytes.get(at..at.checked_add(Self::BYTES)?)?;
        Some(Self {
            pad: four(bytes, 0)?,
            flags: two(bytes, 4)?,
            depth: two(bytes, 6)?,
            branches: eight(bytes, 8)?,
            leaves: eight(bytes, 16)?,
            overflows: eight(bytes, 24)?,
            entries: eight(bytes, 32)?,
            root: eight(bytes, 40)?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pad.to_ne_bytes());
        out.extend_from_slice(&self.flags.to_ne_bytes());
        out.extend_from_slice(&self.depth.to_ne_bytes());
        for number in [self.branches, self.leaves, self.overflows, self.entries, self.root] {
            out.extend_from_slice(&number.to_ne_bytes());
        }
    }
}

/// A state of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub map_size: u64,
    pub free: Tree,
    pub main: Tree,
    pub last_page: u64,
    pub transaction: u64,
}

impl Meta {
    /// Of the bytes of a meta page, its header among them.
    pub fn read(page: &[u8]) -> Option<Self> {
        let bytes = page.get(HEADER..HEADER + META)?;
        let ours = two(page, 10)? & META_PAGE != 0 && four(bytes, 0)? == MAGIC && four(bytes, 4)? == VERSION;
        ours.then_some(())?;
        Some(Self {
            map_size: eight(bytes, 16)?,
            free: Tree::read(bytes, 24)?,
            main: Tree::read(bytes, 72)?,
            last_page: eight(bytes, 120)?,
            transaction: eight(bytes, 128)?,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&VERSION.to_ne_bytes());
        out.extend_from_slice(&0u64.to_ne_bytes());
        out.extend_from_slice(&self.map_size.to_ne_bytes());
        self.free.write(out);
        self.main.write(out);
        out.extend_from_slice(&self.last_page.to_ne_bytes());
        out.extend_from_slice(&self.transaction.to_ne_bytes());
    }
}
