//! Connections by the thousand from many addresses of loopback, by clients that are no mail servers.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Connects to a port of 127.0.0.1 from another address of loopback.
pub fn connect_from(from: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let end = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(end.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0)))?;
    connect(end.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)))?;
    Ok(end.into())
}

/// An address of its own for each number, 256 to a network.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f01_0001 + number)
}

/// What a client of a flood does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Silent,
    /// The beginning of a command, and another byte when told.
    Trickle,
    Garbage,
}

/// Open connections; dropped, they close.
#[derive(Debug, Default)]
pub struct Flood {
    connections: Vec<(Manner, TcpStream)>,
    /// Connections that could not be made.
    pub failed: usize,
}

impl Flood {
    /// Opens these, at most so many a second: in turn one that is silent, one that trickles, one that sends garbage.
    pub fn pour(port: u16, numbers: Range<u32>, per_second: u32) -> Self {
        const THREADS: u32 = 4;
        let begin = Instant::now();
        let numbers = &numbers;
        let pour = |thread: u32| {
            let mut part = Self::default();
            for number in (numbers.start + thread..numbers.end).step_by(THREADS as usize) {
                let due = begin + Duration::from_secs(1) * (number - numbers.start) / per_second;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                match connect_from(address(number), port) {
                    Ok(stream) => part.connections.push((begin_with(number, &stream), stream)),
                    Err(_) => part.failed += 1,
                }
            }
            part
        };
        let mut flood = Self::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || pour(thread))).collect();
            for part in threads.into_iter().filter_map(|thread| thread.join().ok()) {
                flood.connections.extend(part.connections);
                flood.failed += part.failed;
            }
        });
        flood
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Those that trickle send one byte more, as far as they are still connected.
    pub fn trickle(&self) {
        for (_, stream) in self.connections.iter().filter(|(manner, _)| *manner == Manner::Trickle) {
            let _ = { stream }.write_all(b"x");
        }
    }
}

fn begin_with(number: u32, mut stream: &TcpStream) -> Manner {
    let _ = stream.set_nonblocking(true);
    match number % 3 {
        0 => Manner::Silent,
        1 => Manner::Trickle,
        _ => {
            let garbage: &[u8] = match number % 4 {
                0 => b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
                1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                2 => b"\x00\xff\x00\xff\x00\xff\x00\xff",
                _ => b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
            };
            let _ = stream.write_all(garbage);
            Manner::Garbage
        }
    }
}

/// A flood in processes of their own: one process has too few descriptors for all of it.
#[derive(Debug)]
pub struct Parts(Vec<Child>);

/// The environment variable that makes a test a part of a flood; see [`be_a_part`].
const PART: &str = "ZPOST_FLOOD";
/// Connections of one part.
const MOST: u32 = 10_000;

impl Parts {
    /// Runs `test` of this test program, which has to call [`be_a_part`], as often as it takes.
    pub fn start(test: &str, port: u16, count: u32, per_second: u32) -> Self {
        let parts = count.div_ceil(MOST);
        let start = |part: u32| {
            let numbers = count / parts * part..count / parts * (part + 1);
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", test, "--nocapture"]);
            command.env(PART, format!("{port} {} {} {}", numbers.start, numbers.end, per_second / parts));
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
        };
        Self((0..parts).map(start).collect())
    }

    /// Waits until all is poured: how many connections were made, and how many not.
    pub fn poured(&mut self) -> (usize, usize) {
        let (mut made, mut failed) = (0, 0);
        for part in &mut self.0 {
            let said = BufReader::new(part.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
            let said = said.filter_map(|line| Some(line.split_once("poured ")?.1.to_owned())).next().unwrap_or_default();
            let mut figures = said.split(' ').filter_map(|word| word.parse::<usize>().ok());
            made += figures.next().unwrap_or(0);
            failed += figures.next().unwrap_or(0);
        }
        (made, failed)
    }
}

impl Drop for Parts {
    /// They end when nobody listens to them any more.
    fn drop(&mut self) {
        for part in &mut self.0 {
            drop(part.stdin.take());
            let _ = part.wait();
        }
    }
}

/// The part of a flood that the environment asks for, if it does: pours, says so, and trickles until its input ends.
pub fn be_a_part() -> bool {
    let Ok(wanted) = std::env::var(PART) else { return false };
    let numbers: Vec<u32> = wanted.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [port, first, end, per_second] = numbers.as_slice() else { panic!("{PART}={wanted}") };
    let flood = Flood::pour(u16::try_from(*port).unwrap(), *first..*end, *per_second);
    println!("poured {} {}", flood.len(), flood.failed);
    let (tell, told) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(tell);
    });
    // As slow as it gets: a byte in twenty seconds.
    while told.recv_timeout(Duration::from_secs(20)) == Err(RecvTimeoutError::Timeout) {
        flood.trickle();
    }
    true
}
