//! Bytes that are no SMTP: what the first ones of a client say about it (attacks.md 21).
//!
//! Scanners and lost browsers send them by the thousand. Whoever begins so gets one reply and is gone, before the session
//! sees a byte. Nothing here is kept but the first few bytes, and only while they could still become either.

/// What a client speaks that does not speak SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    Http,
    /// TLS from the first byte.
    Tls,
    Rdp,
    Ssh,
    /// Anything else that does not begin with a letter, or holds bytes that are no text.
    Noise,
    /// Text, but its first line ends in LF alone.
    BareNewline,
}

impl Foreign {
    /// For the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Rdp => "rdp",
            Self::Ssh => "ssh",
            Self::Noise => "noise",
            Self::BareNewline => "bare_newline",
        }
    }

    /// For the client.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Http => "this is an SMTP server, it does not speak HTTP",
            Self::Tls => "this is an SMTP server, TLS begins with STARTTLS here",
            Self::Rdp | Self::Ssh | Self::Noise => "this is an SMTP server, and that was no SMTP",
            Self::BareNewline => "lines must end in CRLF",
        }
    }

    /// For the administrator, where it may be a client of one's own that is set up wrongly.
    pub const fn hint(self) -> Option<&'static str> {
        match self {
            Self::Tls => Some("TLS from the first byte belongs to a listener of kind submissions"),
            _ => None,
        }
    }
}

/// How other protocols begin. A space belongs to it: SMTP could have a verb of the same letters.
const BEGINNINGS: &[(&[u8], Foreign)] = &[
    (b"GET ", Foreign::Http),
    (b"POST ", Foreign::Http),
    (b"HEAD ", Foreign::Http),
    (b"PUT ", Foreign::Http),
    (b"DELETE ", Foreign::Http),
    (b"OPTIONS ", Foreign::Http),
    (b"CONNECT ", Foreign::Http),
    (b"PATCH ", Foreign::Http),
    (b"TRACE ", Foreign::Http),
    (b"PRI * ", Foreign::Http),
    (b"PROPFIND ", Foreign::Http),
    (b"SSH-", Foreign::Ssh),
];
/// As long as the longest of them.
const ENOUGH: usize = 9;

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
enum Guess {
    Foreign(Foreign),
    Unsure,
    Smtp,
}

fn guess(bytes: &[u8]) -> Guess {
    let start = bytes.get(..bytes.len().min(ENOUGH)).unwrap_or_default();
    match start.first() {
        None => return Guess::Unsure,
        Some(0x16) => return Guess::Foreign(Foreign::Tls),
        Some(0x03) => return Guess::Foreign(Foreign::Rdp),
        // A blank or an empty line is a mistake of somebody who speaks SMTP.
        Some(b) if !b.is_ascii_alphabetic() && !matches!(b, b'\r' | b'\n' | b' ' | b'\t') => return Guess::Foreign(Foreign::Noise),
        Some(_) => {}
    }
    let text = |b: &u8| matches!(b, b' '..=b'~' | b'\r' | b'\n' | b'\t');
    if !start.iter().all(text) {
        return Guess::Foreign(Foreign::Noise);
    }
    if let Some((_, foreign)) = BEGINNINGS.iter().find(|(word, _)| start.starts_with(word)) {
        return Guess::Foreign(*foreign);
    }
    if BEGINNINGS.iter().any(|(word, _)| word.starts_with(start)) { Guess::Unsure } else { Guess::Smtp }
}

/// What a whole first piece is, for one that came before it was asked for.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Foreign> {
    if let Guess::Foreign(foreign) = guess(bytes) { Some(foreign) } else { None }
}

/// The beginning of a client's input, however it is cut.
#[derive(Debug, Default)]
pub(crate) enum Opening {
    #[default]
    Unseen,
    /// So many bytes, which could still become either.
    Unsure(u8, [u8; ENOUGH]),
    /// It is SMTP as far as a few bytes can tell.
    Seen,
}

impl Opening {
    pub const fn is_seen(&self) -> bool {
        matches!(self, Self::Seen)
    }

    /// Looks at the next input; `strict`: the first line must end in CRLF.
    pub fn look(&mut self, input: &[u8], strict: bool) -> Option<Foreign> {
        let mut bytes = [0; ENOUGH];
        let mut length = 0;
        if let Self::Unsure(before, earlier) = self {
            (bytes, length) = (*earlier, usize::from(*before));
        }
        let room = bytes.get_mut(length..).unwrap_or_default();
        let count = room.len().min(input.len());
        room.iter_mut().zip(input).for_each(|(place, byte)| *place = *byte);
        length += count;
        *self = Self::Seen;
        match guess(bytes.get(..length).unwrap_or_default()) {
            Guess::Foreign(foreign) => Some(foreign),
            Guess::Smtp => (strict && ends_in_bare_newline(input)).then_some(Foreign::BareNewline),
            Guess::Unsure => {
                *self = Self::Unsure(u8::try_from(length).unwrap_or(u8::MAX), bytes);
                None
            }
        }
    }
}

fn ends_in_bare_newline(input: &[u8]) -> bool {
    match input.iter().position(|b| *b == b'\n') {
        Some(0) => true,
        Some(at) => input.get(at - 1) != Some(&b'\r'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece and byte by byte.
    fn both(input: &[u8]) -> (Option<Foreign>, Option<Foreign>) {
        let (mut whole, mut bytewise) = (Opening::default(), Opening::default());
        let one = whole.look(input, false);
        let mut other = None;
        for byte in input {
            if other.is_none() && !bytewise.is_seen() {
                other = bytewise.look(&[*byte], false);
            }
        }
        (one, other)
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes_however_they_are_cut() {
        for (input, foreign) in [
            (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], Foreign::Http),
            (b"POST / HTTP/1.1\r\n", Foreign::Http),
            (b"CONNECT mx.example:25 HTTP/1.0\r\n", Foreign::Http),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign::Http),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Foreign::Tls),
            (b"\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00Cookie: mstshash=x\r\n", Foreign::Rdp),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Foreign::Ssh),
            (b"\xff\xfe\x00", Foreign::Noise),
            (b"*1\r\n$4\r\nPING\r\n", Foreign::Noise),
            (b"\0\0\0\0", Foreign::Noise),
        ] {
            assert_eq!(both(input), (Some(foreign), Some(foreign)), "{}", input.escape_ascii());
        }
        assert_eq!(both(b"EH\xc3\xa4LO x\r\n").0, Some(Foreign::Noise));
    }

    #[test]
    fn smtp_is_let_pass() {
        for input in [
            &b"EHLO client.example\r\n"[..],
            b"helo x\r\n",
            b"QUIT\r\n",
            b"HELP\r\n",
            b"HEADER\r\n",
            b"PUT\r\n",
            b"\r\n",
            b" NOOP\r\n",
            b"Getx",
            b"",
            b"E",
        ] {
            assert_eq!(both(input), (None, None), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn bare_newlines_where_they_are_looked_for() {
        for (input, found) in [(&b"EHLO x\n"[..], true), (b"EHLO x\r\n", false), (b"\n", true), (b"EHLO x", false)] {
            assert_eq!(Opening::default().look(input, true).is_some(), found, "{}", input.escape_ascii());
            assert_eq!(Opening::default().look(input, false), None);
        }
    }
}
