//! Expansion of macros (RFC 7208 section 7.3).

use crate::domain_spec::{Macro, MacroString, Part};
use std::fmt::Write as _;
use std::net::IpAddr;

/// What the macros stand for.
#[derive(Debug, Clone)]
pub struct Subject {
    pub address: IpAddr,
    pub hello: String,
    pub local: String,
    /// The sender's.
    pub domain: String,
    pub time: u64,
    /// For `%{p}`, once it has been looked up.
    pub proven: Option<String>,
}

impl MacroString {
    /// Whether the client's name must be known.
    pub fn wants_proven_name(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Macro(Macro { letter: b'p', .. })))
    }

    /// `domain`: that of the record.
    pub fn expand(&self, subject: &Subject, domain: &str) -> String {
        self.0.iter().fold(String::new(), |mut text, part| {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Macro(wanted) => wanted.expand(subject, domain, &mut text),
            }
            text
        })
    }

    /// As the name for a look-up: without final dot, labels cut off the left until it fits.
    pub fn name(&self, subject: &Subject, domain: &str) -> String {
        let text = self.expand(subject, domain).to_ascii_lowercase();
        let mut name = text.strip_suffix('.').unwrap_or(&text);
        while name.len() > 253 {
            name = name.split_once('.').map_or("", |(_, rest)| rest);
        }
        name.to_owned()
    }
}

impl Macro {
    fn expand(&self, subject: &Subject, domain: &str, out: &mut String) {
        let value = self.value(subject, domain);
        let mut parts: Vec<&str> = if self.delimiters.is_empty() {
            value.split('.').collect()
        } else {
            value.split(|c| u8::try_from(c).is_ok_and(|byte| self.delimiters.contains(&byte))).collect()
        };
        if self.reversed {
            parts.reverse();
        }
        let first = parts.len().saturating_sub(self.keep.unwrap_or(usize::MAX));
        let text = parts.get(first..).unwrap_or_default().join(".");
        if self.escaped { escape(&text, out) } else { out.push_str(&text) }
    }

    fn value(&self, subject: &Subject, domain: &str) -> String {
        match self.letter {
            b's' => format!("{}@{}", subject.local, subject.domain),
            b'l' => subject.local.clone(),
            b'o' => subject.domain.clone(),
            b'd' => domain.to_owned(),
            b'i' => dotted(subject.address),
            b'p' => subject.proven.clone().unwrap_or_else(|| "unknown".to_owned()),
            b'v' => if subject.address.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            b'h' => subject.hello.clone(),
            b'c' => subject.address.to_string(),
            b't' => subject.time.to_string(),
            // `r`: this host's name, which the owner of a domain has no need to know.
            _ => "unknown".to_owned(),
        }
    }
}

/// Of an IPv6 address the nibbles.
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let nibbles: Vec<String> = v6.octets().iter().map(|byte| format!("{:X}.{:X}", byte >> 4, byte & 15)).collect();
            nibbles.join(".")
        }
    }
}

/// RFC 3986 section 2.1.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn subject(address: &str) -> Subject {
        Subject {
            address: address.parse().unwrap(),
            hello: "mail.example.net".into(),
            local: "strong-bad".into(),
            domain: "email.example.com".into(),
            time: 1_000_000_000,
            proven: Some("mx.example.com".into()),
        }
    }

    fn expanded(text: &str, address: &str) -> String {
        MacroString::explanation(text).unwrap().expand(&subject(address), "email.example.com")
    }

    /// The examples of section 7.4.
    #[test]
    fn examples_of_the_standard() {
        for (text, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d3}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
            ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
            ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
            ("%{c}|%{t}|%{h}|%{p}|%%%_%-", "192.0.2.3|1000000000|mail.example.net|mx.example.com|% %20"),
            ("%{S}", "strong-bad%40email.example.com"),
        ] {
            assert_eq!(expanded(text, "192.0.2.3"), expected, "{text}");
        }
        let v6 = "2001:db8::cb01";
        let nibbles = "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com";
        assert_eq!(expanded("%{ir}.%{v}._spf.%{d2}", v6), nibbles);
        assert_eq!(expanded("%{c}", v6), v6);
    }

    #[test]
    fn a_name_too_long_loses_labels_on_the_left() {
        let long = Subject { local: "x.".repeat(150), ..subject("192.0.2.3") };
        let name = MacroString::domain_spec("%{l}.example.com.").unwrap().name(&long, "d");
        assert!(name.len() <= 253 && name.ends_with(".example.com") && name.starts_with('x'), "{name}");
    }
}
