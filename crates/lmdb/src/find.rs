//! A look-up.

use crate::page::{self, BIG, BRANCH, HEADER, LEAF, META, Meta, NO_PAGE, NODE, OVERFLOW};
use crate::{LONGEST_KEY, LONGEST_VALUE};
use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;

/// Levels of a tree: the library's own limit.
const DEEPEST: u32 = 32;
/// A look-up that is overtaken by commits begins anew so many times.
const PATIENCE: u32 = 100;

/// A file that can be read anywhere.
pub trait Bytes {
    /// Fills the buffer from this place of the file on.
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Bytes for std::fs::File {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, place)
    }
}

impl Bytes for [u8] {
    fn read_at(&self, place: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(place).ok().and_then(|place| self.get(place..)).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    Io(io::Error),
    /// It is not of this form, or not whole.
    Damaged(&'static str),
    /// It has what only the library reads.
    Unsupported(&'static str),
    /// Commits came faster than the look-up went.
    Busy,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::Damaged(what) => write!(f, "this is no LMDB file, or a damaged one: {what}"),
            Self::Unsupported(what) => write!(f, "{what} in an LMDB file cannot be read"),
            Self::Busy => f.write_str("it is being written to without a pause"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Damaged("it ends too early") } else { Self::Io(error) }
    }
}

/// The value of a key.
pub fn find(file: &(impl Bytes + ?Sized), key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    if key.is_empty() || key.len() > LONGEST_KEY {
        return Ok(None);
    }
    let (mut state, size) = newest(file)?;
    for _ in 0..PATIENCE {
        let found = Lookup { file, size, key }.find(&state);
        let (now, _) = newest(file)?;
        if now == state {
            return found;
        }
        state = now;
    }
    Err(Fault::Busy)
}

/// The newer of the two states, and the size of a page.
fn newest(file: &(impl Bytes + ?Sized)) -> Result<(Meta, usize), Fault> {
    let mut bytes = [0; HEADER + META];
    file.read_at(0, &mut bytes)?;
    let first = Meta::read(&bytes).ok_or(Fault::Damaged("its first page is none"))?;
    let size = first.free.pad;
    if !(512..=65_536).contains(&size) || !size.is_power_of_two() {
        return Err(Fault::Damaged("the size of its pages"));
    }
    file.read_at(u64::from(size), &mut bytes)?;
    let second = Meta::read(&bytes).ok_or(Fault::Damaged("its second page is none"))?;
    let newer = if first.transaction < second.transaction { second } else { first };
    Ok((newer, usize::try_from(size).unwrap_or(65_536)))
}

struct Lookup<'a, B: Bytes + ?Sized> {
    file: &'a B,
    size: usize,
    key: &'a [u8],
}

impl<B: Bytes + ?Sized> Lookup<'_, B> {
    fn find(&self, state: &Meta) -> Result<Option<Vec<u8>>, Fault> {
        if state.main.flags != 0 {
            return Err(Fault::Unsupported("several values of a key, or an order of keys of its own,"));
        }
        let mut number = state.main.root;
        if number == NO_PAGE {
            return Ok(None);
        }
        for _ in 0..DEEPEST {
            let page = self.page(number)?;
            match page.kind & (BRANCH | LEAF | OVERFLOW) {
                BRANCH => number = page.child(self.key)?,
                LEAF => return page.value(self.key)?.map(|node| self.data(&node)).transpose(),
                _ => return Err(Fault::Damaged("a page of the tree is no such page")),
            }
        }
        Err(Fault::Damaged("its tree is too deep"))
    }

    fn place(&self, number: u64) -> Result<u64, Fault> {
        number.checked_mul(self.size as u64).ok_or(Fault::Damaged("the number of a page"))
    }

    fn page(&self, number: u64) -> Result<Page, Fault> {
        let mut bytes = vec![0; self.size];
        self.file.read_at(self.place(number)?, &mut bytes)?;
        Page::new(bytes, number).ok_or(Fault::Damaged("the header of a page"))
    }

    fn data(&self, node: &Node<'_>) -> Result<Vec<u8>, Fault> {
        let length = usize::try_from(node.low).unwrap_or(usize::MAX);
        if length > LONGEST_VALUE {
            return Err(Fault::Unsupported("a value over 64 KiB"));
        }
        match node.flags {
            0 => Ok(node.rest.get(..length).ok_or(Fault::Damaged("a value"))?.to_vec()),
            BIG => {
                let number = page::eight(node.rest, 0).ok_or(Fault::Damaged("the number of a page"))?;
                let mut bytes = vec![0; HEADER.saturating_add(length)];
                self.file.read_at(self.place(number)?, &mut bytes)?;
                if page::eight(&bytes, 0) != Some(number) || page::two(&bytes, 10).is_none_or(|kind| kind & OVERFLOW == 0) {
                    return Err(Fault::Damaged("an overflow page is no such page"));
                }
                bytes.drain(..HEADER);
                Ok(bytes)
            }
            _ => Err(Fault::Unsupported("several values of a key, or a database,")),
        }
    }
}

struct Page {
    bytes: Vec<u8>,
    kind: u16,
    nodes: usize,
}

struct Node<'p> {
    /// Of a leaf, the size of the data.
    low: u32,
    flags: u16,
    key: &'p [u8],
    rest: &'p [u8],
}

impl Page {
    fn new(bytes: Vec<u8>, number: u64) -> Option<Self> {
        let (kind, lower) = (page::two(&bytes, 10)?, usize::from(page::two(&bytes, 12)?));
        let fits = page::eight(&bytes, 0)? == number && (HEADER..=bytes.len()).contains(&lower);
        fits.then(|| Self { kind, nodes: lower.saturating_sub(HEADER) / 2, bytes })
    }

    fn node(&self, index: usize) -> Result<Node<'_>, Fault> {
        let read = || {
            let at = usize::from(page::two(&self.bytes, HEADER.checked_add(index.checked_mul(2)?)?)?);
            let node = self.bytes.get(at..)?;
            let (body, length) = (node.get(NODE..)?, usize::from(page::two(node, 6)?));
            let low = u32::from(page::two(node, 0)?) | u32::from(page::two(node, 2)?) << 16;
            let (key, rest) = body.split_at_checked(length)?;
            Some(Node { low, flags: page::two(node, 4)?, key, rest })
        };
        read().ok_or(Fault::Damaged("a node"))
    }

    /// The last page whose first key is not behind the key; the first node's key is behind none, whatever is written there.
    fn child(&self, key: &[u8]) -> Result<u64, Fault> {
        let (mut from, mut to) = (1, self.nodes);
        while from < to {
            let middle = usize::midpoint(from, to);
            if self.node(middle)?.key <= key { from = middle.saturating_add(1) } else { to = middle }
        }
        let node = self.node(from.saturating_sub(1))?;
        Ok(u64::from(node.low) | u64::from(node.flags) << 32)
    }

    fn value(&self, key: &[u8]) -> Result<Option<Node<'_>>, Fault> {
        let (mut from, mut to) = (0, self.nodes);
        while from < to {
            let middle = usize::midpoint(from, to);
            let node = self.node(middle)?;
            match node.key.cmp(key) {
                Ordering::Equal => return Ok(Some(node)),
                Ordering::Less => from = middle.saturating_add(1),
                Ordering::Greater => to = middle,
            }
        }
        Ok(None)
    }
}
