//! A password check by a simple bind at an LDAP server (RFC 4511 section 4.2). Blocking, on threads of the pool; a
//! connection for each question, and one deadline for all of it.

use crate::{Answer, Found};
use ber::{Content, ENUMERATED, INTEGER, Malformed, OCTETS, SEQUENCE, element, number};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tablelink::{Link, Place, Trouble};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

const BIND: u8 = 0x60;
const BIND_ANSWER: u8 = 0x61;
/// Without content: the end.
const UNBIND: &[u8] = &[0x42, 0];
/// Of a password that is shown as it is.
const SIMPLE: u8 = 0x80;

/// The server, and how to ask it.
#[derive(Debug, Clone)]
pub struct Ldap {
    pub server: Place,
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
            Err(trouble) => Answer::Temporary(format!("ldap: {}", trouble.at(&self.server.to_string()).reason)),
        }
    }

    fn bind(&self, dn: &str, password: &str) -> Result<u32, Trouble> {
        let mut link = Link::connect(&self.server, Instant::now() + self.timeout)?;
        if let Some(config) = &self.tls {
            let Place::Host { host, .. } = &self.server else { return Err(Trouble::broken("TLS needs the name of a host")) };
            link = link.secure(config, host)?;
        }
        link.send(&request(dn, password))?;
        let code = result(&link.element(SEQUENCE, MAX_ANSWER)?).map_err(|Malformed| Trouble::malformed("its answer is none to a bind"))?;
        let _ = link.send(&element(SEQUENCE, &[&number(INTEGER, 2)[..], UNBIND].concat()));
        Ok(code)
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

/// Message 1: bind, version 3, simple.
fn request(dn: &str, password: &str) -> Vec<u8> {
    let bind = [number(INTEGER, 3), element(OCTETS, dn.as_bytes()), element(SIMPLE, password.as_bytes())].concat();
    element(SEQUENCE, &[number(INTEGER, 1), element(BIND, &bind)].concat())
}

/// The result code of the answer to message 1.
fn result(message: &[u8]) -> Result<u32, Malformed> {
    let mut message = Content(message);
    match message.number(INTEGER)? {
        1 => message.element(BIND_ANSWER)?.number(ENUMERATED),
        _ => Err(Malformed),
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
    use std::io::{Read, Write};

    #[test]
    fn the_bind_and_its_answer() {
        let expected = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x04cn=a\x80\x03pwd";
        assert_eq!(request("cn=a", "pwd"), expected);
        assert!(request("cn=a", &"x".repeat(300)).starts_with(b"\x30\x82"));
        assert_eq!(result(b"\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00"), Ok(49));
        for wrong in [&b""[..], b"\x02\x01\x01", b"\x02\x01\x02\x61\x07\x0a\x01\x31\x04\x00\x04\x00", b"\x02\x01\x01\x65\x03\x0a\x01\x00"] {
            assert!(result(wrong).is_err(), "{wrong:?}");
        }
    }

    /// The answer where the server says this at once, and then one byte after the other for longer than anybody has.
    fn asked(says: &'static [u8], timeout: u64) -> Answer {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::parse(&server.local_addr().unwrap().to_string(), 0).unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = server.accept().unwrap();
            let _ = socket.read(&mut [0; 1000]);
            let mut sent = socket.write_all(says);
            while sent.is_ok() {
                std::thread::sleep(Duration::from_millis(10));
                sent = socket.write_all(&[0]);
            }
        });
        Ldap { server: place, tls: None, dn: "uid=%n".into(), timeout: Duration::from_secs(timeout) }.ask("tim", "pencil")
    }

    #[test]
    fn what_is_no_answer_neither_accepts_nor_refuses() {
        assert_eq!(asked(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\x00\x04\x00", 60), Answer::Unknown);
        for (says, timeout, why) in [
            (&b"HTTP/1.1 200"[..], 60, "no LDAP"),
            (b"\x30\x80", 60, "no LDAP"),
            (b"\x30\x84\xff\xff\xff\xff", 60, "4294967295 bytes"),
            (b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x31\x04\x00\x04\x00", 60, "none to a bind"),
            (b"\x30\x82\x3f\xff", 1, "in time"),
        ] {
            let answer = asked(says, timeout);
            assert!(matches!(&answer, Answer::Temporary(text) if text.contains(why)), "{answer:?}");
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
        let ldap =
            Ldap { server: Place::parse("192.0.2.1:1", 0).unwrap(), tls: None, dn: "uid=%n".into(), timeout: Duration::from_millis(1) };
        assert_eq!(ldap.ask("tim ", "pencil"), Answer::Unknown);
        for (pattern, name) in [("uid=%n,o=x", "tim"), ("uid=%n,dc=%d", "tim@example.org"), ("mail=%u", "tim@example.org")] {
            assert_eq!(known_as(pattern, "tim@example.org"), name, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_answer(input in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = result(&input);
            let _ = result(&[&number(INTEGER, 1)[..], &input].concat());
        }
    }
}
