//! What a submission server adds to the header of a user's message (RFC 6409 section 8).

use crate::date::write_date;
use crate::fields::{Field, fields};
use crate::scan::{HeaderScanner, Progress};
use std::ops::Range;

/// What is to be there in the end; `None`: as the client has it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mending<'a> {
    /// Unix seconds of Date, where there is none.
    pub date: Option<u64>,
    /// Message-ID with its brackets, where there is none.
    pub message_id: Option<&'a str>,
    /// The mailbox of From, where there is none.
    pub from: Option<&'a str>,
    /// Who it was: Sender where From says something else, in place of the client's.
    pub sender: Option<&'a str>,
    /// Bcc and Resent-Bcc are to go.
    pub without_bcc: bool,
}

/// The changes, for the content that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Fields, with LF, for the beginning of the header.
    pub added: Vec<u8>,
    /// Fields that go, in their order.
    pub removed: Vec<Range<usize>>,
}

/// Looks at the header at the start of `content`, of at most `limit` bytes. `last`: it ends with these bytes. `None`: its end
/// is not in sight, so nobody knows what is missing.
pub fn mend(content: &[u8], last: bool, limit: usize, wanted: &Mending<'_>) -> Option<Mended> {
    let Progress::Complete(end) = HeaderScanner::new(limit).feed(content, last) else { return None };
    let header = content.get(..end.header)?;
    let mut mended = Mended::default();
    let has = |name: &str| fields(header).any(|field| field.is(name));
    if let Some(seconds) = wanted.date.filter(|_| !has("Date")) {
        mended.added.extend_from_slice(b"Date: ");
        write_date(seconds, &mut mended.added);
        mended.added.push(b'\n');
    }
    if let Some(id) = wanted.message_id.filter(|_| !has("Message-ID")) {
        field("Message-ID", id, &mut mended.added);
    }
    if let Some(from) = wanted.from.filter(|_| !has("From")) {
        field("From", from, &mut mended.added);
    }
    if let Some(sender) = wanted.sender {
        // Several From fields are nobody's address, as several mailboxes in one are.
        let said: Vec<String> = fields(header).filter(|field| field.is("From")).map(|field| mailbox(&field)).collect();
        let said = if said.is_empty() { wanted.from.map(str::to_owned) } else { Some(said.join(", ")) };
        if said.is_some_and(|said| !said.eq_ignore_ascii_case(sender)) {
            mended.removed.extend(fields(header).filter(|field| field.is("Sender")).map(|field| field.range));
            field("Sender", sender, &mut mended.added);
        }
    }
    if wanted.without_bcc {
        mended.removed.extend(fields(header).filter(|field| field.is("Bcc") || field.is("Resent-Bcc")).map(|field| field.range));
        mended.removed.sort_by_key(|range| range.start);
    }
    Some(mended)
}

/// One line: what could break it is not written.
fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().filter(|b| !b.is_ascii_control()));
    out.push(b'\n');
}

/// The address of a From with one mailbox; with several it is all of them, which is nobody's address.
fn mailbox(from: &Field<'_>) -> String {
    let text = from.text();
    match (text.matches('<').count(), text.rfind('<'), text.strip_suffix('>')) {
        (1, Some(start), Some(inside)) if is_phrase(text.get(..start).unwrap_or_default()) => {
            inside.get(start + 1..).unwrap_or_default().trim().to_owned()
        }
        _ => text,
    }
}

/// What may stand before the angle brackets of a single mailbox: outside quotes there is nothing of another address.
fn is_phrase(text: &str) -> bool {
    let (mut quoted, mut letters) = (false, text.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '"' => quoted = !quoted,
            ',' | '@' | ':' | ';' if !quoted => return false,
            _ => {}
        }
    }
    !quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALL: Mending<'_> =
        Mending { date: Some(0), message_id: Some("<i@h>"), from: Some("a@b.example"), sender: Some("joe@b.example"), without_bcc: false };

    fn added(content: &str, wanted: &Mending<'_>) -> String {
        String::from_utf8(mend(content.as_bytes(), true, 1000, wanted).unwrap().added).unwrap()
    }

    #[test]
    fn what_is_missing_is_added() {
        let date = "Date: Thu, 01 Jan 1970 00:00:00 +0000\n";
        assert_eq!(added("\nbody", &ALL), format!("{date}Message-ID: <i@h>\nFrom: a@b.example\nSender: joe@b.example\n"));
        assert_eq!(added("date: x\nmessage-id: y\nFROM: joe@b.example\n\nDate: z\n", &ALL), "");
        assert_eq!(
            added("Subject: x\n\nFrom: y\n", &Mending { sender: None, ..ALL }),
            format!("{date}Message-ID: <i@h>\nFrom: a@b.example\n")
        );
        assert_eq!(added("Subject: x\n\n", &Mending::default()), "");
    }

    #[test]
    fn who_it_was_is_said_where_from_says_another() {
        let only = Mending { sender: Some("joe@b.example"), ..Mending::default() };
        for same in ["From: Joe <JOE@b.example>\n\n", "From: joe@b.example\n\n", "From: \"x, y\"\n <joe@b.example>\n\n"] {
            assert_eq!(added(same, &only), "", "{same:?}");
        }
        for other in [
            "From: boss@b.example\n\n",
            "From: joe@b.example, x@y\n\n",
            "From: <joe@b.example>, <x@y>\n\n",
            "From: joe@b.example (<a@b>)\n\n",
            "From: boss@b.example, <joe@b.example>\n\n",
            "From: boss@b.example <joe@b.example>\n\n",
            "From: joe@b.example\nFrom: boss@b.example\n\n",
        ] {
            assert_eq!(added(other, &only), "Sender: joe@b.example\n", "{other:?}");
        }
        let text = "Sender: forged@b.example\nFrom: boss@b.example\nSENDER: x\n\n";
        let mended = mend(text.as_bytes(), true, 1000, &only).unwrap();
        assert_eq!(mended.removed, [0..25, 46..56]);
    }

    #[test]
    fn blind_copies_go_with_all_their_lines() {
        let text = "Bcc: a@b,\n c@d\nSender: x@b.example\nFrom: y@b.example\nRESENT-BCC: e@f\nBccx: g\n\nBcc: body\n";
        let mended = mend(text.as_bytes(), true, 1000, &Mending { without_bcc: true, sender: Some("joe@b.example"), ..Mending::default() });
        let gone: Vec<&str> = mended.unwrap().removed.into_iter().map(|range| text.get(range).unwrap()).collect();
        assert_eq!(gone, ["Bcc: a@b,\n c@d\n", "Sender: x@b.example\n", "RESENT-BCC: e@f\n"]);
    }

    #[test]
    fn without_its_end_nothing_is_known_of_a_header() {
        assert_eq!(mend(b"From: x\nSubj", false, 1000, &ALL), None);
        assert_eq!(mend(&b"A: b\n".repeat(300), true, 1000, &ALL), None);
        assert!(added("A: b", &Mending { from: Some("x\r\ny"), ..Mending::default() }).ends_with("From: xy\n"));
    }
}
