//! Trace fields that the suite adds (RFC 5321 section 4.4).

use crate::date::write_date;
use std::io::Write;
use std::net::IpAddr;

/// Bytes of a foreign name in a trace field at most.
const MAX_NAME: usize = 255;

/// Who brought the message.
#[derive(Debug, Clone, Copy)]
pub enum Client<'a> {
    Network {
        /// What HELO, EHLO or LHLO said: anything at all.
        helo: &'a str,
        address: IpAddr,
        /// The verified name of the address.
        name: Option<&'a str>,
    },
    /// A user of this machine.
    Local { uid: u32 },
}

/// What a Received field says.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub client: Client<'a>,
    /// Our host name.
    pub by: &'a str,
    /// `ESMTP`, `ESMTPSA`, `LMTP`... (RFC 3848).
    pub protocol: &'a str,
    pub id: &'a str,
    /// A comment on the TLS state, without parentheses.
    pub tls: Option<&'a str>,
    /// Only where the message has a single recipient: with more, one would learn of the others.
    pub recipient: Option<&'a str>,
    pub unix_seconds: u64,
}

/// Appends a folded Received field with LF line ends. Whatever the client said stays inside its place.
pub fn received_line(received: &Received<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Received: from ");
    match received.client {
        Client::Network { helo, address, name } => {
            clean_name(helo, out);
            out.extend_from_slice(b" (");
            if let Some(name) = name {
                clean_name(name, out);
                out.push(b' ');
            }
            let _ = match address.to_canonical() {
                IpAddr::V4(address) => write!(out, "[{address}])"),
                IpAddr::V6(address) => write!(out, "[IPv6:{address}])"),
            };
        }
        Client::Local { uid } => {
            let _ = write!(out, "localhost (uid {uid})");
        }
    }
    out.extend_from_slice(b"\n\tby ");
    clean_name(received.by, out);
    out.extend_from_slice(b" with ");
    clean_name(received.protocol, out);
    out.extend_from_slice(b" id ");
    clean_name(received.id, out);
    if let Some(tls) = received.tls {
        out.extend_from_slice(b"\n\t(");
        clean_comment(tls, out);
        out.push(b')');
    }
    if let Some(recipient) = received.recipient {
        out.extend_from_slice(b"\n\tfor <");
        clean_value(recipient, out);
        out.push(b'>');
    }
    out.extend_from_slice(b";\n\t");
    write_date(received.unix_seconds, out);
    out.push(b'\n');
}

/// The line that begins a message of an mbox: `From sender Sat Nov 21 03:16:09 2026`, in UTC.
pub fn from_line(sender: &str, unix_seconds: u64) -> String {
    let sender = if sender.is_empty() { "MAILER-DAEMON" } else { sender };
    let sender: String = sender.chars().map(|c| if c.is_whitespace() || c.is_control() { '-' } else { c }).collect();
    let date = crate::date(unix_seconds);
    let mut words = date.split_ascii_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (week, day, month, year, time) = (word(), word(), word(), word(), word());
    let day = day.trim_start_matches('0');
    format!("From {sender} {} {month} {day:>2} {time} {year}\n", week.trim_end_matches(','))
}

/// Appends `Delivered-To: address`.
pub fn delivered_to(address: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Delivered-To: ");
    clean_value(address, out);
    out.push(b'\n');
}

/// Appends `Return-Path: <address>`; the empty address for the null path.
pub fn return_path(address: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Return-Path: <");
    clean_value(address, out);
    out.extend_from_slice(b">\n");
}

/// A word that could be read as comment, route or line end loses the bytes that would make it so.
fn clean_name(name: &str, out: &mut Vec<u8>) {
    if name.is_empty() {
        return out.extend_from_slice(b"unknown");
    }
    let plain = |b: u8| b.is_ascii_graphic() && !b"()<>;,\"\\".contains(&b);
    out.extend(name.bytes().take(MAX_NAME).map(|b| if plain(b) { b } else { b'?' }));
}

fn clean_comment(text: &str, out: &mut Vec<u8>) {
    let plain = |b: u8| (b.is_ascii_graphic() || b == b' ') && !b"()\\".contains(&b);
    out.extend(text.bytes().take(MAX_NAME).map(|b| if plain(b) { b } else { b'?' }));
}

fn clean_value(text: &str, out: &mut Vec<u8>) {
    if !text.chars().any(char::is_control) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(text.replace(char::is_control, "?").as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::fields;
    use proptest::prelude::*;

    fn received(client: Client<'_>, recipient: Option<&str>, tls: Option<&str>) -> String {
        let mut out = Vec::new();
        let id = "1ga4gc1wg0000001";
        received_line(&Received { client, by: "mta.example.org", protocol: "ESMTP", id, tls, recipient, unix_seconds: 0 }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_received_field() {
        let address = "::ffff:192.0.2.1".parse().unwrap();
        let client = Client::Network { helo: "client.example", address, name: Some("c.example") };
        assert_eq!(
            received(client, Some("u@example.org"), Some("TLS1.3")),
            "Received: from client.example (c.example [192.0.2.1])\n\tby mta.example.org with ESMTP id 1ga4gc1wg0000001\n\t(TLS1.3)\n\
             \tfor <u@example.org>;\n\tThu, 01 Jan 1970 00:00:00 +0000\n"
        );
        assert!(received(Client::Local { uid: 5 }, None, None).starts_with("Received: from localhost (uid 5)\n\tby "));
    }

    proptest! {
        #[test]
        fn whatever_is_said_it_is_one_field(helo in "\\PC{0,30}|[\r\n\t:() ]{0,20}[A-Z]{1,3}: x|.{0,400}", rcpt in "[\r\nA-Z: ]{0,20}", tls in "[\r\nA-Z:() ]{0,20}") {
            let client = Client::Network { helo: &helo, address: "::1".parse().unwrap(), name: Some(&helo) };
            let mut text = received(client, Some(&rcpt), Some(&tls)).into_bytes();
            delivered_to(&rcpt, &mut text);
            return_path(&rcpt, &mut text);
            prop_assert_eq!(fields(&text).count(), 3);
            prop_assert!(text.split(|b| *b == b'\n').all(|line| line.len() < 900));
        }
    }

    #[test]
    fn from_lines() {
        assert_eq!(from_line("", 0), "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
        assert_eq!(from_line("\"a b\"@x\n", 1_795_230_969), "From \"a-b\"@x- Sat Nov 21 03:16:09 2026\n");
    }
}
