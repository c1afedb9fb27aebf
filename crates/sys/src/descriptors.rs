//! Frames with descriptors beside them over a SOCK_SEQPACKET socket (crate sendfd, which leaves ownership,
//! CLOEXEC and truncation to its caller).

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use sendfd::{RecvWithFd, SendWithFd};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most descriptors that one frame may carry. The kernel's own limit is 253 (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 64;

/// Sends one frame and its descriptors. Never sends an empty frame: zero bytes would read as end of file.
pub fn send(socket: &UnixDatagram, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if frame.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    loop {
        let sent = if descriptors.is_empty() {
            socket.send(frame)
        } else {
            let raw: Vec<RawFd> = descriptors.iter().map(|d| d.as_raw_fd()).collect();
            socket.send_with_fd(frame, &raw)
        };
        match sent {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(()),
        }
    }
}

/// Receives one frame into `buffer`: its length (0 at end of file) and its descriptors, each owned and CLOEXEC.
pub fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut raw = [-1; MAX_DESCRIPTORS];
    let (length, count) = loop {
        match socket.recv_with_fd(buffer, &mut raw) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::with_capacity(count);
    for fd in raw.iter().take(count) {
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows its number.
        let owned = unsafe { OwnedFd::from_raw_fd(*fd) };
        fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        descriptors.push(owned);
    }
    Ok((length, descriptors))
}

/// Takes descriptor 0 as an owned one (the conversation with the master) and leaves /dev/null in its place,
/// so that no later `open` gets number 0.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    let copy = fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    let null = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    // SAFETY: F_DUPFD_CLOEXEC has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Takes a descriptor that whoever started us left open under this number, as one that programs we start do not get.
/// To be called before this process opens anything of its own: the number could be something else's by then. The second
/// call is refused, so that nothing has two owners.
pub fn take_descriptor(number: i32) -> io::Result<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if number < 3 || TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the number is only asked about; that nothing is open there is an error of fcntl.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(inherited, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, no standard stream, and taken here for the first time, at a time when nothing else was opened.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// How many descriptors this process may have (RLIMIT_NOFILE).
pub fn most_descriptors() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::io::Read;
    use std::os::fd::AsFd;

    fn pair() -> (UnixDatagram, UnixDatagram) {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        (a.into(), b.into())
    }

    #[test]
    fn carries_descriptors_and_sets_cloexec() {
        let (a, b) = pair();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(&a, b"frame", &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut buffer = [0; 16];
        let (length, mut fds) = receive(&b, &mut buffer).unwrap();
        assert_eq!((&buffer[..length], fds.len()), (&b"frame"[..], 1));
        let flags = fcntl(&fds[0], FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC));
        std::io::Write::write_all(&mut std::fs::File::from(fds.remove(0)), b"x").unwrap();
        let mut got = String::new();
        reader.read_to_string(&mut got).unwrap();
        assert_eq!(got, "x");
    }

    #[test]
    fn a_number_nobody_opened_is_an_error() {
        assert_eq!(take_descriptor(1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(take_descriptor(1_000_000).unwrap_err().raw_os_error(), Some(nix::libc::EBADF));
    }

    #[test]
    fn end_of_file_is_length_zero_and_empty_frames_are_refused() {
        let (a, b) = pair();
        assert!(send(&a, b"", &[]).is_err());
        drop(a);
        assert_eq!(receive(&b, &mut [0; 4]).unwrap().0, 0);
    }
}
