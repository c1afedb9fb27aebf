//! Questions to the resolver.

use crate::channel::Frame;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

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
