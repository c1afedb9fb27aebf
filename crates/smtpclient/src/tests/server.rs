//! A server that follows a script.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

/// What clients sent, one entry a connection.
pub type Heard = JoinHandle<Vec<String>>;

/// Serves one connection for each script, in order; gives the address as a host field.
///
/// Lines: `S: text` sends it and CRLF (`S+ text`: without), `C: text` reads a line that must begin so, `content` reads up
/// to the final dot, `flood N text` sends the text N times or until the client has had enough, `trickle TEXT` sends it byte by byte for ever, `stall` waits until the client
/// closes, `close` closes at once. At the end of a script the server waits for the client to close.
pub fn serve(scripts: Vec<String>) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || scripts.iter().map(|script| play(script, listener.accept().unwrap().0)).collect());
    (host, thread)
}

pub fn play(script: &str, stream: impl Read + Write + TryClone) -> String {
    let mut write = stream.another();
    let mut read = BufReader::new(stream);
    let mut heard = String::new();
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "S:" => drop(write.write_all(&unescape(&format!("{text}\\r\\n")))),
            "S+" => drop(write.write_all(&unescape(text))),
            "C:" => {
                let mut got = String::new();
                read.read_line(&mut got).unwrap();
                assert!(got.starts_with(text), "expected {text:?}, got {got:?} in {script}");
                heard.push_str(&got);
            }
            "content" => {
                let mut got = String::new();
                while got != ".\r\n" {
                    got.clear();
                    assert!(read.read_line(&mut got).unwrap() > 0, "{script}");
                    heard.push_str(&got);
                }
            }
            "trickle" => {
                let mut sent = true;
                while sent {
                    for byte in text.bytes().chain(*b"\r\n") {
                        sent = write.write_all(&[byte]).and_then(|()| write.flush()).is_ok();
                        std::thread::sleep(std::time::Duration::from_millis(15));
                    }
                }
            }
            "flood" => flood(text, &mut write),
            "stall" => drop(read.read_to_string(&mut heard)),
            "close" => return heard,
            other => panic!("{other:?} in a script"),
        }
    }
    let _ = read.read_to_string(&mut heard);
    heard
}

fn flood(text: &str, write: &mut impl Write) {
    let (count, text) = text.split_once(' ').unwrap();
    let block = unescape(text).repeat(1000);
    for _ in 0..count.parse::<usize>().unwrap() / 1000 {
        if write.write_all(&block).is_err() {
            return;
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (*first, after.first()) {
            (b'\\', Some(b'r')) => out.push(b'\r'),
            (b'\\', Some(b'n')) => out.push(b'\n'),
            (b'\\', Some(b'x')) => {
                out.push(u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap());
                rest = &after[3..];
                continue;
            }
            (byte, _) => {
                out.push(byte);
                continue;
            }
        }
        rest = &after[1..];
    }
    out
}

pub trait TryClone {
    fn another(&self) -> Self;
}
impl TryClone for std::net::TcpStream {
    fn another(&self) -> Self {
        self.try_clone().unwrap()
    }
}
impl TryClone for std::os::unix::net::UnixStream {
    fn another(&self) -> Self {
        self.try_clone().unwrap()
    }
}
