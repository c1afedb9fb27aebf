//! Two file calls of Linux that std and nix lack.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Reads at `offset` only what the page cache holds: `WouldBlock` when the disk would have to be asked.
/// The event loop then lets a thread read. Filesystems without support answer `Unsupported`.
pub fn read_at_no_wait(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let offset = i64::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `part` describes `buffer`, which lives and is ours alone for the whole call.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Starts writing a file's dirty pages to disk and does not wait: so the journal commit that a following fsync
/// asks for finds them on their way, and one commit serves many files.
pub fn start_writeback(file: &File) -> io::Result<()> {
    // SAFETY: takes no pointer; the descriptor is borrowed for the call.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_what_was_just_written() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello world").unwrap();
        start_writeback(&file).unwrap();
        let mut buffer = [0; 32];
        match read_at_no_wait(&file, &mut buffer, 6) {
            Ok(n) => assert_eq!(&buffer[..n], b"world"),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::Unsupported),
        }
    }
}
