//! SOCKS5: method, perhaps a login, then CONNECT.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const USER_PASSWORD: u8 = 2;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why the proxy makes no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What it sent is not SOCKS5.
    NotSocks,
    NoMethod,
    LoginRefused,
    /// The reply code of RFC 1928 section 6.
    Refused(u8),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            Self::NotSocks => "it does not speak SOCKS5",
            Self::NoMethod => "it accepts no login method of ours",
            Self::LoginRefused => "it refused our login",
            Self::Refused(1) => "general failure",
            Self::Refused(2) => "not allowed",
            Self::Refused(3) => "network unreachable",
            Self::Refused(4) => "host unreachable",
            Self::Refused(5) => "connection refused",
            Self::Refused(6) => "timed out",
            Self::Refused(7) => "it cannot connect for others",
            Self::Refused(8) => "address type not supported",
            Self::Refused(_) => "refused",
        };
        write!(f, "the proxy made no connection: {why}")
    }
}

impl std::error::Error for Fault {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Method,
    Login,
    Connect,
    Open,
}

/// One connection being asked for.
pub struct Socks5 {
    target: SocketAddr,
    login: Option<(String, String)>,
    step: Step,
    /// An incomplete answer; none is longer than 262 bytes.
    partial: Vec<u8>,
}

/// Without the password.
impl fmt::Debug for Socks5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5").field("target", &self.target).field("step", &self.step).finish_non_exhaustive()
    }
}

impl Socks5 {
    /// Asks for a connection to `target`; user and password are cut at 255 bytes each, which the protocol allows.
    pub fn begin(target: SocketAddr, login: Option<(String, String)>, out: &mut Vec<u8>) -> Self {
        match login {
            Some(_) => out.extend_from_slice(&[VERSION, 2, NO_LOGIN, USER_PASSWORD]),
            None => out.extend_from_slice(&[VERSION, 1, NO_LOGIN]),
        }
        Self { target, login, step: Step::Method, partial: Vec::new() }
    }

    pub fn is_open(&self) -> bool {
        self.step == Step::Open
    }

    /// Takes the proxy's bytes off `input`, up to the last of its own, and appends what is to be sent. True once the
    /// connection stands: the rest of `input` comes from the server.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        while self.step != Step::Open {
            let Some(wanted) = self.wanted()?.filter(|wanted| self.partial.len() >= *wanted) else {
                let Some((first, rest)) = input.split_first() else { return Ok(false) };
                self.partial.push(*first);
                *input = rest;
                continue;
            };
            debug_assert_eq!(wanted, self.partial.len());
            let answer = std::mem::take(&mut self.partial);
            self.answered(&answer, out)?;
        }
        Ok(true)
    }

    /// Bytes of the whole answer, once it is known.
    fn wanted(&self) -> Result<Option<usize>, Fault> {
        if self.step != Step::Connect {
            return Ok(Some(2));
        }
        match (self.partial.get(3), self.partial.get(4)) {
            (None, _) => Ok(None),
            (Some(&IPV4), _) => Ok(Some(10)),
            (Some(&IPV6), _) => Ok(Some(22)),
            (Some(&NAME), length) => Ok(length.map(|length| 7 + usize::from(*length))),
            // Some proxies send only zeros behind a refusal.
            (Some(_), _) => match self.partial.get(1) {
                Some(code) if *code != 0 => Err(Fault::Refused(*code)),
                _ => Err(Fault::NotSocks),
            },
        }
    }

    fn answered(&mut self, answer: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let (version, code) = (answer.first().copied(), answer.get(1).copied().unwrap_or(1));
        let expected = if self.step == Step::Login { LOGIN_VERSION } else { VERSION };
        if version != Some(expected) {
            return Err(Fault::NotSocks);
        }
        match (self.step, code) {
            (Step::Method, NO_LOGIN) | (Step::Login, 0) => self.connect(out),
            (Step::Method, USER_PASSWORD) if self.login.is_some() => self.log_in(out),
            (Step::Method, _) => return Err(Fault::NoMethod),
            (Step::Login, _) => return Err(Fault::LoginRefused),
            (_, 0) => self.step = Step::Open,
            (_, code) => return Err(Fault::Refused(code)),
        }
        Ok(())
    }

    fn log_in(&mut self, out: &mut Vec<u8>) {
        out.push(LOGIN_VERSION);
        let (user, password) = self.login.take().unwrap_or_default();
        for word in [user, password] {
            let word = word.as_bytes();
            let word = word.get(..word.len().min(255)).unwrap_or_default();
            out.push(u8::try_from(word.len()).unwrap_or(0));
            out.extend_from_slice(word);
        }
        self.step = Step::Login;
    }

    fn connect(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, CONNECT, 0]);
        match self.target.ip() {
            IpAddr::V4(ip) => {
                out.push(IPV4);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(IPV6);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.target.port().to_be_bytes());
        self.step = Step::Connect;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target() -> SocketAddr {
        "192.0.2.1:25".parse().unwrap()
    }

    #[test]
    fn with_login_and_byte_by_byte() {
        let mut out = Vec::new();
        let mut socks = Socks5::begin(target(), Some(("me".into(), "secret".into())), &mut out);
        assert_eq!(std::mem::take(&mut out), [5, 2, 0, 2]);
        let answers = [&[5u8, 2][..], &[1, 0], &[5, 0, 0, 3, 4, b'h', b'o', b's', b't', 0, 25], b"220 mx\r\n"].concat();
        let mut sent = Vec::new();
        for (at, byte) in answers.iter().enumerate() {
            let mut piece = std::slice::from_ref(byte);
            let open = socks.receive(&mut piece, &mut out).unwrap();
            sent.append(&mut out);
            assert_eq!(open, at >= 14, "{at}");
            assert_eq!(piece.len(), usize::from(at > 14), "{at}");
        }
        assert_eq!(sent, [&[1u8, 2, b'm', b'e', 6][..], b"secret", &[5, 1, 0, 1, 192, 0, 2, 1, 0, 25]].concat());
        assert!(!format!("{socks:?}").contains("secret"));
    }

    #[test]
    fn refusals() {
        for (answers, fault) in [
            (&[4u8, 0][..], Fault::NotSocks),
            (b"SSH-", Fault::NotSocks),
            (&[5, 255], Fault::NoMethod),
            (&[5, 2], Fault::NoMethod),
            (&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], Fault::Refused(5)),
            (&[5, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0], Fault::Refused(1)),
            (&[5, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 0], Fault::NotSocks),
            (&[5, 0, 5, 0, 0, 9], Fault::NotSocks),
        ] {
            let mut out = Vec::new();
            let mut socks = Socks5::begin(target(), None, &mut out);
            assert_eq!(socks.receive(&mut &answers[..], &mut out), Err(fault), "{answers:?}");
        }
        let mut out = Vec::new();
        let mut socks = Socks5::begin(target(), Some(("u".into(), "p".into())), &mut out);
        assert_eq!(socks.receive(&mut &[5, 2, 1, 1][..], &mut out), Err(Fault::LoginRefused));
    }

    proptest! {
        #[test]
        fn cut_anywhere_the_rest_is_the_servers(bound in proptest::collection::vec(any::<u8>(), 0..255), cut in 0usize..300, six: bool) {
            let reply = if six { [&[5u8, 0, 0, 4][..], &[0; 18]].concat() } else { [&[5, 0, 0, 3, u8::try_from(bound.len()).unwrap()][..], &bound, &[0, 25]].concat() };
            let answers = [&[5u8, 0][..], &reply, b"220 hello\r\n"].concat();
            let cut = cut.min(answers.len());
            let mut out = Vec::new();
            let mut socks = Socks5::begin(target(), None, &mut out);
            let (mut one, mut two) = answers.split_at(cut);
            let early = socks.receive(&mut one, &mut out).unwrap();
            let late = socks.receive(&mut two, &mut out).unwrap();
            prop_assert!(late && (!early || cut >= 2 + reply.len()));
            prop_assert_eq!([one, two].concat(), b"220 hello\r\n");
        }

        #[test]
        fn any_bytes(answers in proptest::collection::vec(any::<u8>(), 0..600), login: bool) {
            let mut out = Vec::new();
            let mut socks = Socks5::begin(target(), login.then(|| ("u".into(), "p".into())), &mut out);
            let mut input = answers.as_slice();
            let _ = socks.receive(&mut input, &mut out);
            prop_assert!(out.len() < 100 && socks.partial.len() <= 262);
        }
    }
}
