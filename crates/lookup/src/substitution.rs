//! `%0` to `%9` in values.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes of a value.
pub const LONGEST_VALUE: usize = ipc::tables::LONGEST_ANSWER;

/// A value with what stands for its `%`.
#[derive(Debug, PartialEq, Eq)]
pub struct Filled<'v> {
    pub value: Cow<'v, str>,
    /// Some of it is the asker's text.
    pub foreign: bool,
}

/// `%0` is the key, `%1` to `%9` are `parts` (nothing where there are fewer), `%%` is `%`; any other `%` stands for itself.
/// `None`: it would be longer than [`LONGEST_VALUE`].
///
/// What is put in cannot become syntax: where it is not made of letters, digits and `.-_+=~^*#$&'` around an `@`, its local
/// part (or all of it) stands in quotes, as in an address.
pub fn fill<'v>(value: &'v str, key: &str, parts: &[&str]) -> Option<Filled<'v>> {
    if !value.contains('%') {
        return Some(Filled { value: Cow::Borrowed(value), foreign: false });
    }
    let (mut out, mut foreign, mut rest) = (String::with_capacity(value.len() + 64), false, value);
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let mut chars = after.chars();
        rest = match chars.next() {
            Some('%') => {
                out.push('%');
                chars.as_str()
            }
            Some(digit @ '0'..='9') => {
                let number = digit.to_digit(10).unwrap_or(0) as usize;
                let part = number.checked_sub(1).map_or(Some(key), |at| parts.get(at).copied()).unwrap_or_default();
                foreign |= !part.is_empty();
                put(&mut out, part);
                chars.as_str()
            }
            _ => {
                out.push('%');
                after
            }
        };
        if out.len() > LONGEST_VALUE {
            return None;
        }
    }
    out.push_str(rest);
    (out.len() <= LONGEST_VALUE).then_some(Filled { value: Cow::Owned(out), foreign })
}

fn put(out: &mut String, part: &str) {
    let literal = part.parse::<std::net::IpAddr>().is_ok();
    let (local, domain) = match part.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (part, None),
    };
    if literal || local.is_empty() || local.chars().all(is_plain) || is_quoted(local) {
        out.push_str(local);
    } else {
        quote(out, local);
    }
    if let Some(domain) = domain {
        out.push('@');
        let plain = domain.chars().all(is_plain) || address::literal_address(domain).is_some();
        if plain { out.push_str(domain) } else { quote(out, domain) }
    }
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || ".-_+=~^*#$&'".contains(c)
}

/// One quoted string already, as a local part may be written.
fn is_quoted(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(crate::alias_syntax::unquote);
    inner.is_some_and(|(_, used)| used + 1 == text.len())
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        let _ = out.write_char(c);
    }
    out.push('"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(value: &str, key: &str, parts: &[&str]) -> String {
        fill(value, key, parts).unwrap().value.into_owned()
    }

    #[test]
    fn parts_are_put_in() {
        assert_eq!(filled("%1@new.example", "joe@old.example", &["joe"]), "joe@new.example");
        assert_eq!(filled("%0 %1%2 %9 100%% %d %", "k", &["a", "b"]), "k ab  100% %d %");
        assert_eq!(filled("smtp!mx.%1", "host.example.org", &["host"]), "smtp!mx.host");
        assert_eq!(filled("net %0", "2001:db8::1", &[]), "net 2001:db8::1");
        assert_eq!(filled("%0", "joe@[192.0.2.1]", &[]), "joe@[192.0.2.1]");
        assert!(!fill("plain", "k", &[]).unwrap().foreign && fill("%0", "k", &[]).unwrap().foreign);
        assert!(!fill("%1", "k", &[]).unwrap().foreign);
    }

    #[test]
    fn a_key_never_becomes_syntax() {
        for (part, wanted) in [
            ("|/bin/sh", "\"|/bin/sh\"@x"),
            ("a, evil@y", "\"a, evil\"@y@x"),
            ("a,b", "\"a,b\"@x"),
            (":include:/etc/passwd", "\":include:/etc/passwd\"@x"),
            ("a\"b\\", "\"a\\\"b\\\\\"@x"),
            ("\"a\",b,\"c\"", "\"\\\"a\\\",b,\\\"c\\\"\"@x"),
            ("\"a b\"", "\"a b\"@x"),
            ("error!x", "\"error!x\"@x"),
        ] {
            assert_eq!(filled("%1@x", "", &[part]), wanted);
        }
    }

    #[test]
    fn a_value_does_not_grow_beyond_its_bound() {
        assert!(fill(&"%0".repeat(1000), &"x".repeat(1000), &[]).is_none());
        assert!(fill(&"x%%".repeat(LONGEST_VALUE / 2 + 1), "", &[]).is_none());
    }

    proptest! {
        #[test]
        fn any_value_is_filled(value in "(%[0-9%a]?|[a-z]|\\PC){0,30}", key in any::<String>(), parts in prop::collection::vec(any::<String>(), 0..12)) {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let _ = fill(&value, &key, &parts);
        }

        /// Whatever is put in, the text is still one value.
        #[test]
        fn what_is_put_in_adds_no_value(part in any::<String>().prop_filter("no control characters", |part| !part.chars().any(char::is_control))) {
            let filled = fill("%1@example.org", "k", &[&part]).unwrap();
            if let Ok(values) = crate::parse_list(&filled.value) {
                prop_assert!(values.len() <= 1, "{:?}", values);
            }
        }
    }
}
