//! Received-SPF: what came of evaluating SPF (RFC 7208 section 9.1).

use std::net::IpAddr;

/// What the field says.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedSpf<'a> {
    /// `pass`, `fail`, `softfail`...
    pub result: &'a str,
    /// Our host name.
    pub receiver: &'a str,
    pub client: IpAddr,
    /// As it was said: anything at all.
    pub sender: &'a str,
    pub helo: &'a str,
    /// What was evaluated: the sender, or, for the null sender, the name of EHLO.
    pub by_sender: bool,
}

/// The folded field, LF line ends and none at its end. Whatever the client said stays inside its quotes.
pub fn received_spf(spf: &ReceivedSpf<'_>) -> String {
    let result: String = spf.result.chars().filter(char::is_ascii_alphabetic).collect();
    let identity = if spf.by_sender { "mailfrom" } else { "helo" };
    let client = spf.client.to_canonical().to_string();
    let pairs = [
        ("receiver", spf.receiver),
        ("client-ip", &client),
        ("envelope-from", if spf.sender.is_empty() { "<>" } else { spf.sender }),
        ("helo", spf.helo),
        ("identity", identity),
    ];
    let list: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={}", written(value))).collect();
    format!("Received-SPF: {result}\n\t{}", list.join(";\n\t"))
}

/// Bytes of one value at most: the longest address of RFC 5321 fits.
const MOST: usize = 400;

/// A dot-atom as it is, anything else as a quoted string (RFC 5322 section 3.2.4).
fn written(value: &str) -> String {
    let atom = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b));
    if value.len() <= MOST && value.split('.').all(atom) {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for c in value.chars().filter(|c| !c.is_control()) {
        if out.len() >= MOST {
            break;
        }
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::fields;
    use proptest::prelude::*;

    fn spf<'a>(sender: &'a str, helo: &'a str) -> ReceivedSpf<'a> {
        let client = "::ffff:192.0.2.1".parse().unwrap();
        ReceivedSpf { result: "pass", receiver: "mx.example", client, sender, helo, by_sender: !sender.is_empty() }
    }

    #[test]
    fn the_field() {
        assert_eq!(
            received_spf(&spf("a@b.example", "c.example")),
            "Received-SPF: pass\n\treceiver=mx.example;\n\tclient-ip=192.0.2.1;\n\tenvelope-from=\"a@b.example\";\n\thelo=c.example;\n\tidentity=mailfrom"
        );
        let spf = ReceivedSpf { client: "2001:db8::1".parse().unwrap(), ..spf("", "[IPv6:2001:db8::1]") };
        let text = received_spf(&spf);
        for part in ["client-ip=\"2001:db8::1\";", "envelope-from=\"<>\";", "helo=\"[IPv6:2001:db8::1]\";", "identity=helo"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn quotes_end_where_we_end_them() {
        let text = received_spf(&spf("\"x\\\"; identity=helo; a=\"\"@b.example", "c"));
        assert!(text.contains("envelope-from=\"\\\"x\\\\\\\"; identity=helo; a=\\\"\\\"@b.example\";\n"), "{text}");
    }

    /// The pairs, read as RFC 7208 and RFC 5322 say.
    fn pairs(text: &str) -> Vec<(String, String)> {
        let mut rest = text.strip_prefix("Received-SPF: pass\n\t").unwrap();
        let mut found = Vec::new();
        loop {
            let (key, after) = rest.split_once('=').unwrap();
            let mut value = String::new();
            let end = if let Some(quoted) = after.strip_prefix('"') {
                let (mut escaped, mut end) = (false, None);
                for (at, c) in quoted.char_indices() {
                    match (escaped, c) {
                        (false, '\\') => escaped = true,
                        (false, '"') => {
                            end = Some(at + 2);
                            break;
                        }
                        (_, c) => {
                            value.push(c);
                            escaped = false;
                        }
                    }
                }
                end.unwrap()
            } else {
                let end = after.find(';').unwrap_or(after.len());
                value.push_str(&after[..end]);
                end
            };
            found.push((key.to_owned(), value));
            match after[end..].strip_prefix(";\n\t") {
                Some(more) => rest = more,
                None => {
                    assert_eq!(&after[end..], "");
                    return found;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_it_is_one_field_of_five_pairs(sender in "[a-z\"\\;=@ ]{1,20}|\\PC{1,30}|.{1,600}", helo in "[a-z.\"\\;= ]{0,20}|[\r\n\t A-Z:]{0,20}|.{0,300}") {
            let text = received_spf(&spf(&sender, &helo));
            let found = pairs(&text);
            let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            prop_assert_eq!(keys, ["receiver", "client-ip", "envelope-from", "helo", "identity"]);
            let plain: String = sender.chars().filter(|c| !c.is_control()).collect();
            prop_assert!(plain.len() > 190 || found[2].1 == plain, "{} {}", found[2].1, plain);
            prop_assert_eq!(fields(format!("{text}\n").as_bytes()).count(), 1);
            prop_assert!(text.split('\n').all(|line| line.len() < 900));
        }
    }
}
