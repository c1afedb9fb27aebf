//! Dovecot's auth client protocol (its doc/auth-protocol.txt), version 1, without I/O: lines of fields with tabs between.
//!
//! What comes is not believed further than one login: a line that is none, a user given twice, a login as uid 0 or as
//! nobody are faults or temporary failures, and lines are bounded.

use data_encoding::BASE64;
use std::net::IpAddr;

/// Longest line of Dovecot's in bytes: a challenge of 16 KiB in base64, and fields.
const MAX_LINE: usize = 32 * 1024;
/// Lines of the handshake.
const MAX_GREETING: usize = 1000;

/// A login that Dovecot is to judge.
#[derive(Clone)]
pub struct Request {
    pub mechanism: String,
    pub initial: Option<Vec<u8>>,
    pub peer: IpAddr,
    pub local: IpAddr,
    pub tls: bool,
}

/// What Dovecot says of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Challenge(Vec<u8>),
    Accepted {
        user: String,
    },
    Refused {
        user: Option<String>,
    },
    Temporary(String),
    /// Dovecot does not know this mechanism.
    Mechanism,
}

/// The conversation so far.
#[derive(Debug, Default)]
pub struct Dialogue {
    input: Vec<u8>,
    /// Handshake lines so far; `DONE` has come when `ready`.
    greeting: usize,
    versioned: bool,
    ready: bool,
    mechanisms: Vec<String>,
}

impl Dialogue {
    /// What we say first. Dovecot wants another number for each connection.
    pub fn hello(number: u32) -> String {
        format!("VERSION\t1\t1\nCPID\t{number}\n")
    }

    /// The handshake is over; requests may be said.
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    pub fn knows(&self, mechanism: &str) -> bool {
        self.mechanisms.iter().any(|known| known.eq_ignore_ascii_case(mechanism))
    }

    /// Takes what came; gives verdicts by number. `Err`: this is no Dovecot, or one that is out of its mind.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<(u32, Verdict)>, &'static str> {
        self.input.extend_from_slice(bytes);
        let mut verdicts = Vec::new();
        while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            if line.len() > MAX_LINE {
                return Err("a line without end");
            }
            let line = std::str::from_utf8(line).map_err(|_| "a line that is no text")?;
            verdicts.extend(self.line(line)?);
        }
        if self.input.len() > MAX_LINE { Err("a line without end") } else { Ok(verdicts) }
    }

    fn line(&mut self, line: &str) -> Result<Option<(u32, Verdict)>, &'static str> {
        let mut fields = line.split('\t');
        let command = fields.next().unwrap_or_default();
        if !self.ready {
            self.greeted(command, fields)?;
            return Ok(None);
        }
        let verdict = match command {
            "OK" | "FAIL" | "CONT" => {
                let number = fields.next().and_then(|n| n.parse().ok()).ok_or("an answer without a number")?;
                let fields: Vec<&str> = fields.collect();
                (
                    number,
                    match command {
                        "OK" => accepted(&fields),
                        "FAIL" => refused(&fields),
                        _ => challenge(&fields),
                    },
                )
            }
            // Dovecot may say more of the handshake's words later; what is not known is not for us.
            _ => return Ok(None),
        };
        Ok(Some(verdict))
    }

    fn greeted<'a>(&mut self, command: &str, mut fields: impl Iterator<Item = &'a str>) -> Result<(), &'static str> {
        self.greeting = self.greeting.saturating_add(1);
        if self.greeting > MAX_GREETING {
            return Err("a handshake without end");
        }
        match command {
            "VERSION" if fields.next() == Some("1") => self.versioned = true,
            "VERSION" => return Err("another version of the protocol"),
            "MECH" => self.mechanisms.extend(fields.next().map(str::to_owned)),
            "DONE" if self.versioned => self.ready = true,
            "DONE" => return Err("a handshake without a version"),
            "OK" | "FAIL" | "CONT" => return Err("an answer before the handshake"),
            _ => {}
        }
        Ok(())
    }
}

/// A request as a line. `mechanism` is a token of ours; the response stands last, as Dovecot wants it.
pub fn request(number: u32, request: &Request) -> String {
    let mut line = format!("AUTH\t{number}\t{}\tservice=smtp\tlip={}\trip={}", request.mechanism, request.local, request.peer);
    if request.tls {
        line.push_str("\tsecured");
    }
    if let Some(initial) = &request.initial {
        line.push_str("\tresp=");
        line.push_str(&BASE64.encode(initial));
    }
    line.push('\n');
    line
}

pub fn response(number: u32, response: &[u8]) -> String {
    format!("CONT\t{number}\t{}\n", BASE64.encode(response))
}

pub fn cancel(number: u32) -> String {
    format!("CANCEL\t{number}\n")
}

fn challenge(fields: &[&str]) -> Verdict {
    match fields.first().map_or(Ok(Vec::new()), |text| BASE64.decode(text.as_bytes())) {
        Ok(bytes) if bytes.len() <= ipc::auth::LONGEST => Verdict::Challenge(bytes),
        _ => Verdict::Temporary("dovecot: a challenge that is no base64".to_owned()),
    }
}

fn accepted(fields: &[&str]) -> Verdict {
    let temporary = |text: &str| Verdict::Temporary(format!("dovecot: {text}"));
    for name in ["user", "uid", "gid"] {
        if fields.iter().filter(|field| value(field, name).is_some()).count() > 1 {
            return temporary("an answer with a field twice");
        }
    }
    for name in ["uid", "gid"] {
        match fields.iter().find_map(|field| value(field, name)).map(str::parse::<u32>) {
            None | Some(Ok(1..)) => {}
            Some(Ok(0)) => return temporary("a login as root"),
            Some(Err(_)) => return temporary("an answer with a user number that is none"),
        }
    }
    match user(fields) {
        Some(user) => Verdict::Accepted { user },
        None => temporary("an answer without a user"),
    }
}

fn refused(fields: &[&str]) -> Verdict {
    if fields.iter().any(|field| *field == "temp" || value(field, "code") == Some("temp_fail")) {
        return Verdict::Temporary("dovecot: temporary failure; see its log".to_owned());
    }
    Verdict::Refused { user: user(fields) }
}

fn user(fields: &[&str]) -> Option<String> {
    let name = unescape(fields.iter().find_map(|field| value(field, "user"))?)?;
    (!name.is_empty() && name.len() <= 255 && !name.chars().any(char::is_control)).then_some(name)
}

fn value<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    field.strip_prefix(name)?.strip_prefix('=')
}

/// 0x01 is Dovecot's escape.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\u{1}' => match letters.next()? {
                '1' => '\u{1}',
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                '0' => '\0',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GREETING: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\nSPID\t7\nCUID\t1\nCOOKIE\tx\nDONE\n";

    fn ready() -> Dialogue {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.feed(GREETING.as_bytes()).unwrap(), []);
        assert!(dialogue.is_ready() && dialogue.knows("plain") && !dialogue.knows("LOGIN"));
        dialogue
    }

    fn one(line: &str) -> Verdict {
        ready().feed(line.as_bytes()).unwrap().remove(0).1
    }

    #[test]
    fn what_dovecot_says() {
        let mut dialogue = ready();
        let said = dialogue.feed(b"CONT\t1\tPDE+\nOK\t2\tuser=tim\tsecret\nFAIL\t3\tuser=ann\treason=x\nFAIL\t4\tuser=ann\tte").unwrap();
        let challenge = Verdict::Challenge(b"<1>".to_vec());
        let refused = Verdict::Refused { user: Some("ann".into()) };
        assert_eq!(said, [(1, challenge), (2, Verdict::Accepted { user: "tim".into() }), (3, refused)]);
        assert!(matches!(dialogue.feed(b"mp\n").unwrap()[0], (4, Verdict::Temporary(_))));
    }

    /// Hostile answers: nobody logs in by one.
    #[test]
    fn answers_that_are_none() {
        for line in [
            "OK\t1\n",
            "OK\t1\tuser=\n",
            "OK\t1\tuser=a\tuser=b\n",
            "OK\t1\tuser=a\tuid=0\n",
            "OK\t1\tuser=a\tuid=5\tuid=0\n",
            "OK\t1\tuser=a\tgid=99999999999999\n",
            "OK\t1\tuser=a\tuid=-1\n",
            "OK\t1\tuser=a\u{1}tb\n",
            "OK\t1\tuser=a\u{1}\n",
            "CONT\t1\t%%%\n",
            "FAIL\t1\tcode=temp_fail\n",
        ] {
            assert!(matches!(one(line), Verdict::Temporary(_)), "{line:?}");
        }
        for line in ["OK\n", "OK\tx\tuser=a\n", "OK\t-1\tuser=a\n", "OK\t99999999999\tuser=a\n"] {
            assert!(ready().feed(line.as_bytes()).is_err(), "{line:?}");
        }
        assert!(ready().feed(&[b'x'; MAX_LINE + 1]).is_err());
        assert!(ready().feed(b"OK\t1\tuser=\xff\n").is_err());
        assert!(Dialogue::default().feed(b"OK\t1\tuser=a\n").is_err(), "before the handshake");
        assert!(Dialogue::default().feed(b"VERSION\t2\t0\n").is_err());
        assert!(Dialogue::default().feed(b"DONE\n").is_err());
        assert!(Dialogue::default().feed(&b"X\n".repeat(MAX_GREETING + 1)).is_err());
    }

    #[test]
    fn what_we_say() {
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let all = Request { mechanism: "PLAIN".into(), initial: Some(b"\0u\0p".to_vec()), peer, local: peer, tls: true };
        assert_eq!(request(7, &all), "AUTH\t7\tPLAIN\tservice=smtp\tlip=192.0.2.1\trip=192.0.2.1\tsecured\tresp=AHUAcA==\n");
        let none = Request { initial: None, tls: false, ..all };
        assert_eq!(request(7, &none), "AUTH\t7\tPLAIN\tservice=smtp\tlip=192.0.2.1\trip=192.0.2.1\n");
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in proptest::collection::vec(
            prop_oneof![
                "((OK|FAIL|CONT|MECH|DONE|VERSION)\t[0-9]{0,11}(\t(user|uid|gid|code|resp)=[a-z0-9\u{1}]{0,5}){0,3}\n){0,3}".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..40),
            ], 0..6), greeted: bool) {
            let mut dialogue = if greeted { ready() } else { Dialogue::default() };
            for piece in &pieces {
                let Ok(verdicts) = dialogue.feed(piece) else { break };
                for (_, verdict) in verdicts {
                    if let Verdict::Accepted { user } = verdict {
                        prop_assert!(!user.is_empty() && !user.contains('\n'));
                    }
                }
            }
        }
    }
}
