//! LMDB files (H. Chu's Lightning Memory-Mapped Database, format 1): finding a record in one, and writing one whole.
//!
//! The reader maps nothing and locks nothing. A file is copy on write: a commit names a new root in one of two meta pages,
//! and the pages of the state before it are not written again before the next commit. So a look-up reads the newer meta
//! page, goes down from its root, and begins anew if another state has been committed meanwhile.
//!
//! **Invariant:** whatever bytes a file holds, a look-up ends with a record, with none, or with an error, and has read at most
//! a page for each of 32 levels and one value of [`LONGEST_VALUE`]. That is why this is not the C library, which trusts
//! every number in the file.
//!
//! The form, numbers as the machine has them: pages of one size, each with its number, kind and a table of places of nodes,
//! which are filled in from the end; a tree of branch and leaf pages, values that do not fit a leaf in overflow pages. Only
//! the main database is read, with plain keys; named databases and several values of a key are others' business.

mod find;
mod make;
mod page;

pub use find::{Bytes, Fault, find};
pub use make::Maker;

/// Bytes of a key in the library's usual build, and of what it writes.
pub const LONGEST_KEY: usize = 511;
/// A value beyond this is not read.
pub const LONGEST_VALUE: usize = 64 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
