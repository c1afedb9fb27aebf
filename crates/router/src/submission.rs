//! What a submission lacks or has too much (RFC 6409 section 8, ZMailer's router): files that users and programs drop, as
//! opposed to mail that came from elsewhere or was made by the suite.

use crate::listfields::place_of_fields;
use address::Path;
use envelope::Envelope;
use message::{Change, Mending, mend, phrase};
use settings::Submission;

/// Is a file a submission that nobody has looked at? What the suite writes begins with `length`, and is whole, but for what a
/// user has given it over the socket.
pub fn is_raw(envelope: &Envelope, trusted: bool) -> bool {
    envelope.submitter.is_some() || !(trusted && (envelope.length.is_some() || envelope.external || envelope.errormsg))
}

/// The changes of a submission's header, and whether it has bytes that need SMTPUTF8 (RFC 6532). `content`: from the header on,
/// the whole header at least. `user`: of an owner that is not trusted, who he is.
pub fn changes(content: &[u8], header: usize, envelope: &Envelope, from: &Sender<'_>, wanted: Submission) -> (Vec<Change>, bool) {
    let written = from.mailbox(envelope);
    let mending = Mending {
        date: wanted.add_date.then_some(from.unix_seconds),
        message_id: wanted.add_message_id.then_some(from.message_id),
        from: written.as_deref().filter(|_| wanted.add_from),
        sender: from.user,
        without_bcc: true,
    };
    let limit = content.len().saturating_add(1);
    let mended = mend(content, true, limit, &mending).unwrap_or_default();
    let mut changes: Vec<Change> = Vec::new();
    if !mended.added.is_empty() {
        changes.push((place_of_fields(content), mended.added));
    }
    changes.extend(mended.removed.into_iter().map(|range| (range, Vec::new())));
    (changes, eight_bit(content.get(..header).unwrap_or_default()))
}

/// Who sends a submission.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    pub path: &'a Path,
    /// Where nobody is trusted to say so himself.
    pub user: Option<&'a str>,
    pub message_id: &'a str,
    pub unix_seconds: u64,
}

impl Sender<'_> {
    /// What From says where there is none.
    fn mailbox(&self, envelope: &Envelope) -> Option<String> {
        let address = self.path.address()?;
        let name = envelope.fullname.as_deref().and_then(phrase);
        Some(name.map_or_else(|| address.to_string(), |name| format!("{name} <{address}>")))
    }
}

/// Valid UTF-8 beyond ASCII. Other bytes stay as they are: nobody knows what they mean.
fn eight_bit(header: &[u8]) -> bool {
    if header.is_ascii() {
        return false;
    }
    let good = std::str::from_utf8(header).is_ok();
    if !good {
        daemon::event!(Info, "header_left", reason = "bytes in the header that are neither ASCII nor UTF-8");
    }
    good
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use address::Address;

    fn changed(content: &str, envelope: &Envelope, user: Option<&str>) -> (Vec<(String, String)>, bool) {
        let path = Path::Mailbox(Address::parse("joe@x.example").unwrap());
        let from = Sender { path: &path, user, message_id: "<1@x.example>", unix_seconds: 0 };
        let all = Submission { add_date: true, add_message_id: true, add_from: true, add_sender: false };
        let header = message::scan(content.as_bytes(), 10_000).unwrap().end.header;
        let (changes, eight_bit) = changes(content.as_bytes(), header, envelope, &from, all);
        let text =
            |(range, text): (std::ops::Range<usize>, Vec<u8>)| (content.get(range).unwrap().to_owned(), String::from_utf8(text).unwrap());
        (changes.into_iter().map(text).collect(), eight_bit)
    }

    #[test]
    fn what_is_missing_and_what_must_go() {
        let named = Envelope { fullname: Some("Joe B.".into()), ..Envelope::default() };
        let date = "Date: Thu, 01 Jan 1970 00:00:00 +0000\nMessage-ID: <1@x.example>\n";
        let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        assert_eq!(
            changed("Subject: x\nBcc: a@b\n\nbody\n", &named, None),
            (vec![pair("", &format!("{date}From: \"Joe B.\" <joe@x.example>\n")), pair("Bcc: a@b\n", "")], false)
        );
        let whole = "Date: d\nMessage-ID: m\nFrom: boss@x.example\n\n";
        assert_eq!(changed(whole, &named, None), (vec![], false));
        assert_eq!(changed(whole, &named, Some("joe@x.example")), (vec![pair("", "Sender: joe@x.example\n")], false));
        let own = "Date: d\nMessage-ID: m\nFrom: Joe <joe@x.example>\nSubject: \u{fc}\n\n\u{fc}";
        assert_eq!(changed(own, &named, Some("joe@x.example")), (vec![], true));
        assert!(!eight_bit(b"Subject: \xff\n"));
    }

    #[test]
    fn whose_files_are_whole() {
        let plain = Envelope::default;
        assert!(is_raw(&plain(), true) && is_raw(&plain(), false));
        for whole in
            [Envelope { length: Some(1), ..plain() }, Envelope { external: true, ..plain() }, Envelope { errormsg: true, ..plain() }]
        {
            assert!(!is_raw(&whole, true) && is_raw(&whole, false));
        }
    }
}
