//! A generator like smtp-source, with STARTTLS: `starttls_source SESSIONS MESSAGES SIZE one|many|none PORT [resume]`.
//! `one`: a connection for each message; `many`: each session sends all its messages over one connection; `none`: connections
//! without messages. `resume`: sessions are resumed where the server gives tickets.

use end_to_end::tls;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn reply(reader: &mut impl BufRead) -> u16 {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the server has closed");
        if line.as_bytes().get(3) != Some(&b'-') {
            return line[..3].parse().unwrap();
        }
    }
}

fn secure(port: u16, config: &Arc<rustls::ClientConfig>) -> BufReader<tls::ClientStream> {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut plain = BufReader::new(socket);
    assert_eq!(reply(&mut plain), 220);
    plain.get_mut().write_all(b"EHLO bench.example\r\n").unwrap();
    assert_eq!(reply(&mut plain), 250);
    plain.get_mut().write_all(b"STARTTLS\r\n").unwrap();
    assert_eq!(reply(&mut plain), 220);
    let mut stream = BufReader::new(tls::connect(config, plain.into_inner(), "mta.bench.example"));
    command(&mut stream, b"EHLO bench.example\r\n", 250);
    stream
}

fn command(stream: &mut BufReader<tls::ClientStream>, line: &[u8], code: u16) {
    stream.get_mut().write_all(line).unwrap();
    assert_eq!(reply(stream), code, "{}", line.escape_ascii());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [sessions, messages, size, mode, port, more @ ..] = arguments.as_slice() else { panic!("see the source") };
    let (sessions, messages, size): (usize, usize, usize) = (sessions.parse().unwrap(), messages.parse().unwrap(), size.parse().unwrap());
    let (port, keep): (u16, bool) = (port.parse().unwrap(), mode == "many");
    let without = mode == "none";
    let mut content = b"From: <sender@bench.example>\r\nTo: <rcpt@sink.example>\r\nSubject: load\r\n\r\n".to_vec();
    while content.len() < size {
        content.extend_from_slice(&[b'X'; 76]);
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(b".\r\n");
    let (config, left) = (if more.is_empty() { tls::client() } else { tls::resuming_client() }, Arc::new(AtomicUsize::new(messages)));
    let content = Arc::new(content);
    let workers: Vec<_> = (0..sessions)
        .map(|_| {
            let (config, left, content) = (Arc::clone(&config), Arc::clone(&left), Arc::clone(&content));
            std::thread::spawn(move || {
                let mut open = None;
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    let mut stream = open.take().unwrap_or_else(|| secure(port, &config));
                    if without {
                        command(&mut stream, b"QUIT\r\n", 221);
                        continue;
                    }
                    command(&mut stream, b"MAIL FROM:<sender@bench.example>\r\n", 250);
                    command(&mut stream, b"RCPT TO:<rcpt@sink.example>\r\n", 250);
                    command(&mut stream, b"DATA\r\n", 354);
                    command(&mut stream, &content, 250);
                    if keep {
                        open = Some(stream);
                    } else {
                        command(&mut stream, b"QUIT\r\n", 221);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}
