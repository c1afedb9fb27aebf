//! Writing a file: records in order, page by page; the meta pages last.

use crate::page::{self, BIG, BRANCH, HEADER, INTEGER_KEYS, LEAF, META_PAGE, Meta, NODE, OVERFLOW, Tree};
use crate::{LONGEST_KEY, LONGEST_VALUE};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

/// Bytes of a page.
const SIZE: usize = 4096;
/// A node beyond this has its value in overflow pages: two must fit a page.
const LARGEST_NODE: usize = (SIZE - HEADER) / 2 - 2;
/// Of address space, which is how far others who write to the file may let it grow: so much, or four times what there is.
const LEAST_MAP: u64 = 16 << 20;

/// A file in the making.
#[derive(Debug)]
pub struct Maker<W> {
    out: W,
    /// Number of the next page.
    next: u64,
    /// The page that is being filled, on each level; the leaves first.
    levels: Vec<Filling>,
    last: Vec<u8>,
    tree: Tree,
}

/// A page that is not full yet.
#[derive(Debug, Default)]
struct Filling {
    nodes: Vec<Node>,
    bytes: usize,
    /// Pages of this level that are written.
    written: u64,
}

#[derive(Debug)]
struct Node {
    /// Size of the data, or the lower bits of the page's number.
    low: u32,
    flags: u16,
    key: Vec<u8>,
    data: Vec<u8>,
}

impl Node {
    fn child(key: Vec<u8>, number: u64) -> Self {
        let low = u32::try_from(number & 0xffff_ffff).unwrap_or_default();
        let flags = u16::try_from(number >> 32 & 0xffff).unwrap_or_default();
        Self { low, flags, key, data: Vec::new() }
    }

    /// With its place; nodes begin at even places.
    fn size(&self) -> usize {
        (NODE + self.key.len() + self.data.len()).next_multiple_of(2) + 2
    }
}

impl<W: Write + Seek> Maker<W> {
    /// `out`: empty, and best buffered.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; 2 * SIZE])?;
        Ok(Self { out, next: 2, levels: Vec::new(), last: Vec::new(), tree: Tree::empty(0, 0) })
    }

    /// The next record: keys come in the order of their bytes, each once.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Err(io::Error::new(ErrorKind::InvalidInput, "an LMDB file has keys of 1 to 511 bytes"));
        }
        if self.tree.entries > 0 && key <= self.last.as_slice() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a key is not behind the one before"));
        }
        if value.len() > LONGEST_VALUE {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "a value over 64 KiB"));
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.tree.entries += 1;
        let low = u32::try_from(value.len()).unwrap_or_default();
        let big = NODE + key.len() + value.len() > LARGEST_NODE;
        let (flags, data) = if big { (BIG, self.overflow(value)?.to_ne_bytes().to_vec()) } else { (0, value.to_vec()) };
        self.put(0, Node { low, flags, key: key.to_vec(), data })
    }

    /// Writes what is left, and the meta pages.
    pub fn finish(mut self) -> io::Result<W> {
        let mut level = 0;
        while level < self.levels.len() {
            // A level whose only page this is is the root.
            let only = level + 1 == self.levels.len() && self.levels.get(level).is_some_and(|filling| filling.written == 0);
            let (key, number) = self.write(level, usize::MAX)?;
            if only {
                self.tree.root = number;
                self.tree.depth = u16::try_from(level + 1).unwrap_or(u16::MAX);
            } else {
                self.put(level + 1, Node::child(key, number))?;
            }
            level += 1;
        }
        let free = Tree::empty(SIZE as u32, INTEGER_KEYS);
        let empty = Meta { map_size: LEAST_MAP, free, main: Tree::empty(0, 0), last_page: 1, transaction: 0 };
        let map_size = self.next.saturating_mul(4 * SIZE as u64).max(LEAST_MAP);
        let full = Meta { map_size, main: self.tree, last_page: self.next - 1, transaction: 1, ..empty };
        self.out.seek(SeekFrom::Start(0))?;
        for (number, meta) in [(0, empty), (1, full)] {
            let mut page = header(number, META_PAGE, [0; 4]);
            meta.write(&mut page);
            page.resize(SIZE, 0);
            self.out.write_all(&page)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, level: usize, node: Node) -> io::Result<()> {
        if self.levels.len() == level {
            self.levels.push(Filling::default());
        }
        let full = self.levels.get(level).is_some_and(|filling| HEADER + filling.bytes + node.size() > SIZE);
        if full {
            // A branch without two children is none that the library accepts: one of them goes with the new one.
            let keep = self.levels.get(level).map_or(0, |filling| filling.nodes.len()) - usize::from(level > 0);
            let (key, number) = self.write(level, keep)?;
            self.put(level + 1, Node::child(key, number))?;
        }
        if let Some(filling) = self.levels.get_mut(level) {
            filling.bytes += node.size();
            filling.nodes.push(node);
        }
        Ok(())
    }

    /// Writes the first so many nodes of a level as a page: its first key, and its number.
    fn write(&mut self, level: usize, count: usize) -> io::Result<(Vec<u8>, u64)> {
        let number = self.take(1);
        let Some(filling) = self.levels.get_mut(level) else { return Err(io::Error::other("a level that is none")) };
        let rest = filling.nodes.split_off(count.min(filling.nodes.len()));
        let mut nodes = std::mem::replace(&mut filling.nodes, rest);
        filling.bytes = filling.nodes.iter().map(Node::size).sum();
        filling.written += 1;
        let first = nodes.first_mut().map(|node| node.key.clone()).unwrap_or_default();
        let kind = if level == 0 { LEAF } else { BRANCH };
        if kind == BRANCH {
            self.tree.branches += 1;
            // Nothing is before the first child, so its key says nothing.
            if let Some(node) = nodes.first_mut() {
                node.key.clear();
            }
        } else {
            self.tree.leaves += 1;
        }
        self.out.write_all(&filled(number, kind, &nodes)?)?;
        Ok((first, number))
    }

    fn overflow(&mut self, value: &[u8]) -> io::Result<u64> {
        let pages = (HEADER + value.len()).div_ceil(SIZE);
        let count = u32::try_from(pages).unwrap_or_default();
        self.tree.overflows += u64::from(count);
        let number = self.take(u64::from(count));
        let mut bytes = header(number, OVERFLOW, count.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(pages * SIZE, 0);
        self.out.write_all(&bytes)?;
        Ok(number)
    }

    fn take(&mut self, pages: u64) -> u64 {
        let first = self.next;
        self.next += pages;
        first
    }
}

/// `ends`: of the nodes' places and before the nodes; of overflow pages, how many they are.
fn header(number: u64, kind: u16, ends: [u8; 4]) -> Vec<u8> {
    let mut page = Vec::with_capacity(SIZE);
    page.extend_from_slice(&number.to_ne_bytes());
    page.extend_from_slice(&0u16.to_ne_bytes());
    page.extend_from_slice(&kind.to_ne_bytes());
    page.extend_from_slice(&ends);
    page
}

fn filled(number: u64, kind: u16, nodes: &[Node]) -> io::Result<Vec<u8>> {
    let overfull = || io::Error::other("a page is too full");
    let (mut places, mut upper) = (Vec::new(), SIZE);
    for node in nodes {
        upper = upper.checked_sub(node.size() - 2).ok_or_else(overfull)?;
        places.push(u16::try_from(upper).map_err(io::Error::other)?);
    }
    let lower = HEADER + 2 * places.len();
    if lower > upper {
        return Err(overfull());
    }
    let ends = [u16::try_from(lower), u16::try_from(upper)].map(|end| end.unwrap_or(u16::MAX).to_ne_bytes());
    let mut page = header(number, kind, [ends[0][0], ends[0][1], ends[1][0], ends[1][1]]);
    places.iter().for_each(|place| page.extend_from_slice(&place.to_ne_bytes()));
    page.resize(upper, 0);
    for node in nodes.iter().rev() {
        let begin = page.len();
        page.extend_from_slice(&u16::try_from(node.low & 0xffff).unwrap_or_default().to_ne_bytes());
        page.extend_from_slice(&u16::try_from(node.low >> 16).unwrap_or_default().to_ne_bytes());
        page.extend_from_slice(&node.flags.to_ne_bytes());
        page.extend_from_slice(&u16::try_from(node.key.len()).map_err(io::Error::other)?.to_ne_bytes());
        page.extend_from_slice(&node.key);
        page.extend_from_slice(&node.data);
        page.resize(begin + node.size() - 2, 0);
    }
    debug_assert_eq!((page.len(), page::eight(&page, 0)), (SIZE, Some(number)));
    Ok(page)
}
