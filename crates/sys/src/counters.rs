//! Counters in shared memory: every process adds to its own row, whoever has the descriptor reads all rows.

use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// A table of 64-bit counters shared between processes. Rows outlive the process that adds to them, so a restarted
/// one goes on where it was.
#[derive(Debug)]
pub struct SharedCounters {
    base: NonNull<c_void>,
    rows: usize,
    columns: usize,
}

// SAFETY: the mapping is only reached as atomics, which any thread may use.
unsafe impl Send for SharedCounters {}
// SAFETY: as above.
unsafe impl Sync for SharedCounters {}

impl SharedCounters {
    /// A new table of zeroes, as an anonymous file to pass to other processes.
    pub fn create(rows: usize, columns: usize) -> io::Result<OwnedFd> {
        let file = File::from(memfd_create(c"zpost-counters", MFdFlags::MFD_CLOEXEC)?);
        let bytes = bytes(rows, columns)?;
        file.set_len(bytes.get() as u64)?;
        Ok(file.into())
    }

    /// Maps a table. A file of less than `rows` x `columns` counters is refused, since touching what it lacks would
    /// kill the process (SIGBUS).
    pub fn map(file: impl AsFd, rows: usize, columns: usize) -> io::Result<Self> {
        use nix::sys::mman::{MapFlags, ProtFlags, mmap};
        let bytes = bytes(rows, columns)?;
        let length = nix::sys::stat::fstat(file.as_fd())?.st_size;
        if usize::try_from(length).is_ok_and(|length| length < bytes.get()) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new shared mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, file, 0)? };
        Ok(Self { base, rows, columns })
    }

    /// One row; `None` when there is no such row.
    pub fn row(&self, row: usize) -> Option<&[AtomicU64]> {
        if row >= self.rows {
            return None;
        }
        // SAFETY: the mapping holds rows x columns u64 (checked in `map`), is page aligned, lives as long as self,
        // and AtomicU64 has the size and alignment of u64.
        Some(unsafe { std::slice::from_raw_parts(self.base.cast::<AtomicU64>().as_ptr().add(row * self.columns), self.columns) })
    }
}

impl Drop for SharedCounters {
    fn drop(&mut self) {
        if let Ok(bytes) = bytes(self.rows, self.columns) {
            // SAFETY: unmaps exactly what `map` mapped; no reference into it can outlive self.
            let _ = unsafe { nix::sys::mman::munmap(self.base, bytes.get()) };
        }
    }
}

fn bytes(rows: usize, columns: usize) -> io::Result<NonZeroUsize> {
    rows.checked_mul(columns)
        .and_then(|cells| cells.checked_mul(size_of::<u64>()))
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn two_mappings_see_one_table() {
        let file = SharedCounters::create(3, 8).unwrap();
        let a = SharedCounters::map(&file, 3, 8).unwrap();
        let b = SharedCounters::map(&file, 3, 8).unwrap();
        a.row(2).unwrap()[7].fetch_add(5, Relaxed);
        assert_eq!(b.row(2).unwrap()[7].load(Relaxed), 5);
        assert!(b.row(3).is_none());
    }

    #[test]
    fn a_short_file_is_refused() {
        let file = SharedCounters::create(1, 1).unwrap();
        assert!(SharedCounters::map(&file, 2, 1).is_err());
    }
}
