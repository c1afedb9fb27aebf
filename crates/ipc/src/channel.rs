//! One end of a conversation.

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Largest frame in bytes, on both sides. Below the kernel's default socket buffer (212,992), so one always fits.
pub const MAX_FRAME: usize = 128 * 1024;

/// A message that can be a frame. `PROTOCOL` is the first byte of the frame: a frame that strays into another
/// conversation, or comes from another version of the suite, is refused by it.
pub trait Frame {
    const PROTOCOL: u8;
}

/// Why nothing more will come from a conversation.
#[derive(Debug)]
pub enum RecvError {
    /// The other side closed or died.
    Closed,
    /// The other side sent what is no frame of this conversation.
    Malformed(&'static str),
    Io(io::Error),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the other side closed the conversation"),
            Self::Malformed(why) => write!(f, "malformed frame: {why}"),
            Self::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for RecvError {}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Io(e) => e,
            RecvError::Closed => Self::from(io::ErrorKind::UnexpectedEof),
            RecvError::Malformed(why) => Self::new(io::ErrorKind::InvalidData, why),
        }
    }
}

/// What comes from one who may speak either way.
#[derive(Debug)]
pub enum Packet<In> {
    Frame(In),
    Text(Vec<u8>),
}

/// One end: sends `Out`, receives `In`, never blocks. What the socket will not take yet waits in order in memory;
/// senders bound that by credits and by looking at [`Channel::pending`].
pub struct Channel<Out, In> {
    socket: UnixDatagram,
    outbox: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    messages: PhantomData<fn(Out) -> In>,
}

impl<Out, In> fmt::Debug for Channel<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.socket.as_raw_fd())
    }
}

thread_local! {
    /// One receive buffer a thread: an idle conversation costs no memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_FRAME]);
}

/// Two connected ends, close-on-exec and non-blocking.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

impl<Out: Frame + Serialize, In: Frame + DeserializeOwned> Channel<Out, In> {
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from(end);
        socket.set_nonblocking(true)?;
        Ok(Self { socket, outbox: VecDeque::new(), messages: PhantomData })
    }

    /// Sends a frame, or keeps it until [`Channel::flush`] when the socket is full.
    pub fn send(&mut self, message: &Out) -> io::Result<()> {
        self.send_with(message, Vec::new())
    }

    /// Sends a frame and its descriptors; our copies are closed once they are sent.
    pub fn send_with(&mut self, message: &Out, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        self.post(encode(message)?, descriptors)
    }

    /// Sends a line of text instead of a frame, to one that speaks by lines (see [`Channel::recv_any`]).
    pub fn send_text(&mut self, line: String, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        self.post(line.into_bytes(), descriptors)
    }

    fn post(&mut self, frame: Vec<u8>, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        trace("send", self.socket.as_raw_fd(), &frame, descriptors.len());
        if self.outbox.is_empty() {
            match transmit(&self.socket, &frame, &descriptors) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
        self.outbox.push_back((frame, descriptors));
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it. Call it on every writable event.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((frame, descriptors)) = self.outbox.front() {
            match transmit(&self.socket, frame, descriptors) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                other => other?,
            }
            self.outbox.pop_front();
        }
        Ok(())
    }

    /// Frames that wait for room in the socket.
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    /// The next frame and its descriptors; `None` when there is none now (mio is edge triggered: ask until `None`).
    pub fn recv(&mut self) -> Result<Option<(In, Vec<OwnedFd>)>, RecvError> {
        self.next(|frame, descriptors| Ok((decode(frame)?, descriptors)))
    }

    /// The next frame, or the text of one that speaks by lines: it begins with a brace, which no protocol byte is.
    pub fn recv_any(&mut self) -> Result<Option<Packet<In>>, RecvError> {
        self.next(|frame, _| if frame.starts_with(b"{") { Ok(Packet::Text(frame.to_vec())) } else { decode(frame).map(Packet::Frame) })
    }

    fn next<T>(&self, read: impl FnOnce(&[u8], Vec<OwnedFd>) -> Result<T, RecvError>) -> Result<Option<T>, RecvError> {
        // ECONNRESET: the other side has closed without reading all of ours. The kernel says so once and before what it had
        // sent, which is still there to be read.
        let receive = |buffer: &mut [u8]| match sys::receive(&self.socket, buffer) {
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => sys::receive(&self.socket, buffer),
            other => other,
        };
        BUFFER.with_borrow_mut(|buffer| match receive(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Err(RecvError::Closed),
            Err(e) => Err(RecvError::Io(e)),
            Ok((0, _)) => Err(RecvError::Closed),
            Ok((length, descriptors)) => {
                let frame = buffer.get(..length).unwrap_or_default();
                trace("recv", self.socket.as_raw_fd(), frame, descriptors.len());
                read(frame, descriptors).map(Some)
            }
        })
    }

    /// Waits for the next frame until `deadline` (for start-up and for commands, never on an event loop).
    pub fn recv_by(&mut self, deadline: Instant) -> Result<(In, Vec<OwnedFd>), RecvError> {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        loop {
            self.flush().map_err(RecvError::Io)?;
            if let Some(frame) = self.recv()? {
                return Ok(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvError::Io(io::Error::from(io::ErrorKind::TimedOut)));
            }
            let mut interest = PollFlags::POLLIN;
            if !self.outbox.is_empty() {
                interest |= PollFlags::POLLOUT;
            }
            let left = left.min(Duration::from_secs(60)) + Duration::from_millis(1);
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), interest)], timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(RecvError::Io(e.into())),
            }
        }
    }

    /// Gives the socket up, for passing it on.
    pub fn into_end(self) -> OwnedFd {
        self.socket.into()
    }
}

fn transmit(socket: &UnixDatagram, frame: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    if descriptors.is_empty() {
        return sys::send(socket, frame, &[]);
    }
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    sys::send(socket, frame, &borrowed)
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_FRAME>()
}

fn encode<M: Frame + Serialize>(message: &M) -> io::Result<Vec<u8>> {
    let mut frame = Vec::with_capacity(256);
    frame.push(M::PROTOCOL);
    bincode::serde::encode_into_std_write(message, &mut frame, configuration()).map_err(io::Error::other)?;
    // bincode does not apply the limit when encoding; the receiver would cut the frame and drop the conversation.
    if frame.len() > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame over the size limit"));
    }
    Ok(frame)
}

fn decode<M: Frame + DeserializeOwned>(frame: &[u8]) -> Result<M, RecvError> {
    let (protocol, body) = frame.split_first().ok_or(RecvError::Malformed("empty"))?;
    if *protocol != M::PROTOCOL {
        return Err(RecvError::Malformed("frame of another conversation"));
    }
    let (message, used) = bincode::serde::decode_from_slice(body, configuration()).map_err(|_| RecvError::Malformed("does not decode"))?;
    if used != body.len() {
        return Err(RecvError::Malformed("bytes after the message"));
    }
    Ok(message)
}

/// The one place that shows every frame.
fn trace(direction: &str, socket: RawFd, frame: &[u8], descriptors: usize) {
    use std::sync::OnceLock;
    static ON: OnceLock<bool> = OnceLock::new();
    if *ON.get_or_init(|| std::env::var_os("ZPOST_TRACE").is_some()) {
        eprintln!("trace {direction} socket={socket} bytes={} descriptors={descriptors} {}", frame.len(), frame.escape_ascii());
    }
}

impl<Out, In> AsFd for Channel<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<Out, In> AsRawFd for Channel<Out, In> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl<Out, In> Source for Channel<Out, In> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.socket.as_raw_fd()).deregister(registry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Word {
        Number(u64),
        Text(String),
    }
    impl Frame for Word {
        const PROTOCOL: u8 = 250;
    }
    type End = Channel<Word, Word>;

    fn ends() -> (End, End) {
        let (a, b) = pair().unwrap();
        (Channel::new(a).unwrap(), Channel::new(b).unwrap())
    }

    #[test]
    fn frames_arrive_whole_and_in_order_through_a_full_socket() {
        let (mut a, mut b) = ends();
        for n in 0..2000 {
            a.send(&Word::Text(format!("{n} {}", "x".repeat(1000)))).unwrap();
        }
        assert!(a.pending() > 0);
        for n in 0..2000 {
            if a.pending() > 0 {
                a.flush().unwrap();
            }
            let (word, fds) = b.recv_by(Instant::now() + Duration::from_secs(5)).unwrap();
            assert!(matches!(word, Word::Text(t) if t.starts_with(&format!("{n} "))));
            assert!(fds.is_empty());
        }
    }

    #[test]
    fn a_malformed_frame_is_an_error_and_no_panic() {
        for bytes in [&[1u8][..], &[250], &[250, 9], &[250, 0], &[250, 0, 1, 1], &[250, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255]] {
            let (a, b) = pair().unwrap();
            sys::send(&UnixDatagram::from(a), bytes, &[]).unwrap();
            let got = End::new(b).unwrap().recv();
            assert!(matches!(got, Err(RecvError::Malformed(_))), "{bytes:?} {got:?}");
        }
    }

    #[test]
    fn a_closed_end_is_seen() {
        let (a, mut b) = ends();
        drop(a);
        assert!(matches!(b.recv(), Err(RecvError::Closed)));
    }

    #[test]
    fn what_was_sent_before_the_end_is_read_even_when_ours_was_not() {
        let (mut a, mut b) = ends();
        b.send(&Word::Number(1)).unwrap();
        b.send(&Word::Number(2)).unwrap();
        a.send(&Word::Number(3)).unwrap();
        drop(b);
        for wanted in [1, 2] {
            assert!(matches!(a.recv(), Ok(Some((Word::Number(number), _))) if number == wanted));
        }
        assert!(matches!(a.recv(), Err(RecvError::Closed)));
    }

    #[test]
    fn an_oversized_frame_is_refused_by_the_sender() {
        let (mut a, _b) = ends();
        assert!(a.send(&Word::Text("x".repeat(MAX_FRAME))).is_err());
        a.send(&Word::Number(1)).unwrap();
    }
}
