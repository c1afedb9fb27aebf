//! The answer (RFC 3834 section 3).

use crate::encoded::unstructured;
use crate::incoming::Incoming;
use crate::template::Template;
use address::Address;

/// Bytes of the message's header that `autoanswer` gives back.
const QUOTED: usize = 16 * 1024;

/// Who answers.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// `Name <address>` or an address.
    pub from: String,
}

/// The whole message, with LF line ends.
pub(crate) fn compose(incoming: &Incoming, to: &Address, author: &Author, template: &Template, quote: bool, now: u64) -> String {
    let subject = match (&template.subject, incoming.subject.is_empty()) {
        (Some(subject), true) => subject.clone(),
        (Some(subject), false) => format!("{subject} (Re: {})", incoming.subject),
        (None, true) => "Auto: your message".to_owned(),
        (None, false) => format!("Auto: {}", incoming.subject),
    };
    let mut text = format!(
        "From: {}\nTo: {to}\nSubject: {}\nDate: {}\nAuto-Submitted: auto-replied\nPrecedence: junk\n",
        template.from.as_deref().unwrap_or(&author.from),
        unstructured(&subject),
        message::date(now),
    );
    if !incoming.message_id.is_empty() {
        let earlier = ids(&incoming.references);
        text.push_str(&format!("In-Reply-To: {0}\nReferences: {earlier}{0}\n", incoming.message_id));
    }
    let mut body = template.text_for(&incoming.subject);
    if quote {
        let end = incoming.header.len().min(QUOTED);
        body.push_str("\nThe header of your message as it came here:\n\n");
        for line in String::from_utf8_lossy(incoming.header.get(..end).unwrap_or_default()).lines() {
            body.push_str("  ");
            body.extend(line.chars().filter(|c| !c.is_control() || *c == '\t'));
            body.push('\n');
        }
    }
    if body.is_ascii() {
        text.push_str("MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n");
    } else {
        text.push_str("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n");
    }
    text.push('\n');
    for line in body.lines() {
        text.push_str(line.trim_end_matches('\r'));
        text.push('\n');
    }
    text
}

/// The last ids of a References field, each followed by a fold: a long thread need not grow for ever.
fn ids(references: &str) -> String {
    let good = |id: &&str| id.starts_with('<') && id.ends_with('>') && id.bytes().all(|b| b.is_ascii_graphic());
    let all: Vec<&str> = references.split_whitespace().filter(good).collect();
    let skipped = all.len().saturating_sub(10);
    all.iter().skip(skipped).map(|id| format!("{id}\n ")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_it_is() {
        let header = "Subject: =?utf-8?Q?f=C3=BC?= you\nMessage-ID: <1@a.b>\nReferences: <0@a.b> bad <x@y.z>\n\n";
        let incoming = Incoming::read(header.as_bytes(), Some("ann@a.b"));
        let author = Author { from: "joe@example.org".into() };
        let template = Template::read("Away. About \"$SUBJECT\": später.").unwrap();
        let text = compose(&incoming, &Address::parse("ann@a.b").unwrap(), &author, &template, false, 0);
        let fields: Vec<(String, String)> =
            message::fields(text.as_bytes()).map(|f| (String::from_utf8_lossy(f.name).into_owned(), f.text())).collect();
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(field("Auto-Submitted"), Some("auto-replied"));
        assert_eq!(field("In-Reply-To"), Some("<1@a.b>"));
        assert_eq!(field("References"), Some("<0@a.b> <x@y.z> <1@a.b>"));
        assert_eq!(field("Subject"), Some("Auto: =?utf-8?Q?f=C3=BC?= you"));
        assert_eq!(field("Content-Transfer-Encoding"), Some("8bit"));
        assert!(text.ends_with("\n\nAway. About \"=?utf-8?Q?f=C3=BC?= you\": später.\n"), "{text}");
    }

    #[test]
    fn what_came_is_quoted_without_its_tricks() {
        let header = b"Subject: x\nX-Evil: \x1b[31m\x07\n.\n\nbody\n";
        let incoming = Incoming::read(header, Some("ann@a.b"));
        let author = Author { from: "echo@example.org".into() };
        let template = Template { subject: Some("echo".into()), from: None, text: "Got it.\n".into() };
        let text = compose(&incoming, &Address::parse("ann@a.b").unwrap(), &author, &template, true, 0);
        assert!(text.contains("\n  X-Evil: [31m\n") && text.contains("Subject: echo (Re: x)\n") && !text.contains('\x1b'));
        assert!(text.lines().all(|line| line != "."));
    }
}
