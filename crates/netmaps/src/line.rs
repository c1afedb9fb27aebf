//! Connections to servers: TCP and Unix sockets, several tried in order, everything by a deadline.

use crate::said::{Replies, Said};
use settings::Table;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tableserver::Trouble;

/// A server that failed is tried after the others for so long.
const SHUNNED: Duration = Duration::from_secs(30);

/// One connection.
#[derive(Debug)]
pub struct Line {
    stream: Stream,
    server: String,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How the servers of all tables have been doing.
#[derive(Debug, Default)]
pub struct Servers {
    /// Those that failed, and when.
    failed: Mutex<HashMap<String, Instant>>,
}

impl Servers {
    /// To the first server that takes a connection; those that failed just now come last.
    pub fn connect(&self, table: &Table) -> Result<Line, Trouble> {
        let deadline = Instant::now() + table.timeout;
        let servers = self.in_order(&table.servers);
        let (mut left, mut reason) = (servers.len(), "no server is named".to_owned());
        for server in servers {
            let time = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(1).max(1);
            match connect(&server, time) {
                Ok(stream) => return Ok(Line { stream, server }),
                Err(e) => reason = format!("no connection to {server}: {e}"),
            }
            self.blame(&server);
            left = left.saturating_sub(1);
        }
        Err(Trouble::broken(reason))
    }

    /// One request, one reply; a server that fails is asked no more while there is another.
    pub fn ask<R: Replies>(&self, line: &mut Line, table: &Table, request: &[u8]) -> Result<Said, Trouble> {
        let deadline = Instant::now() + table.timeout;
        let reason = match line.exchange::<R>(request, deadline) {
            Ok(said) => return Ok(said),
            Err(reason) => format!("{}: {reason}", line.server),
        };
        self.blame(&line.server);
        let others = table.servers.len() > 1 && Instant::now() < deadline;
        let other = if others { self.connect(table).ok().filter(|other| other.server != line.server) } else { None };
        let Some(other) = other else { return Err(Trouble::broken(reason)) };
        *line = other;
        line.exchange::<R>(request, deadline).map_err(|reason| {
            self.blame(&line.server);
            Trouble::broken(format!("{}: {reason}", line.server))
        })
    }

    fn in_order(&self, servers: &[String]) -> Vec<String> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, since| since.elapsed() < SHUNNED);
        let (mut order, last): (Vec<String>, Vec<String>) = servers.iter().cloned().partition(|server| !failed.contains_key(server));
        order.extend(last);
        order
    }

    fn blame(&self, server: &str) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(server.to_owned(), Instant::now());
    }
}

fn connect(server: &str, time: Duration) -> io::Result<Stream> {
    if let Some(path) = server.strip_prefix("unix:") {
        // One whose queue is full says so, instead of making us wait.
        let stream = UnixStream::from(mio::net::UnixStream::connect(path)?);
        stream.set_nonblocking(false)?;
        return Ok(Stream::Unix(stream));
    }
    let deadline = Instant::now() + time;
    let addresses: Vec<SocketAddr> = server.to_socket_addrs()?.take(8).collect();
    let (mut left, mut last) = (addresses.len(), io::Error::other("it has no address"));
    for address in addresses {
        let time = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(1).max(1);
        match TcpStream::connect_timeout(&address, time.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Stream::Tcp(stream));
            }
            Err(e) => last = e,
        }
        left = left.saturating_sub(1);
    }
    Err(last)
}

impl Line {
    fn exchange<R: Replies>(&mut self, request: &[u8], deadline: Instant) -> Result<Said, String> {
        self.write(request, deadline).map_err(|e| described(&e))?;
        let (mut reader, mut buffer) = (R::default(), [0; 4096]);
        loop {
            match self.read(&mut buffer, deadline).map_err(|e| described(&e))? {
                0 => return Err("it closed the connection".to_owned()),
                length => {
                    if let Some(said) = reader.take(buffer.get(..length).unwrap_or_default())? {
                        return Ok(said);
                    }
                }
            }
        }
    }

    /// Requests are short: one that does not fit the socket's buffer is to a server that reads nothing.
    fn write(&mut self, request: &[u8], deadline: Instant) -> io::Result<()> {
        let time = Some(left(deadline)?);
        match &mut self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(time).and_then(|()| stream.write_all(request)),
            Stream::Unix(stream) => stream.set_write_timeout(time).and_then(|()| stream.write_all(request)),
        }
    }

    fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            let time = Some(left(deadline)?);
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.set_read_timeout(time).and_then(|()| stream.read(buffer)),
                Stream::Unix(stream) => stream.set_read_timeout(time).and_then(|()| stream.read(buffer)),
            };
            match read {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn described(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => format!("the connection broke: {error}"),
    }
}

impl Said {
    /// As the frame wants it. What a server says in trouble may repeat the key, which must not get into the log.
    pub fn answer(self, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        match self {
            Self::Found(value) => Ok(Some(vec![value])),
            Self::Absent => Ok(None),
            Self::Trouble(words) if words.to_lowercase().contains(&key.to_lowercase()) => {
                Err(Trouble::passing("the server has trouble with this key"))
            }
            Self::Trouble(words) => Err(Trouble::passing(format!("the server says: {words}"))),
        }
    }
}
