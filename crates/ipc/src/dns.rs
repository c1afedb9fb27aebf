//! Questions to the resolver.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ask {
    /// Chosen by the caller, given back in the answer.
    pub number: u64,
    pub question: Question,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Question {
    /// Where mail for a domain goes: MX with the addresses of each, or A/AAAA where there is no MX (RFC 5321 section 5.1).
    /// `validate`: by DNSSEC, so that the answer can say whether it is secure.
    MailHosts { domain: String, validate: bool },
    /// The addresses of a host.
    Addresses { host: String },
    /// The names of an address.
    Names { address: IpAddr },
    /// TXT strings.
    Text { name: String },
    /// The TLSA records of a server (RFC 7672 section 2.1), validated.
    Tlsa { host: String, port: u16 },
    /// The names of an address that have this address too (a client's name that can be believed).
    VerifiedNames { address: IpAddr },
    /// What a DNS list (RFC 5782) says of an address or a domain.
    List { zone: String, subject: ListSubject },
    /// SPF (RFC 7208): may this client send for this domain? `sender`: `user@domain`, none for the null sender.
    Spf { address: IpAddr, hello: String, sender: Option<String> },
    /// All records of a kind, as texts, for lookup tables. A name that is an address means its reverse name where the kind
    /// is `Ptr`.
    Records { name: String, kind: RecordKind },
}

/// What a lookup table of kind `dns` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    A,
    Aaaa,
    Cname,
    /// `10 mx.example`, the most preferred first; `0 .`: the domain takes no mail.
    Mx,
    Ptr,
    Txt,
}

impl RecordKind {
    /// By its word in `[[table]] record`.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "a" => Self::A,
            "aaaa" => Self::Aaaa,
            "cname" => Self::Cname,
            "mx" => Self::Mx,
            "ptr" => Self::Ptr,
            "txt" => Self::Txt,
            _ => return None,
        })
    }
}

/// What a DNS list is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ListSubject {
    Address(IpAddr),
    Domain(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub number: u64,
    pub answer: Result<Answer, Trouble>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    MailHosts(MailHosts),
    Addresses(Vec<IpAddr>),
    Names(Vec<String>),
    Text(Vec<String>),
    /// Only records that DNSSEC proves; what it cannot prove is `NoRecords`, what it disproves `Temporary`.
    Tlsa(Vec<Tlsa>),
    Listed(Listed),
    Spf(Spf),
    /// None: there is no such name, or it has none of the kind. What is said holds for `ttl` from now on, and where that is
    /// over for this question only.
    Records {
        texts: Vec<String>,
        ttl: Duration,
    },
}

/// An entry of a DNS list; no codes: not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Within 127.0.0.0/8; other answers are no answers.
    pub codes: Vec<Ipv4Addr>,
    /// The list's TXT, one line of printable text; may be empty.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spf {
    pub result: SpfResult,
    /// That of the sender, or of the client's greeting for the null sender.
    pub domain: String,
    /// What the domain says of failures (RFC 7208 section 6.2), printable; may be empty.
    pub explanation: String,
}

/// RFC 7208 section 2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpfResult {
    None,
    Neutral,
    Pass,
    Fail,
    SoftFail,
    TempError,
    PermError,
}

impl SpfResult {
    /// As in Received-SPF.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailHosts {
    /// By preference, equal ones shuffled. Hosts without address are left out unless none has one.
    pub hosts: Vec<MailHost>,
    /// DNSSEC proves the MX records (or that there are none).
    pub secure: bool,
}

/// A TLSA record (RFC 6698 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tlsa {
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailHost {
    pub preference: u16,
    pub name: String,
    pub addresses: Vec<IpAddr>,
    /// DNSSEC proves the addresses.
    pub secure: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// The name does not exist.
    NoSuchName,
    /// The name exists, without such records.
    NoRecords,
    /// The domain says it takes no mail (RFC 7505).
    NullMx,
    /// No answer in time, SERVFAIL, or an answer beyond the limits: try again later.
    Temporary(String),
    /// The question is no valid name.
    Invalid,
}

impl Frame for Ask {
    const PROTOCOL: u8 = 0x30;
}
impl Frame for Told {
    const PROTOCOL: u8 = 0x31;
}
