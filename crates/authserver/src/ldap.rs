//! A password check by a simple bind at an LDAP server (RFC 4511 section 4.2). Blocking, on threads of the pool; a
//! connection for each question.

use crate::{Answer, Found};
use rustls_pki_types::ServerName;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// The server, and how to ask it.
#[derive(Debug, Clone)]
pub struct Ldap {
    /// `host:port`
    pub server: String,
    /// For ldaps.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub dn: String,
    pub timeout: Duration,
}

impl Ldap {
    /// Is this the user's password?
    pub fn ask(&self, user: &str, password: &str) -> Answer {
        // An empty password would be nobody's login, which servers accept (RFC 4513 section 5.1.2).
        if password.is_empty() || !is_one_spelling(user) {
            return Answer::Unknown;
        }
        match self.bind(&dn(&self.dn, user), password) {
            Ok(0) => Answer::Accepted(Found::user(known_as(&self.dn, user))),
            // noSuchObject, invalidDNSyntax, inappropriateAuthentication, invalidCredentials
            Ok(32 | 34 | 48 | 49) => Answer::Unknown,
            Ok(code) => Answer::Temporary(format!("ldap: result {code}")),
            Err(e) => Answer::Temporary(format!("ldap: {}: {e}", self.server)),
        }
    }

    fn bind(&self, dn: &str, password: &str) -> io::Result<u8> {
        let address = self.server.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let mut socket = TcpStream::connect_timeout(&address, self.timeout)?;
        socket.set_read_timeout(Some(self.timeout))?;
        socket.set_write_timeout(Some(self.timeout))?;
        let Some(config) = &self.tls else { return converse(&mut socket, dn, password) };
        let host = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = rustls::ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        converse(&mut rustls::StreamOwned::new(connection, socket), dn, password)
    }
}

/// Servers compare names as RFC 4518 prepares them: blanks at the ends and wide or composed letters count for nothing. A user
/// under such a spelling would be another one to everything that knows users by name: limits, senders, `refuse_users`.
fn is_one_spelling(user: &str) -> bool {
    user.is_ascii() && !user.starts_with(' ') && !user.ends_with(' ') && !user.contains("  ")
}

/// The part of a login that the server has judged: where the pattern has no place for the domain, any would do.
fn known_as<'u>(pattern: &str, user: &'u str) -> &'u str {
    let local = user.split_once('@').map_or(user, |(local, _)| local);
    if pattern.contains("%u") || pattern.contains("%d") { user } else { local }
}

fn converse(stream: &mut (impl Read + Write), dn: &str, password: &str) -> io::Result<u8> {
    stream.write_all(&request(dn, password))?;
    stream.flush()?;
    let mut input = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        if let Some(code) = result(&input)? {
            let _ = stream.write_all(&element(0x30, &[&[0x02, 1, 2][..], &[0x42, 0]].concat()));
            return Ok(code);
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 || input.len() > MAX_ANSWER {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}

/// A BER element (X.690) with a definite length.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    let [a, b, c, d] = length;
    let mut out = vec![tag];
    match content.len() {
        0..=0x7f => out.push(d),
        0x80..=0xff => out.extend([0x81, d]),
        0x100..=0xffff => out.extend([0x82, c, d]),
        _ => out.extend([0x84, a, b, c, d]),
    }
    out.extend_from_slice(content);
    out
}

/// Message 1: bind, version 3, simple.
fn request(dn: &str, password: &str) -> Vec<u8> {
    let bind = [vec![0x02, 1, 3], element(0x04, dn.as_bytes()), element(0x80, password.as_bytes())].concat();
    element(0x30, &[vec![0x02, 1, 1], element(0x60, &bind)].concat())
}

/// An element's tag, content and what is behind; `None`: more must come.
type Split<'a> = Option<(u8, &'a [u8], &'a [u8])>;

fn split(input: &[u8]) -> io::Result<Split<'_>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "answer is no LDAP");
    let [tag, first, rest @ ..] = input else { return Ok(None) };
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let Some((digits, rest)) = rest.split_at_checked(count) else { return Ok(None) };
            (digits.iter().fold(0usize, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
        _ => return Err(malformed()),
    };
    if length > MAX_ANSWER {
        return Err(malformed());
    }
    Ok(rest.split_at_checked(length).map(|(content, rest)| (*tag, content, rest)))
}

/// The result code of the answer to message 1; `None`: more must come.
fn result(input: &[u8]) -> io::Result<Option<u8>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "answer is none to a bind");
    if input.first().is_some_and(|tag| *tag != 0x30) {
        return Err(malformed());
    }
    let Some((_, message, _)) = split(input)? else { return Ok(None) };
    let Some((0x02, [1], rest)) = split(message)? else { return Err(malformed()) };
    let Some((0x61, bind, _)) = split(rest)? else { return Err(malformed()) };
    match split(bind)? {
        Some((0x0a, [code], _)) => Ok(Some(*code)),
        _ => Err(malformed()),
    }
}

/// The pattern with the user in it, escaped (RFC 4514 section 2.4).
fn dn(pattern: &str, user: &str) -> String {
    let (local, domain) = user.split_once('@').unwrap_or((user, ""));
    let mut out = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => match letters.next() {
                Some('u') => out.push_str(&escape(user)),
                Some('n') => out.push_str(&escape(local)),
                Some('d') => out.push_str(&escape(domain)),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

/// Whatever is not a letter, a digit or harmless, as hexadecimal pairs.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("\\{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bind_and_its_answer() {
        let expected = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x04cn=a\x80\x03pwd";
        assert_eq!(request("cn=a", "pwd"), expected);
        assert!(request("cn=a", &"x".repeat(300)).starts_with(b"\x30\x82"));
        let answer = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00";
        for cut in 0..answer.len() {
            assert_eq!(result(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(result(answer).unwrap(), Some(49));
        for wrong in
            [&b"HTTP/1.1 200"[..], b"\x30\x80", b"\x30\x03\x02\x01\x02", b"\x30\x05\x02\x01\x01\x65\x00", b"\x30\x84\xff\xff\xff\xff"]
        {
            assert!(result(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_user_name_cannot_leave_its_place() {
        assert_eq!(dn("uid=%n,dc=%d,o=100%%", "tim@example.org"), "uid=tim,dc=example.org,o=100%");
        assert_eq!(dn("uid=%u,o=x", "a,o=b+c=\u{e4}"), "uid=a\\2co\\3db\\2bc\\3d\\c3\\a4,o=x");
    }

    #[test]
    fn a_user_has_one_name() {
        for (user, fits) in [("tim", true), ("tim b", true), (" tim", false), ("tim ", false), ("a  b", false), ("\u{ff54}im", false)] {
            assert_eq!(is_one_spelling(user), fits, "{user:?}");
        }
        // Nobody is asked: there is no such server.
        let ldap = Ldap { server: "192.0.2.1:1".into(), tls: None, dn: "uid=%n".into(), timeout: Duration::from_millis(1) };
        assert_eq!(ldap.ask("tim ", "pencil"), Answer::Unknown);
        for (pattern, name) in [("uid=%n,o=x", "tim"), ("uid=%n,dc=%d", "tim@example.org"), ("mail=%u", "tim@example.org")] {
            assert_eq!(known_as(pattern, "tim@example.org"), name, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_answer(input in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = result(&input);
            let framed = element(0x30, &input);
            let _ = result(&framed);
        }
    }
}
