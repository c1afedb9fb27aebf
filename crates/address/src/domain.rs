//! Domains: the normal form that compares equal for routing and limits.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a domain (RFC 5321 section 4.5.3.1.2), as written and in its normal form.
pub const MAX_DOMAIN: usize = 255;
/// Octets of a label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// Why a text is no domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainError;

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid domain")
    }
}

impl std::error::Error for DomainError {}

/// Lower-cased A-labels without the trailing dot; an address literal lower-cased, IPv6 in its shortest form.
/// U-label and A-label forms of one domain give the same text.
///
/// One trailing dot is accepted here (configuration and DNS write it), not in an [`Address`](crate::Address).
/// Underscores are accepted: hosts with them exist, and send mail.
pub fn normalise(domain: &str) -> Result<String, DomainError> {
    if domain.starts_with('[') {
        return literal(domain);
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        check_ascii(domain)?;
        return Ok(domain.to_ascii_lowercase());
    }
    let ascii = to_ascii(domain)?;
    check_ascii(&ascii)?;
    Ok(ascii)
}

/// True for `[...]`.
pub fn is_literal(domain: &str) -> bool {
    domain.starts_with('[') && domain.ends_with(']')
}

/// The address of `[1.2.3.4]` or `[IPv6:2001:db8::1]`, written in any case.
pub fn literal_address(domain: &str) -> Option<IpAddr> {
    let inside = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inside.split_at_checked(5) {
        Some((tag, ip)) if tag.eq_ignore_ascii_case("ipv6:") => ip.parse().ok().map(IpAddr::V6),
        _ => inside.parse().ok().map(IpAddr::V4),
    }
}

/// Checks a domain as written in an address: a literal, LDH labels or U-labels, no trailing dot.
pub(crate) fn check(domain: &str) -> Result<(), DomainError> {
    if domain.starts_with('[') {
        return literal(domain).map(|_| ());
    }
    if domain.is_ascii() {
        return check_ascii(domain);
    }
    if domain.ends_with('.') {
        return Err(DomainError);
    }
    check_ascii(&to_ascii(domain)?)
}

/// UTS 46 with its bidi and joiner rules. The size is checked first: a hostile text must not make work.
fn to_ascii(domain: &str) -> Result<String, DomainError> {
    if domain.len() > MAX_DOMAIN || !domain.chars().all(crate::mailbox::is_harmless) {
        return Err(DomainError);
    }
    idna::domain_to_ascii(domain).map_err(|_| DomainError)
}

fn check_ascii(domain: &str) -> Result<(), DomainError> {
    if domain.is_empty() || domain.len() > MAX_DOMAIN {
        return Err(DomainError);
    }
    domain.split('.').all(is_label).then_some(()).ok_or(DomainError)
}

fn is_label(label: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !label.is_empty() && label.len() <= MAX_LABEL && label.bytes().all(legal) && !label.starts_with('-') && !label.ends_with('-')
}

/// `[1.2.3.4]` or `[IPv6:...]`; RFC 5321 section 4.1.3 has more forms, which nobody uses.
fn literal(domain: &str) -> Result<String, DomainError> {
    let inside = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')).ok_or(DomainError)?;
    if let Some((tag, address)) = inside.split_once(':') {
        if !tag.eq_ignore_ascii_case("ipv6") {
            return Err(DomainError);
        }
        let address: Ipv6Addr = address.parse().map_err(|_| DomainError)?;
        return Ok(format!("[ipv6:{address}]"));
    }
    let address: Ipv4Addr = inside.parse().map_err(|_| DomainError)?;
    Ok(format!("[{address}]"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_domain_has_one_normal_form() {
        for (written, normal) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("XN--bcher-KVA.example", "xn--bcher-kva.example"),
            ("bücher。example", "xn--bcher-kva.example"),
            ("a_b.example", "a_b.example"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(normalise(written).as_deref(), Ok(normal), "{written}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        let long_label = "a".repeat(64);
        let many = vec!["a"; 1000].join(".");
        let long = vec!["abcdefg"; 33].join(".");
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a..",
            "-a.b",
            "a-.b",
            "a b",
            "a\0b",
            "a\nb",
            "a@b",
            "[",
            "[]",
            "[1.2.3]",
            "[1.2.3.4",
            "[1.2.3.4]x",
            "[ipv6:]",
            "[IPv6:1.2.3.4]",
            "[x:y]",
            "[name]",
            "a/b",
            "a;b",
            "a%b",
            "\u{202e}a.example",
            "a\u{200b}b.example",
            "a\u{2028}.example",
            &long_label,
            &many,
            &long,
            "\u{fffd}.example",
            "xn--\u{fc}.example",
        ] {
            assert_eq!(normalise(bad), Err(DomainError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn normal_form_is_stable_and_ascii(text in "\\PC{0,40}") {
            if let Ok(normal) = normalise(&text) {
                prop_assert!(normal.is_ascii());
                prop_assert_eq!(normalise(&normal), Ok(normal.clone()));
            }
        }

        #[test]
        fn case_makes_no_difference(text in "[a-z0-9]{1,10}(\\.[a-z]{1,10}){0,4}") {
            prop_assert_eq!(normalise(&text.to_ascii_uppercase()), Ok(text));
        }
    }
}
