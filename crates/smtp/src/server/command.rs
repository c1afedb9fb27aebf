//! One command line into a verb and its argument (RFC 5321 section 4.1.1).

/// The commands the server knows. Everything that opens another state by itself is its own variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Ehlo,
    Helo,
    Lhlo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    /// RFC 3030.
    Bdat,
    /// RFC 3207.
    StartTls,
    /// RFC 4954.
    Auth,
    /// RFC 1985.
    Etrn,
    Xclient,
    Xforward,
    /// Known, not offered.
    Unsupported,
    Unknown,
}

impl Verb {
    /// Allowed where everything else wants TLS (RFC 3207 section 4).
    pub(super) const fn is_before_tls(self) -> bool {
        matches!(self, Self::Ehlo | Self::Helo | Self::Lhlo | Self::Noop | Self::StartTls | Self::Quit)
    }
}

const VERBS: &[(&str, Verb)] = &[
    ("EHLO", Verb::Ehlo),
    ("HELO", Verb::Helo),
    ("LHLO", Verb::Lhlo),
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("RSET", Verb::Rset),
    ("NOOP", Verb::Noop),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("QUIT", Verb::Quit),
    ("BDAT", Verb::Bdat),
    ("AUTH", Verb::Auth),
    ("STARTTLS", Verb::StartTls),
    ("ETRN", Verb::Etrn),
    ("TURN", Verb::Unsupported),
    ("SEND", Verb::Unsupported),
    ("SOML", Verb::Unsupported),
    ("SAML", Verb::Unsupported),
    ("XCLIENT", Verb::Xclient),
    ("XFORWARD", Verb::Xforward),
];

/// Splits a line into verb and argument; blanks at both ends of the argument are no part of it.
pub(super) fn split(line: &[u8]) -> (Verb, &[u8]) {
    let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (word, argument) = line.split_at_checked(end).unwrap_or((line, &[]));
    let verb = VERBS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map_or(Verb::Unknown, |(_, verb)| *verb);
    (verb, argument.trim_ascii())
}

/// What the log may show of bytes that were not run as commands: so many at most, and nothing of a login's secrets.
pub fn showable(bytes: &[u8], most: usize) -> &[u8] {
    let start = bytes.get(..most).unwrap_or(bytes);
    let login = start.windows(5).position(|word| word.eq_ignore_ascii_case(b"AUTH ") || word.eq_ignore_ascii_case(b"AUTH\t"));
    login.and_then(|at| start.get(..at + 5)).unwrap_or(start)
}

/// What follows `FROM:` or `TO:`.
pub(super) fn after<'l>(keyword: &str, argument: &'l [u8]) -> Option<&'l [u8]> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    word.eq_ignore_ascii_case(keyword.as_bytes()).then(|| rest.trim_ascii_start())
}

/// The name of EHLO, HELO or LHLO. Only what cannot break out of a header field, a log line or a file.
pub(super) fn hello_name(argument: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(argument).ok()?;
    let fit = |b: u8| b.is_ascii_graphic() && !matches!(b, b'(' | b')' | b'<' | b'>' | b'"' | b'\\' | b',' | b';' | b'@');
    (!name.is_empty() && name.len() <= 255 && name.bytes().all(fit)).then_some(name)
}

/// What ETRN asks for (RFC 1985 section 5): a domain, `@` and a domain for all below it too, `#` and the name of a queue
/// (here a next hop). In lower case; nothing else passes (attacks.md 32: it goes into replies, logs and look-ups).
pub(super) fn etrn_node(argument: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(argument).ok().filter(|text| text.len() <= 255)?;
    let (option, name) = match text.as_bytes().first()? {
        b'@' | b'#' => text.split_at_checked(1)?,
        _ => ("", text),
    };
    let extra: &[u8] = if option == "#" { b".-_[]:" } else { b".-" };
    let fit = |b: u8| b.is_ascii_alphanumeric() || extra.contains(&b);
    let good = !name.is_empty() && !name.starts_with(['.', '-']) && !name.contains("..") && name.bytes().all(fit);
    good.then(|| format!("{option}{}", name.to_ascii_lowercase()))
}

/// Size of BDAT and whether it is the last, strictly (attacks.md 29): at most 18 digits, so sums of them fit.
pub(super) fn chunk(argument: &[u8]) -> Option<(u64, bool)> {
    let mut words = argument.split(|b| *b == b' ');
    let size = words.next().filter(|size| (1..=18).contains(&size.len()) && size.iter().all(u8::is_ascii_digit))?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return None,
    };
    words.next().is_none().then_some(())?;
    Some((std::str::from_utf8(size).ok()?.parse().ok()?, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_verbs() {
        assert_eq!(split(b"mail FROM:<a@b> "), (Verb::Mail, &b"FROM:<a@b>"[..]));
        assert_eq!(split(b"Quit"), (Verb::Quit, &b""[..]));
        for other in [&b""[..], b" NOOP", b"NOOPX", b"POST / HTTP/1.1", b"\x16\x03\x01\x02", b"\xff\xfe", b"MAIL\xa0FROM"] {
            assert_eq!(split(other).0, Verb::Unknown, "{other:?}");
        }
    }

    #[test]
    fn no_log_shows_a_password() {
        for (bytes, shown) in [
            (&b"EHLO x\r\nauth PLAIN AHUAcA==\r\n"[..], &b"EHLO x\r\nauth "[..]),
            (b"AUTH LOGIN\r\ndQ==\r\n", b"AUTH "),
            (b"EHLO auth.example\r\n", b"EHLO auth.exampl"),
            (b"", b""),
        ] {
            assert_eq!(showable(bytes, 16), shown, "{bytes:?}");
        }
    }

    #[test]
    fn hello_names() {
        for good in ["mx.example", "[127.0.0.1]", "[IPv6:::1]", "my_host", "localhost"] {
            assert_eq!(hello_name(good.as_bytes()), Some(good));
        }
        for bad in [&b""[..], b"a b", b"a\x1b", b"h\xc3\xa4", b"(x)", &[b'a'; 256]] {
            assert_eq!(hello_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn etrn_arguments_are_names_and_nothing_else() {
        for (good, node) in [("Example.ORG", "example.org"), ("@a.example", "@a.example"), ("#[10.0.0.1]:25", "#[10.0.0.1]:25")] {
            assert_eq!(etrn_node(good.as_bytes()).as_deref(), Some(node));
        }
        let long = [b'a'; 300];
        for bad in [&b""[..], b"@", b"#", b"a b", b"-rf", b".a", b"a..b", b"a;id", b"$(id)", b"../x", b"@@a", b"h\xc3\xa4", b"a\x07", &long]
        {
            assert_eq!(etrn_node(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn chunk_sizes_are_strict() {
        for bad in [&b"18446744073709551615"[..], b"-1", b"0x10", b"10 LASTX", b"", b"10 LAST x", b"+5", b"LAST", b"1  LAST"] {
            assert_eq!(chunk(bad), None, "{bad:?}");
        }
        assert_eq!((chunk(b"10"), chunk(b"0 last")), (Some((10, false)), Some((0, true))));
    }
}
