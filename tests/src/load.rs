//! A client under the test's control: SMTP over a socket, line by line, with TLS once it asks for it.

use crate::tls::{self, ClientStream};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// One SMTP session.
#[derive(Debug)]
pub struct Session {
    reader: BufReader<Stream>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secure(Box<ClientStream>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

/// The reply's code and its whole text, or why there was none.
pub type Answer = Result<(u16, String), std::io::Error>;

impl Session {
    /// Connects and reads the greeting.
    pub fn open(port: u16) -> Result<(Self, u16), std::io::Error> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut session = Self { reader: BufReader::new(Stream::Plain(stream)) };
        let (code, _) = session.reply()?;
        Ok((session, code))
    }

    /// As [`Session::open`], from one of loopback's many addresses.
    pub fn open_from(from: std::net::Ipv4Addr, port: u16) -> Result<(Self, u16), std::io::Error> {
        let stream = crate::flood::connect_from(from, port)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        let mut session = Self { reader: BufReader::new(Stream::Plain(stream)) };
        let (code, _) = session.reply()?;
        Ok((session, code))
    }

    /// Connects, greets, says STARTTLS and greets again; anything but consent is an error.
    pub fn open_secure(port: u16, config: &Arc<rustls::ClientConfig>) -> Result<Self, std::io::Error> {
        let consent = |answer: (u16, String)| match answer.0 {
            220 | 250 => Ok(()),
            _ => Err(std::io::Error::other(answer.1)),
        };
        let (mut session, code) = Self::open(port)?;
        consent((code, "the greeting".to_owned()))?;
        consent(session.command("EHLO load.example")?)?;
        consent(session.command("STARTTLS")?)?;
        let Stream::Plain(socket) = session.reader.into_inner() else { unreachable!("it was opened plain") };
        let stream = tls::connect(config, socket, "mta.test.example");
        let mut session = Self { reader: BufReader::new(Stream::Secure(Box::new(stream))) };
        consent(session.command("EHLO load.example")?)?;
        Ok(session)
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> Answer {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                let code = line.get(..3).and_then(|c| c.parse().ok()).unwrap_or(0);
                return Ok((code, text));
            }
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stream = self.reader.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush())
    }

    /// Sends a command line and reads the reply.
    pub fn command(&mut self, line: &str) -> Answer {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// EHLO, MAIL, RCPT, DATA and the content; gives the last reply. Content needs CRLF line ends, no dot-stuffing is done.
    pub fn message(&mut self, from: &str, to: &[&str], content: &[u8]) -> Answer {
        let to: Vec<String> = to.iter().map(|recipient| format!("<{recipient}>")).collect();
        self.transaction(&format!("<{from}>"), &to, content)
    }

    /// As [`Session::message`], with paths as they go onto the wire: in angle brackets, parameters behind. The answer is that
    /// to the content, or to MAIL or DATA where it is refused.
    pub fn transaction(&mut self, from: &str, to: &[String], content: &[u8]) -> Answer {
        let (code, text) = self.command(&format!("MAIL FROM:{from}"))?;
        if code >= 400 {
            return Ok((code, text));
        }
        for recipient in to {
            self.command(&format!("RCPT TO:{recipient}"))?;
        }
        let (code, text) = self.command("DATA")?;
        if code != 354 {
            return Ok((code, text));
        }
        let mut data = content.to_vec();
        data.extend_from_slice(b".\r\n");
        self.send(&data)?;
        self.reply()
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> String {
        let mut text = Vec::new();
        let _ = self.reader.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}
