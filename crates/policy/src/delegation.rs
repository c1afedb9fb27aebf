//! Postfix's policy delegation protocol, its values: what a policy service is told of a session, and what its answers mean.
//!
//! The attributes are those of Postfix 3.7 (and the two of 3.8), with its spellings of "unknown", so that services written
//! for it run unchanged. How they travel is crate `delegate`'s.

mod action;

pub use action::{Action, Unusable};

use std::fmt::Write as _;
use std::net::IpAddr;

/// Bytes of a value at most; of a longer one nothing is said. The longest address of RFC 5321 fits several times.
pub const MOST_VALUE: usize = 2000;

/// Where the session stands, as `protocol_state` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Connect,
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    EndOfMessage,
    Vrfy,
    Etrn,
}

impl State {
    /// As in `[[policy_service]] states`.
    pub(crate) const fn layer(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ehlo | Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::EndOfMessage => "end-of-message",
            Self::Vrfy | Self::Etrn => "",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::EndOfMessage => "END-OF-MESSAGE",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
        }
    }
}

/// What is known of the session and its transaction. Empty texts: not known, or there is none.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub state: State,
    /// EHLO rather than HELO.
    pub extended: bool,
    pub hello: &'a str,
    /// The message's id; empty before the first recipient.
    pub queue_id: &'a str,
    /// Empty for the null sender.
    pub sender: &'a str,
    /// At RCPT the one in question; at DATA and after it only when there is exactly one.
    pub recipient: &'a str,
    /// Recipients accepted, said at DATA and after it only.
    pub recipient_count: u64,
    /// None for a client of a Unix-domain socket.
    pub client_address: Option<IpAddr>,
    pub client_port: u16,
    /// The client's name that has its address too.
    pub client_name: Option<&'a str>,
    /// The name of the client's address, believed or not.
    pub reverse_client_name: Option<&'a str>,
    /// The same in all questions about one message, and of no other message.
    pub instance: &'a str,
    pub login: Login<'a>,
    /// Of MAIL's SIZE, or of the message once it is there.
    pub size: Option<u64>,
    pub encryption: Option<Encryption<'a>>,
    pub certificate: Option<Certificate<'a>>,
    /// Of ETRN.
    pub etrn_domain: &'a str,
    /// The suite is overloaded.
    pub stress: bool,
    /// Which of our listeners, or whatever the service is to tell apart.
    pub policy_context: &'a str,
    pub server_address: Option<IpAddr>,
    pub server_port: u16,
}

/// Of AUTH.
#[derive(Debug, Clone, Copy, Default)]
pub struct Login<'a> {
    pub method: &'a str,
    pub user: &'a str,
    /// MAIL's AUTH parameter.
    pub sender: &'a str,
}

/// The TLS of the session.
#[derive(Debug, Clone, Copy)]
pub struct Encryption<'a> {
    /// As OpenSSL writes it: `TLSv1.3`.
    pub protocol: &'a str,
    pub cipher: &'a str,
    pub key_bits: u32,
}

/// The client's certificate.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// Common names, only where the certificate is verified.
    pub subject: &'a str,
    pub issuer: &'a str,
    /// `C2:9D:...`, of the certificate and of its public key.
    pub fingerprint: &'a str,
    pub key_fingerprint: &'a str,
}

impl<'a> Facts<'a> {
    /// A session of which only the client is known.
    pub const fn new(state: State, client_address: Option<IpAddr>) -> Self {
        Self {
            state,
            extended: true,
            hello: "",
            queue_id: "",
            sender: "",
            recipient: "",
            recipient_count: 0,
            client_address,
            client_port: 0,
            client_name: None,
            reverse_client_name: None,
            instance: "",
            login: Login { method: "", user: "", sender: "" },
            size: None,
            encryption: None,
            certificate: None,
            etrn_domain: "",
            stress: false,
            policy_context: "",
            server_address: None,
            server_port: 0,
        }
    }

    /// The question's attributes, all of them every time, `request` first.
    pub fn attributes(&self) -> Vec<(String, String)> {
        let mut list = List(Vec::with_capacity(40));
        list.add("request", "smtpd_access_policy");
        list.add("protocol_state", self.state.word());
        list.add("protocol_name", if self.extended { "ESMTP" } else { "SMTP" });
        list.add("client_address", &address(self.client_address));
        list.add("client_name", self.client_name.unwrap_or("unknown"));
        list.add("client_port", &port(self.client_port));
        list.add("reverse_client_name", self.reverse_client_name.unwrap_or("unknown"));
        list.add("server_address", &address(self.server_address));
        list.add("server_port", &port(self.server_port));
        list.add("helo_name", self.hello);
        list.add("sender", self.sender);
        list.add("recipient", self.recipient);
        list.add("recipient_count", &self.count().to_string());
        list.add("queue_id", self.queue_id);
        list.add("instance", self.instance);
        list.add("size", &self.size.unwrap_or(0).to_string());
        list.add("etrn_domain", self.etrn_domain);
        list.add("stress", if self.stress { "yes" } else { "" });
        list.add("sasl_method", self.login.method);
        list.add("sasl_username", self.login.user);
        list.add("sasl_sender", self.login.sender);
        self.add_certificate(&mut list);
        self.add_encryption(&mut list);
        list.add("policy_context", self.policy_context);
        // What a service may ask of the protocol; what we call ourselves stays visible.
        list.add("compatibility_level", "3.7");
        list.add("mail_version", concat!("3.7.0-zpost-", env!("CARGO_PKG_VERSION")));
        list.0
    }

    const fn count(&self) -> u64 {
        match self.state {
            State::Data | State::EndOfMessage => self.recipient_count,
            _ => 0,
        }
    }

    fn add_certificate(&self, list: &mut List) {
        let none = Certificate { subject: "", issuer: "", fingerprint: "", key_fingerprint: "" };
        let certificate = self.certificate.unwrap_or(none);
        list.add("ccert_subject", &xtext(certificate.subject));
        list.add("ccert_issuer", &xtext(certificate.issuer));
        list.add("ccert_fingerprint", certificate.fingerprint);
        list.add("ccert_pubkey_fingerprint", certificate.key_fingerprint);
    }

    fn add_encryption(&self, list: &mut List) {
        let encryption = self.encryption.unwrap_or(Encryption { protocol: "", cipher: "", key_bits: 0 });
        list.add("encryption_protocol", encryption.protocol);
        list.add("encryption_cipher", encryption.cipher);
        list.add("encryption_keysize", &encryption.key_bits.to_string());
    }
}

struct List(Vec<(String, String)>);

impl List {
    /// A value too long is as one not known: a part of an address is another address.
    fn add(&mut self, name: &str, value: &str) {
        let value = if value.len() > MOST_VALUE { "" } else { value };
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

fn address(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_canonical().to_string())
}

fn port(port: u16) -> String {
    if port == 0 { "unknown".to_owned() } else { port.to_string() }
}

/// RFC 3461 section 4: the names of a certificate may hold anything.
fn xtext(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if matches!(byte, b'!'..=b'~') && byte != b'+' && byte != b'=' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "+{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(facts: &Facts<'_>, name: &str) -> String {
        facts.attributes().into_iter().find(|(key, _)| key == name).unwrap().1
    }

    #[test]
    fn every_attribute_of_the_protocol_once() {
        let names: Vec<String> = Facts::new(State::Rcpt, None).attributes().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.first().map(String::as_str), Some("request"));
        let protocol = "request protocol_state protocol_name helo_name queue_id sender recipient recipient_count client_address \
            client_name reverse_client_name instance sasl_method sasl_username sasl_sender size ccert_subject ccert_issuer \
            ccert_fingerprint encryption_protocol encryption_cipher encryption_keysize etrn_domain stress ccert_pubkey_fingerprint \
            client_port policy_context server_address server_port compatibility_level mail_version";
        let mut expected: Vec<&str> = protocol.split_whitespace().collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        expected.sort_unstable();
        names.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_not_known_is_said_as_postfix_says_it() {
        let facts = Facts::new(State::Connect, None);
        for (name, expected) in [
            ("client_address", "unknown"),
            ("client_name", "unknown"),
            ("reverse_client_name", "unknown"),
            ("sender", ""),
            ("size", "0"),
            ("encryption_keysize", "0"),
            ("stress", ""),
        ] {
            assert_eq!(value(&facts, name), expected, "{name}");
        }
    }

    #[test]
    fn recipients_are_counted_only_from_data_on() {
        let mut facts = Facts { recipient_count: 3, ..Facts::new(State::Rcpt, None) };
        assert_eq!(value(&facts, "recipient_count"), "0");
        facts.state = State::EndOfMessage;
        assert_eq!(value(&facts, "recipient_count"), "3");
    }

    #[test]
    fn forms_of_values() {
        let certificate = Certificate { subject: "Joe + Söhne\r\nx=y", issuer: "CA", fingerprint: "C2:9D", key_fingerprint: "68:B3" };
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        let facts = Facts { certificate: Some(certificate), ..Facts::new(State::Mail, Some(mapped)) };
        assert_eq!(value(&facts, "ccert_subject"), "Joe+20+2B+20S+C3+B6hne+0D+0Ax+3Dy");
        assert_eq!(value(&facts, "ccert_fingerprint"), "C2:9D");
        assert_eq!(value(&facts, "client_address"), "192.0.2.1");
    }

    #[test]
    fn a_value_too_long_is_not_said_in_part() {
        let long = "a".repeat(10_000);
        assert_eq!(value(&Facts { hello: &long, ..Facts::new(State::Helo, None) }, "helo_name"), "");
    }
}
