//! One dialogue at one server.

use super::Cut;
use super::pattern::{fits, fits_one};
use super::script::{Action, Script};
use super::wire::Wire;
use std::fmt;
use std::time::Duration;

/// Where a server did not do as the dialogue says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub name: String,
    pub line: usize,
    pub cut: Cut,
    /// The last thing the client sent, shortened.
    pub sent: String,
    pub expected: String,
    pub got: String,
    /// The dialogue says that Postfix does so.
    pub foreseen: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line, cut, sent, expected, got, .. } = self;
        write!(f, "{name}:{line} ({cut:?}): after {sent:?} expected {expected:?}, got {got:?}")
    }
}

/// A finished dialogue.
#[derive(Debug, Default)]
pub struct Played {
    pub differences: Vec<Difference>,
}

struct Player<'s> {
    script: &'s Script,
    cut: Cut,
    wire: Wire,
    last: String,
    sent: String,
    /// Replies so far on this connection: the first is the greeting.
    replies: usize,
    differences: Vec<Difference>,
    /// House rules hold: replies carry enhanced codes.
    strict: bool,
}

/// Nothing depends on speed: this ends a hopeless wait.
const PATIENCE: Duration = Duration::from_secs(90);
/// For a server that is only compared with: it may not answer at all where we do.
const SHORT: Duration = Duration::from_secs(3);

/// Plays `script` at the server on `port`. A strict play ends at the first difference.
pub fn play(script: &Script, port: u16, cut: Cut, strict: bool) -> Played {
    let open = || Wire::open(port, cut, if strict { PATIENCE } else { SHORT }).expect("the server listens");
    let wire = open();
    let mut player = Player { script, cut, wire, last: String::new(), sent: String::new(), replies: 0, differences: Vec::new(), strict };
    let mut lost = false;
    for (line, action) in &script.actions {
        match action {
            Action::Again if lost && strict => break,
            Action::Again => {
                (player.wire, player.replies, lost) = (open(), 0, false);
            }
            _ if lost => {}
            action => lost = !player.act(*line, action),
        }
    }
    Played { differences: player.differences }
}

impl Player<'_> {
    fn differs(&mut self, line: usize, expected: &str, got: String, foreseen: bool) {
        let (name, sent) = (self.script.name.clone(), self.sent.clone());
        self.differences.push(Difference { name, line, cut: self.cut, sent, expected: expected.to_owned(), got, foreseen });
    }

    /// False: the dialogue cannot go on.
    fn act(&mut self, line: usize, action: &Action) -> bool {
        match action {
            Action::Send(bytes) => {
                self.sent = shortened(bytes);
                self.wire.send(bytes);
                true
            }
            Action::Hear { times, pattern, postfix } => (0..*times).all(|_| self.hear(line, pattern, postfix.as_deref())),
            Action::Last { pattern, fits: wanted } => {
                if fits(pattern, &self.last) != *wanted {
                    let word = if *wanted { "has" } else { "lacks" };
                    self.differs(line, &format!("{word} {pattern}"), self.last.clone(), false);
                    return !self.strict;
                }
                true
            }
            Action::Tls { alpn, refused } => {
                let done = self.wire.secure(alpn.as_deref());
                if done == *refused {
                    self.differs(line, if done { "no handshake" } else { "a handshake" }, "the contrary".to_owned(), false);
                    return done && !self.strict;
                }
                true
            }
            Action::Close { postfix } => match self.wire.reply() {
                Ok(None) => true,
                Err(fault) if fault == "no reply" => {
                    self.differs(line, "close", "the connection stays".to_owned(), !postfix);
                    false
                }
                other => {
                    self.differs(line, "close", format!("{other:?}"), !postfix);
                    !self.strict
                }
            },
            Action::Again => true,
        }
    }

    fn hear(&mut self, line: usize, pattern: &str, postfix: Option<&str>) -> bool {
        let reply = match self.wire.reply() {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                self.differs(line, pattern, "closed".to_owned(), is_foreseen(postfix, "closed"));
                return false;
            }
            Err(fault) => {
                let word = if fault == "no reply" { "nothing" } else { "malformed" };
                self.differs(line, pattern, fault, is_foreseen(postfix, word));
                return false;
            }
        };
        self.replies += 1;
        self.last.clone_from(&reply);
        if self.strict && self.replies > 1 && !has_status(&reply) && !self.is_free_of_status() {
            self.differs(line, "an enhanced status code", reply, false);
            return false;
        }
        if fits_one(pattern, &reply) {
            return true;
        }
        let foreseen = postfix.is_some_and(|pattern| fits_one(pattern, &reply));
        self.differs(line, pattern, reply, foreseen);
        !self.strict
    }

    /// Greetings and the 3xx replies carry none (RFC 2034 section 4).
    fn is_free_of_status(&self) -> bool {
        let greeting = ["EHLO", "HELO", "LHLO"].iter().any(|word| self.sent.to_ascii_uppercase().contains(word));
        self.last.starts_with('3') || (greeting && self.last.starts_with("250 ")) || self.last.starts_with("220 ")
    }
}

/// One of the words for no reply among what Postfix says.
fn is_foreseen(postfix: Option<&str>, word: &str) -> bool {
    postfix.is_some_and(|patterns| patterns.split(" | ").any(|pattern| pattern == word))
}

/// RFC 2034: class, subject and detail, and the class is that of the code.
fn has_status(reply: &str) -> bool {
    let Some(status) = reply.split(' ').nth(1) else { return false };
    let numbers: Vec<&str> = status.split('.').collect();
    let number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    numbers.len() == 3 && numbers.iter().all(|text| number(text)) && reply.as_bytes().first() == status.as_bytes().first()
}

fn shortened(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() > 120 { format!("{}... ({} bytes)", &text[..120], bytes.len()) } else { text }
}
