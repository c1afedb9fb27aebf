//! Notification datagrams: `NEW <name>` or `NEW <directory> <name>`. Hints: each may be lost, repeated or forged.

use crate::is_safe_name;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// A well-formed notice. The name is safe but may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub directory: Option<String>,
    pub name: String,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyError;

/// Reads a datagram. One line end after it is forgiven.
pub fn parse_notice(datagram: &[u8]) -> Result<Notice, NotifyError> {
    let datagram = datagram.strip_suffix(b"\n").unwrap_or(datagram);
    let words = datagram.strip_prefix(b"NEW ").ok_or(NotifyError)?;
    let mut words = words.split(|b| *b == b' ').map(safe);
    let first = words.next().ok_or(NotifyError)??;
    let second = words.next().transpose()?;
    match (second, words.next()) {
        (None, _) => Ok(Notice { directory: None, name: first }),
        (Some(name), None) => Ok(Notice { directory: Some(first), name }),
        (Some(_), Some(_)) => Err(NotifyError),
    }
}
fn safe(word: &[u8]) -> Result<String, NotifyError> {
    let text = std::str::from_utf8(word).map_err(|_| NotifyError)?;
    if is_safe_name(word) { Ok(text.to_owned()) } else { Err(NotifyError) }
}

/// Sends notices to one of `<run>/notify/{router,scheduler}`; never blocks, loses silently: a hint.
#[derive(Debug)]
pub struct Notifier {
    path: PathBuf,
    socket: UnixDatagram,
    connected: bool,
    datagram: Vec<u8>,
}
impl Notifier {
    /// `which`: "router" or "scheduler". A missing socket is no error (it is tried again at each notice).
    pub fn new(run: &Path, which: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let path = run.join("notify").join(which);
        let connected = socket.connect(&path).is_ok();
        Ok(Self { path, socket, connected, datagram: Vec::with_capacity(64) })
    }
    /// `name`, or `volume/name` (see [`crate::Volumes::written`]).
    pub fn notice(&mut self, name: &str) {
        self.datagram.clear();
        self.datagram.extend_from_slice(b"NEW ");
        self.datagram.extend(name.bytes().map(|b| if b == b'/' { b' ' } else { b }));
        if self.connected && !self.is_gone() {
            return;
        }
        // The receiver was restarted and bound a new socket under the name, or is not there yet.
        self.connected = self.socket.connect(&self.path).is_ok();
        if self.connected {
            self.connected = !self.is_gone();
        }
    }
    /// Sends; a full receiver loses the hint (its scan finds the file), a closed one is told apart.
    fn is_gone(&self) -> bool {
        match self.socket.send(&self.datagram) {
            Ok(_) => false,
            Err(e) => e.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_both_forms_and_nothing_else() {
        let plain = |name: &str| Ok(Notice { directory: None, name: name.into() });
        assert_eq!(parse_notice(b"NEW abc"), plain("abc"));
        assert_eq!(parse_notice(b"NEW abc\n"), plain("abc"));
        assert_eq!(parse_notice(b"NEW A abc"), Ok(Notice { directory: Some("A".into()), name: "abc".into() }));
        for bad in [
            &b""[..],
            b"NEW",
            b"NEW ",
            b"new a",
            b"NEW  a",
            b"NEW a ",
            b"NEW a b c",
            b"NEW ../x",
            b"NEW .x",
            b"NEW a/b",
            b"NEW a\0",
            b"NEW \xff",
        ] {
            assert_eq!(parse_notice(bad), Err(NotifyError), "{bad:?}");
        }
        assert_eq!(parse_notice(&[b"NEW ".as_slice(), &[b'a'; 129]].concat()), Err(NotifyError));
    }

    #[test]
    fn a_receiver_that_comes_back_is_found_again() {
        let run = tempfile::tempdir().unwrap();
        std::fs::create_dir(run.path().join("notify")).unwrap();
        let path = run.path().join("notify/router");
        let mut notifier = Notifier::new(run.path(), "router").unwrap();
        notifier.notice("lost");
        for name in ["first", "second"] {
            let receiver = UnixDatagram::bind(&path).unwrap();
            notifier.notice(name);
            let mut buffer = [0; 64];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(parse_notice(&buffer[..length]).unwrap().name, name);
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_datagram_gives_a_safe_name_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(notice) = parse_notice(&bytes) {
                prop_assert!(is_safe_name(notice.name.as_bytes()));
            }
        }
        #[test]
        fn what_is_sent_is_read(name in "[A-Za-z0-9_:+-][A-Za-z0-9._:+-]{0,127}") {
            prop_assert_eq!(parse_notice(format!("NEW {name}").as_bytes()).unwrap().name, name);
        }
    }
}
