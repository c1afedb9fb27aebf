//! What a process remembers beyond its own end: files of lines with checksums, written by a thread, and a time that goes on.
//!
//! [`Saver`] replaces whole files; [`Journal`] is one file to which is appended what changes, and which is written anew when
//! it has grown. [`Clock`] is the time that moments in them are of.
//!
//! **Invariants.** Nothing here waits for a disk but the thread of its own. Whatever a file holds, its whole lines are read
//! and the others counted; a file that cannot be read is a loss of what was remembered, never a reason not to start. No file
//! is synced: what the kernel was given survives the process, and a power cut costs what was remembered last.

mod clock;
mod journal;
pub mod lines;
mod saver;

pub use clock::{Clock, Stamp, wall_of};
pub use journal::Journal;
pub use saver::{Piece, Saver};
