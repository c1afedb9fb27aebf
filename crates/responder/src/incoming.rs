//! The message that came, and whether it may be answered (RFC 3834 section 2).

use address::Address;
use message::fields;
use std::fmt;

/// Values kept of a message are at most so long.
const LONGEST_VALUE: usize = 500;

/// What matters of a message.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Of the envelope; empty: the null sender.
    pub sender: String,
    /// As written, unfolded.
    pub subject: String,
    pub message_id: String,
    pub references: String,
    /// Addresses of To, Cc and their Resent forms, in lower case.
    named: Vec<String>,
    automatic: Option<Silence>,
    /// The whole header, for those that quote it.
    pub header: Vec<u8>,
}

/// Whom the answer is for.
#[derive(Debug, Clone, Default)]
pub struct Me {
    /// Addresses of the user, in lower case; a name without domain is that name at any.
    pub addresses: Vec<String>,
    /// Answered only when one of them stands in the header.
    pub must_be_named: bool,
}

/// Why a message is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    NullSender,
    /// A list, its owner, or a robot, by the sender's name.
    SenderIs(String),
    /// This field says that a program sent it, or a list.
    Field(String),
    Myself,
    NotNamed,
    /// No address to answer to.
    BadSender,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NullSender => f.write_str("the sender is null"),
            Self::SenderIs(what) => write!(f, "the sender is {what}"),
            Self::Field(name) => write!(f, "the field {name} says that a program or a list sent it"),
            Self::Myself => f.write_str("the sender is the user himself"),
            Self::NotNamed => f.write_str("the user is not named in To or Cc"),
            Self::BadSender => f.write_str("the sender is no address"),
        }
    }
}

impl Incoming {
    /// Reads a header; `sender` is that of the envelope where it is known otherwise than by the message, which says it in a
    /// Return-Path field or a `From ` line.
    pub fn read(content: &[u8], sender: Option<&str>) -> Self {
        let mut incoming = Self { sender: from_line(content).unwrap_or_default(), ..Self::default() };
        let mut fields = fields(content);
        for field in fields.by_ref() {
            let name = String::from_utf8_lossy(field.name).to_lowercase();
            let text = || cut(field.text());
            match name.as_str() {
                "return-path" => incoming.sender = text().trim_matches(['<', '>']).to_owned(),
                "subject" => incoming.subject = text(),
                "message-id" => incoming.message_id = one_id(&text()),
                "references" => incoming.references = text(),
                "to" | "cc" | "resent-to" | "resent-cc" => incoming.named.extend(words_with_at(&field.text())),
                _ => {}
            }
            if incoming.automatic.is_none() && says_automatic(&name, &field.text().to_lowercase()) {
                incoming.automatic = Some(Silence::Field(String::from_utf8_lossy(field.name).into_owned()));
            }
        }
        incoming.header = content.get(..fields.offset()).unwrap_or_default().to_vec();
        if let Some(sender) = sender {
            incoming.sender = sender.trim_matches(['<', '>']).to_owned();
        }
        incoming
    }
}

/// Answers to whom, or why not at all.
pub fn judge(incoming: &Incoming, me: &Me) -> Result<Address, Silence> {
    if incoming.sender.is_empty() {
        return Err(Silence::NullSender);
    }
    let sender = Address::parse(&incoming.sender).map_err(|_| Silence::BadSender)?;
    let local = sender.unquoted_local().to_lowercase();
    if let Some(what) = robot(&local) {
        return Err(Silence::SenderIs(what.to_owned()));
    }
    if let Some(automatic) = &incoming.automatic {
        return Err(automatic.clone());
    }
    let is_me = |address: &str| {
        let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
        me.addresses.iter().any(|mine| if mine.contains('@') { mine == address } else { mine == local })
    };
    if is_me(&sender.as_str().to_lowercase()) {
        return Err(Silence::Myself);
    }
    if me.must_be_named && !incoming.named.iter().any(|address| is_me(address)) {
        return Err(Silence::NotNamed);
    }
    Ok(sender)
}

/// Names that lists, their owners and programs send under.
fn robot(local: &str) -> Option<&'static str> {
    let ends = [("-request", "the address of a list"), ("-relay", "a relay"), ("-owner", "the owner of a list"), ("-bounces", "a list")];
    let whole = ["mailer-daemon", "mailer", "postmaster", "listserv", "majordomo", "mailman", "uucp", "noreply", "no-reply", "nobody"];
    if local.starts_with("owner-") || local.starts_with("srs0=") && local.contains("=owner-") {
        return Some("the owner of a list");
    }
    if whole.contains(&local) {
        return Some("a program");
    }
    // A sender of VERP: list-bounces+user=domain.
    let name = local.split(['+', '=']).next().unwrap_or(local);
    ends.iter().find(|(end, _)| local.ends_with(end) || name.ends_with(end)).map(|(_, what)| *what)
}

fn says_automatic(name: &str, value: &str) -> bool {
    let first = value.split([';', '(', ' ']).next().unwrap_or_default().trim();
    match name {
        "auto-submitted" => first != "no",
        "precedence" => ["bulk", "junk", "list"].contains(&first),
        "x-auto-response-suppress" => value.split([',', ' ']).any(|word| ["all", "autoreply", "oof"].contains(&word)),
        "x-loop" | "x-autoreply" | "x-autorespond" | "x-autogenerated" | "feedback-id" => true,
        "x-spam-flag" => first == "yes",
        // RFC 2369, RFC 2919.
        _ => name.starts_with("list-"),
    }
}

/// Everything in an address field that has an at sign in it: an address in a comment counts too, which at worst answers a
/// message that names the user there.
fn words_with_at(value: &str) -> impl Iterator<Item = String> {
    let words = value.split(|c: char| c.is_whitespace() || ",;:<>()\"[]".contains(c));
    words.filter(|word| word.contains('@')).take(10_000).map(str::to_lowercase)
}

fn from_line(content: &[u8]) -> Option<String> {
    let line = content.split(|byte| *byte == b'\n').next()?.strip_prefix(b"From ")?;
    let text = String::from_utf8_lossy(line);
    text.split(' ').next().filter(|word| word.contains('@')).map(str::to_owned)
}

/// One `<id@domain>`; anything else is of no use in a reference.
fn one_id(text: &str) -> String {
    let id = text.split_whitespace().next().unwrap_or_default();
    let good = id.starts_with('<') && id.ends_with('>') && id.contains('@') && id.bytes().all(|byte| byte.is_ascii_graphic());
    if good { id.to_owned() } else { String::new() }
}

fn cut(mut text: String) -> String {
    text.retain(|c| !c.is_control());
    let end = (0..=LONGEST_VALUE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end.min(text.len()));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn me() -> Me {
        Me { addresses: vec!["joe@example.org".into(), "joseph".into()], must_be_named: true }
    }

    fn verdict(sender: &str, header: &str) -> Result<String, Silence> {
        judge(&Incoming::read(header.as_bytes(), Some(sender)), &me()).map(|address| address.to_string())
    }

    #[test]
    fn people_are_answered() {
        assert_eq!(verdict("ann@far.example", "To: Joe <JOE@example.org>\n\n"), Ok("ann@far.example".into()));
        assert_eq!(verdict("ann@far.example", "Cc: a@b.c,\n  joseph@any.example\nAuto-Submitted: no\n"), Ok("ann@far.example".into()));
        assert_eq!(verdict("ann@far.example", "Resent-To: joe@example.org\nPrecedence: special-delivery\n"), Ok("ann@far.example".into()));
    }

    #[test]
    fn nobody_else_is() {
        let to = "To: joe@example.org\n";
        assert_eq!(verdict("", to), Err(Silence::NullSender));
        for sender in
            ["MAILER-DAEMON@a.b", "owner-list@a.b", "list-request@a.b", "list-bounces+joe=x@a.b", "List-Owner@a.b", "no-reply@a.b"]
        {
            assert!(matches!(verdict(sender, to), Err(Silence::SenderIs(_))), "{sender}");
        }
        for field in [
            "Auto-Submitted: auto-replied",
            "auto-submitted: Auto-Generated; x=y",
            "Precedence: BULK",
            "List-Id: <x.y>",
            "List-Unsubscribe: <mailto:a@b>",
            "X-Auto-Response-Suppress: DR, OOF",
            "X-Spam-Flag: YES",
        ] {
            assert!(matches!(verdict("ann@a.b", &format!("{to}{field}\n\n")), Err(Silence::Field(_))), "{field}");
        }
        assert_eq!(verdict("Joe@Example.org", to), Err(Silence::Myself));
        assert_eq!(verdict("ann@a.b", "To: others@a.b\nSubject: joe@example.org\n"), Err(Silence::NotNamed));
        assert_eq!(verdict("not an address", to), Err(Silence::BadSender));
        assert_eq!(verdict("ann@a.b", "Subject: x\n\nTo: joe@example.org\n"), Err(Silence::NotNamed), "the body is no header");
    }

    #[test]
    fn the_sender_is_the_envelopes() {
        let sender = |content: &str| Incoming::read(content.as_bytes(), None).sender;
        assert_eq!(sender("From a@b.c Sat Nov 21 10:00:00 2026\nTo: x@y.z\n\n"), "a@b.c");
        assert_eq!(sender("Return-Path: <a@b.c>\nFrom: d@e.f\n\n"), "a@b.c");
        assert_eq!(sender("Return-Path: <>\nFrom: d@e.f\n\n"), "");
        assert_eq!(sender("From: d@e.f\nReply-To: g@h.i\n\n"), "");
    }

    proptest! {
        #[test]
        fn no_message_brings_line_ends_into_an_answer(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let content = [b"Subject: ".as_slice(), &content].concat();
            let incoming = Incoming::read(&content, Some("a@b.c"));
            let _ = judge(&incoming, &me());
            for value in [&incoming.subject, &incoming.message_id, &incoming.references] {
                prop_assert!(!value.chars().any(char::is_control) && value.len() <= LONGEST_VALUE);
            }
        }
    }
}
