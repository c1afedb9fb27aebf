//! A sink like smtp-sink -c, with STARTTLS: `starttls_sink PORT CHAIN.pem KEY.pem`. Prints `mesg=N` as messages come, and
//! `tls=N` for sessions inside TLS.

use end_to_end::tls;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

static MESSAGES: AtomicUsize = AtomicUsize::new(0);
static SECURE: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, chain, key] = arguments.as_slice() else { panic!("see the source") };
    let config = tls::server(Path::new(chain), Path::new(key));
    let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    std::thread::spawn(|| {
        let mut told = usize::MAX;
        loop {
            let now = MESSAGES.load(Ordering::Relaxed);
            if now != told {
                println!("tls={} mesg={now}", SECURE.load(Ordering::Relaxed));
                told = now;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    for socket in listener.incoming().flatten() {
        let config = Arc::clone(&config);
        std::thread::Builder::new().stack_size(256 * 1024).spawn(move || drop(greet(socket, &config))).unwrap();
    }
}

fn greet(socket: TcpStream, config: &Arc<rustls::ServerConfig>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut plain = BufReader::new(socket);
    plain.get_mut().write_all(b"220 sink.example ESMTP\r\n")?;
    if serve(&mut plain, true, TcpStream::write_all)? {
        SECURE.fetch_add(1, Ordering::Relaxed);
        let mut inside = BufReader::new(tls::accept(config, plain.into_inner()));
        serve(&mut inside, false, tls::ServerStream::write_all)?;
    }
    Ok(())
}

/// True: STARTTLS was said and answered.
fn serve<S: Read>(stream: &mut BufReader<S>, offer: bool, write: fn(&mut S, &[u8]) -> std::io::Result<()>) -> std::io::Result<bool> {
    let mut line = Vec::new();
    // Replies leave together before the next read, as a server with pipelining does.
    let mut replies = Vec::new();
    loop {
        if stream.buffer().is_empty() && !replies.is_empty() {
            write(stream.get_mut(), &replies)?;
            replies.clear();
        }
        line.clear();
        if stream.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"EHLO" => {
                replies.extend_from_slice(b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n");
                replies.extend_from_slice(if offer { b"250 STARTTLS\r\n".as_slice() } else { b"250 DSN\r\n" });
            }
            b"STAR" => {
                write(stream.get_mut(), b"220 go\r\n")?;
                return Ok(true);
            }
            b"DATA" => {
                replies.extend_from_slice(b"354 go\r\n");
                write(stream.get_mut(), &replies)?;
                replies.clear();
                while line != b".\r\n" {
                    line.clear();
                    if stream.read_until(b'\n', &mut line)? == 0 {
                        return Ok(false);
                    }
                }
                MESSAGES.fetch_add(1, Ordering::Relaxed);
                replies.extend_from_slice(b"250 ok\r\n");
            }
            b"QUIT" => {
                replies.extend_from_slice(b"221 bye\r\n");
                write(stream.get_mut(), &replies)?;
                return Ok(false);
            }
            _ => replies.extend_from_slice(b"250 ok\r\n"),
        }
    }
}
