//! A filter with a key in it, on the wire (RFC 4511 section 4.5.1.7). Values have a length there and need no escape.

use ber::{BOOLEAN, OCTETS, SEQUENCE, element};
use settings::search::{Comparison, Filter};

const FIRST: u8 = 0x80;
const ANY: u8 = 0x81;
const LAST: u8 = 0x82;

pub fn encode(filter: &Filter, key: &str) -> Vec<u8> {
    match filter {
        Filter::And(all) => element(0xa0, &list(all, key)),
        Filter::Or(all) => element(0xa1, &list(all, key)),
        Filter::Not(inner) => element(0xa2, &encode(inner, key)),
        Filter::Present(attribute) => element(0x87, attribute.as_bytes()),
        Filter::Compare(attribute, comparison, value) => {
            let tag = match comparison {
                Comparison::Equal => 0xa3,
                Comparison::AtLeast => 0xa5,
                Comparison::AtMost => 0xa6,
                Comparison::About => 0xa8,
            };
            element(tag, &[element(OCTETS, attribute.as_bytes()), element(OCTETS, &value.of(key))].concat())
        }
        Filter::Substrings { attribute, first, any, last } => {
            let mut parts = Vec::new();
            let given = first.iter().map(|text| (FIRST, text)).chain(any.iter().map(|text| (ANY, text)));
            for (tag, text) in given.chain(last.iter().map(|text| (LAST, text))) {
                parts.extend(element(tag, &text.of(key)));
            }
            element(0xa4, &[element(OCTETS, attribute.as_bytes()), element(SEQUENCE, &parts)].concat())
        }
        Filter::Matching { rule, attribute, value, dn } => {
            let mut parts = Vec::new();
            for (tag, text) in [(0x81, rule), (0x82, attribute)] {
                if !text.is_empty() {
                    parts.extend(element(tag, text.as_bytes()));
                }
            }
            parts.extend(element(0x83, &value.of(key)));
            if *dn {
                parts.extend(element(0x80 | (BOOLEAN << 2), &[0xff]));
            }
            element(0xa9, &parts)
        }
    }
}

fn list(all: &[Filter], key: &str) -> Vec<u8> {
    all.iter().flat_map(|filter| encode(filter, key)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_draws_them() {
        for (text, key, bytes) in [
            ("(mail=%k)", "a@b", &b"\xa3\x0b\x04\x04mail\x04\x03a@b"[..]),
            ("(&(a=%u)(!(b=*)))", "x", b"\xa0\x0d\xa3\x06\x04\x01a\x04\x01x\xa2\x03\x87\x01b"),
            ("(a=x*%u*z)", "y", b"\xa4\x0e\x04\x01a\x30\x09\x80\x01x\x81\x01y\x82\x01z"),
            ("(a:dn:1.2:=%k)", "v", b"\xa9\x0e\x81\x031.2\x82\x01a\x83\x01v\x84\x01\xff"),
            ("(mail=%k)", "*)(uid=*", b"\xa3\x10\x04\x04mail\x04\x08*)(uid=*"),
        ] {
            assert_eq!(encode(&Filter::parse(text).unwrap(), key), bytes, "{text}");
        }
    }
}
