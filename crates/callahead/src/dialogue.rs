//! The dialogue of a call ahead: bytes in, bytes and verdicts out. No socket, no clock.

use ipc::callahead::Verdict;
use smtp::client::{Extensions, Flavour};
use smtp::reply_reader::{ReplyReader, WireReply};
use status::Reply;
use std::io::Write as _;

/// Bytes of a recipient at most: more than an address may have (RFC 5321 section 4.5.3.1), less than a line.
const MOST_RECIPIENT: usize = 900;
/// Bytes of a reply's text that are kept.
const MOST_TEXT: usize = 400;

/// The command whose reply comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Greeting,
    Hello,
    /// HELO after a refused EHLO.
    OldHello,
    Mail,
    Rcpt,
    Reset,
    /// None: the next question may be put.
    Nothing,
    /// The session is over.
    End,
}

/// A session with a next hop.
#[derive(Debug)]
pub struct Dialogue {
    flavour: Flavour,
    hello: String,
    reader: ReplyReader,
    offered: Extensions,
    awaiting: Awaiting,
    recipient: Option<String>,
}

/// What bytes of the next hop led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The recipient's verdict.
    Said(Verdict),
    /// The session is over; a recipient in question has not been decided.
    Ended(String),
}

impl Dialogue {
    /// A session whose connection is being made; the server speaks first.
    pub fn new(flavour: Flavour, hello: String) -> Self {
        let (reader, offered) = (ReplyReader::default(), Extensions::default());
        Self { flavour, hello, reader, offered, awaiting: Awaiting::Greeting, recipient: None }
    }

    pub fn is_over(&self) -> bool {
        self.awaiting == Awaiting::End
    }

    /// Asks about a recipient, at once or when the session is ready. `Some`: it cannot be asked about.
    pub fn ask(&mut self, recipient: &str, out: &mut Vec<u8>) -> Option<Verdict> {
        let Some(recipient) = spelled(recipient) else { return Some(Verdict::Unknown("the address cannot be asked about".to_owned())) };
        self.recipient = Some(recipient);
        if self.awaiting == Awaiting::Nothing { self.mail(out) } else { None }
    }

    /// Ends a session that has no question.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        if self.awaiting == Awaiting::Nothing {
            out.extend_from_slice(b"QUIT\r\n");
        }
        self.awaiting = Awaiting::End;
    }

    /// Takes bytes of the server and appends the commands that follow.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Vec<Event> {
        let (mut rest, mut events) = (input, Vec::new());
        // A reply that came before its question was sent is no answer to it.
        let mut answerable = true;
        while self.awaiting != Awaiting::End {
            match self.reader.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(_)) if !answerable || self.awaiting == Awaiting::Nothing => events.push(self.end("the server spoke unasked")),
                Ok(Some(reply)) => {
                    answerable = false;
                    events.extend(self.replied(reply, out));
                }
                Err(error) => events.push(self.end(&error.to_string())),
            }
        }
        events
    }

    fn end(&mut self, why: &str) -> Event {
        self.awaiting = Awaiting::End;
        Event::Ended(why.to_owned())
    }

    fn replied(&mut self, reply: WireReply, out: &mut Vec<u8>) -> Option<Event> {
        let code = reply.code;
        if self.awaiting == Awaiting::Hello && code / 100 == 2 {
            self.offered = Extensions::parse(&reply);
        }
        let reply = short(reply.into_reply());
        if code == 421 {
            return Some(self.end(&format!("the server said {reply}")));
        }
        match (self.awaiting, code / 100) {
            (Awaiting::Greeting, 2) => self.hello(out),
            (Awaiting::Hello | Awaiting::OldHello | Awaiting::Reset, 2) => return self.ready(out),
            (Awaiting::Hello, 5) if self.flavour == Flavour::Smtp => {
                let _ = write!(out, "HELO {}\r\n", self.hello);
                self.awaiting = Awaiting::OldHello;
            }
            (Awaiting::Mail, 2) => {
                let _ = write!(out, "RCPT TO:<{}>\r\n", self.recipient.as_deref().unwrap_or_default());
                self.awaiting = Awaiting::Rcpt;
            }
            (Awaiting::Mail, _) => return Some(self.decided(Verdict::Unknown(format!("MAIL FROM:<> was answered {reply}")), out)),
            (Awaiting::Rcpt, 2) => return Some(self.decided(Verdict::Taken, out)),
            (Awaiting::Rcpt, 5) => return Some(self.decided(Verdict::Refused(reply), out)),
            (Awaiting::Rcpt, _) => return Some(self.decided(Verdict::Unknown(format!("the server said {reply}")), out)),
            _ => return Some(self.end(&format!("the server said {reply}"))),
        }
        None
    }

    fn hello(&mut self, out: &mut Vec<u8>) {
        let verb = if self.flavour == Flavour::Lmtp { "LHLO" } else { "EHLO" };
        let _ = write!(out, "{verb} {}\r\n", self.hello);
        self.awaiting = Awaiting::Hello;
    }

    fn ready(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        self.awaiting = Awaiting::Nothing;
        if self.recipient.is_none() { None } else { self.mail(out).map(Event::Said) }
    }

    fn mail(&mut self, out: &mut Vec<u8>) -> Option<Verdict> {
        let beyond_ascii = self.recipient.as_ref().is_some_and(|recipient| !recipient.is_ascii());
        if beyond_ascii && !self.offered.smtputf8 {
            self.recipient = None;
            return Some(Verdict::Unknown("the server does not offer SMTPUTF8".to_owned()));
        }
        out.extend_from_slice(if beyond_ascii { b"MAIL FROM:<> SMTPUTF8\r\n" } else { b"MAIL FROM:<>\r\n" });
        self.awaiting = Awaiting::Mail;
        None
    }

    fn decided(&mut self, verdict: Verdict, out: &mut Vec<u8>) -> Event {
        self.recipient = None;
        out.extend_from_slice(b"RSET\r\n");
        self.awaiting = Awaiting::Reset;
        Event::Said(verdict)
    }
}

/// The address for the wire: its domain in A-labels, nothing that could end the path or the line.
fn spelled(recipient: &str) -> Option<String> {
    let (local, domain) = recipient.rsplit_once('@')?;
    let hostile = recipient.len() > MOST_RECIPIENT || recipient.chars().any(char::is_control);
    let unquoted = !local.starts_with('"') && local.contains(['<', '>', ' ']);
    let domain = address::normalise(domain).ok()?;
    (!hostile && !unquoted && !local.is_empty()).then(|| format!("{local}@{domain}"))
}

fn short(mut reply: Reply) -> Reply {
    reply.text.truncate(reply.text.floor_char_boundary(MOST_TEXT));
    reply
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use status::Enhanced;

    /// Plays a session: replies of the server, commands expected after each, `=` a verdict.
    fn play(flavour: Flavour, recipient: &str, script: &[(&str, &str)]) -> Vec<Event> {
        let (mut dialogue, mut events) = (Dialogue::new(flavour, "us.example".into()), Vec::new());
        let mut out = Vec::new();
        assert_eq!(dialogue.ask(recipient, &mut out), None);
        for (reply, expected) in script {
            out.clear();
            events.extend(dialogue.receive(format!("{reply}\r\n").as_bytes(), &mut out));
            assert_eq!(String::from_utf8_lossy(&out).replace("\r\n", ""), *expected, "after {reply}");
        }
        events
    }

    #[test]
    fn taken_refused_and_neither() {
        let until_rcpt = [("220 hi", "EHLO us.example"), ("250 ok", "MAIL FROM:<>"), ("250 ok", "RCPT TO:<a@b.example>")];
        let after = |reply| {
            let script = [until_rcpt.as_slice(), &[(reply, "RSET"), ("250 ok", "")]].concat();
            play(Flavour::Smtp, "a@B.example", &script)
        };
        assert_eq!(after("250 ok"), [Event::Said(Verdict::Taken)]);
        assert_eq!(after("251 will forward"), [Event::Said(Verdict::Taken)]);
        let refused = Reply::new(550, Enhanced::permanent(1, 1), "no such user");
        assert_eq!(after("550 5.1.1 no such user"), [Event::Said(Verdict::Refused(refused))]);
        for open in ["450 4.2.0 greylisted", "354 what"] {
            assert!(matches!(after(open).as_slice(), [Event::Said(Verdict::Unknown(_))]), "{open}");
        }
        let closing = play(Flavour::Smtp, "a@b.example", &[until_rcpt.as_slice(), &[("421 bye", "")]].concat());
        assert!(matches!(closing.as_slice(), [Event::Ended(_)]));
    }

    #[test]
    fn old_servers_and_lmtp() {
        let old = [("220 hi", "EHLO us.example"), ("502 what", "HELO us.example"), ("250 ok", "MAIL FROM:<>"), ("501 no", "RSET")];
        assert!(matches!(play(Flavour::Smtp, "a@b.example", &old).as_slice(), [Event::Said(Verdict::Unknown(_))]));
        let lmtp = [("220 hi", "LHLO us.example"), ("250 ok", "MAIL FROM:<>"), ("250 ok", "RCPT TO:<a@b.example>"), ("250 ok", "RSET")];
        assert_eq!(play(Flavour::Lmtp, "a@b.example", &lmtp), [Event::Said(Verdict::Taken)]);
        assert!(matches!(play(Flavour::Smtp, "a@b.example", &[("554 not you", "")]).as_slice(), [Event::Ended(_)]));
    }

    #[test]
    fn addresses_beyond_ascii_need_smtputf8() {
        let without = [("220 hi", "EHLO us.example"), ("250 ok", "")];
        assert!(matches!(play(Flavour::Smtp, "\u{e9}@b.example", &without).as_slice(), [Event::Said(Verdict::Unknown(_))]));
        let with = [("220 hi", "EHLO us.example"), ("250-ok\r\n250 SMTPUTF8", "MAIL FROM:<> SMTPUTF8")];
        assert_eq!(play(Flavour::Smtp, "\u{e9}@b.example", &with), []);
        let domain = [("220 hi", "EHLO us.example"), ("250 ok", "MAIL FROM:<>"), ("250 ok", "RCPT TO:<a@xn--bcher-kva.example>")];
        assert_eq!(play(Flavour::Smtp, "a@b\u{fc}cher.example", &domain), []);
    }

    #[test]
    fn a_reply_before_its_question_is_no_answer() {
        let mut dialogue = Dialogue::new(Flavour::Smtp, "us".into());
        let mut out = Vec::new();
        dialogue.ask("a@b.example", &mut out);
        let events = dialogue.receive(b"220 hi\r\n250 ok\r\n250 ok\r\n250 ok\r\n", &mut out);
        assert!(matches!(events.as_slice(), [Event::Ended(_)]) && dialogue.is_over(), "{events:?}");
    }

    #[test]
    fn what_could_be_another_command_is_not_asked() {
        for bad in
            ["a\r\nDATA@b.example", "a>b@b.example", "a b@b.example", "@b.example", "a", "a@", &format!("{}@b.example", "a".repeat(1000))]
        {
            let mut out = Vec::new();
            let verdict = Dialogue::new(Flavour::Smtp, "us".into()).ask(bad, &mut out);
            assert!(matches!(verdict, Some(Verdict::Unknown(_))) && out.is_empty(), "{bad}");
        }
    }

    proptest! {
        /// Whatever the server says: one verdict or end a question, and never a command that leads to mail.
        #[test]
        fn any_server(replies in proptest::collection::vec("(2|3|4|5)[0-9]{2}[ -][ -~]{0,9}|[ -~]{0,5}", 0..12), at_once in any::<bool>()) {
            let (mut dialogue, mut out, mut events) = (Dialogue::new(Flavour::Smtp, "us".into()), Vec::new(), Vec::new());
            dialogue.ask("a@b.example", &mut out);
            let lines: Vec<String> = replies.iter().map(|reply| format!("{reply}\r\n")).collect();
            if at_once {
                events.extend(dialogue.receive(lines.concat().as_bytes(), &mut out));
            } else {
                lines.iter().for_each(|line| events.extend(dialogue.receive(line.as_bytes(), &mut out)));
            }
            prop_assert!(events.iter().filter(|event| matches!(event, Event::Said(_))).count() <= 1);
            prop_assert!(!String::from_utf8_lossy(&out).contains("DATA"));
        }
    }
}
