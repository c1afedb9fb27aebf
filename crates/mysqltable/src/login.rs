//! The handshake, and proving who we are: `mysql_native_password`, `caching_sha2_password`.

use crate::packet::{Reader, malformed};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use tablelink::{Trouble, shown};

/// Bits of what both sides can do.
const LONG_PASSWORD: u32 = 1;
const WITH_DATABASE: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
pub const TLS: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE: u32 = 1 << 15;
const PLUGINS: u32 = 1 << 19;
/// What cannot be done without. Not among it, and never offered: several statements in one, and files of ours that the
/// server asks for.
const NEEDED: u32 = PROTOCOL_41 | SECURE | PLUGINS;

/// utf8mb4_general_ci
const CHARACTERS: u8 = 45;
/// Bytes of a packet that we would take.
const LARGEST: u32 = 1 << 24;

/// The server's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub version: String,
    pub abilities: u32,
    pub challenge: Challenge,
}

/// How we are to prove who we are, and with what in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub plugin: String,
    pub data: Vec<u8>,
}

impl Greeting {
    /// Version 10, of all servers since 1998.
    pub fn parse(packet: &[u8]) -> Result<Self, Trouble> {
        let mut reader = Reader(packet);
        if reader.byte()? != 10 {
            return Err(malformed());
        }
        let version = shown(reader.zero_ended());
        reader.bytes(4)?;
        let mut data = reader.bytes(8)?.to_vec();
        reader.byte()?;
        let low = reader.short()?;
        reader.bytes(3)?;
        let abilities = u32::from(low) | u32::from(reader.short()?) << 16;
        if abilities & NEEDED != NEEDED {
            return Err(Trouble::broken("the server is too old: it knows nothing of protocol 4.1 or of plug-ins for logins"));
        }
        let length = usize::from(reader.byte()?);
        reader.bytes(10)?;
        data.extend_from_slice(reader.bytes(length.saturating_sub(8).max(13))?);
        data.truncate(20);
        Ok(Self { version, abilities, challenge: Challenge { plugin: shown(reader.zero_ended()), data } })
    }

    pub fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }
}

fn abilities(tls: bool) -> u32 {
    LONG_PASSWORD | WITH_DATABASE | TRANSACTIONS | NEEDED | if tls { TLS } else { 0 }
}

/// Abilities and what goes with them; alone it asks for TLS.
pub fn begin(tls: bool) -> Vec<u8> {
    [&abilities(tls).to_le_bytes()[..], &LARGEST.to_le_bytes(), &[CHARACTERS], &[0; 23]].concat()
}

/// The answer to the greeting.
pub fn respond(tls: bool, user: &str, database: &str, proof: &[u8], plugin: &str) -> Result<Vec<u8>, Trouble> {
    let length = u8::try_from(proof.len()).map_err(|_| malformed())?;
    let mut out = begin(tls);
    out.extend_from_slice(user.as_bytes());
    out.extend([0, length]);
    out.extend_from_slice(proof);
    for text in [database, plugin] {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    Ok(out)
}

/// What proves that we know the password; empty where there is none.
pub fn proof(challenge: &Challenge, password: Option<&str>) -> Result<Vec<u8>, Trouble> {
    let Some(password) = password else { return Ok(Vec::new()) };
    match challenge.plugin.as_str() {
        "mysql_native_password" => Ok(native(&challenge.data, password)),
        "caching_sha2_password" => Ok(caching(&challenge.data, password)),
        other => Err(Trouble::broken(format!(
            "the server wants a login by `{other}`; there are mysql_native_password, caching_sha2_password and, without a password, unix_socket"
        ))),
    }
}

fn digest(algorithm: &'static ring::digest::Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(algorithm);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().to_vec()
}

fn mixed(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

fn native(challenge: &[u8], password: &str) -> Vec<u8> {
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[password.as_bytes()]);
    let twice = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]);
    mixed(&once, &digest(&SHA1_FOR_LEGACY_USE_ONLY, &[challenge, &twice]))
}

fn caching(challenge: &[u8], password: &str) -> Vec<u8> {
    let once = digest(&SHA256, &[password.as_bytes()]);
    let twice = digest(&SHA256, &[&once]);
    mixed(&once, &digest(&SHA256, &[&twice, challenge]))
}

/// What the server says to a proof.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    In,
    /// Another plug-in than the greeting had.
    Switch(Challenge),
    /// caching_sha2_password: the server remembers the password, and `In` follows.
    Remembered,
    /// caching_sha2_password: the server wants the password itself.
    Password,
    No(&'a [u8]),
}

pub fn reply(packet: &[u8]) -> Result<Reply<'_>, Trouble> {
    match packet {
        [0, ..] => Ok(Reply::In),
        [0xff, rest @ ..] => Ok(Reply::No(rest)),
        [1, 3] => Ok(Reply::Remembered),
        [1, 4] => Ok(Reply::Password),
        [0xfe] => Err(Trouble::broken("the server wants a login by the password hash of MySQL 3.23")),
        [0xfe, rest @ ..] => {
            let mut reader = Reader(rest);
            let plugin = shown(reader.zero_ended());
            let mut data = reader.0.to_vec();
            data.truncate(20);
            Ok(Reply::Switch(Challenge { plugin, data }))
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn greeting(low: u16, high: u16) -> Vec<u8> {
        let mut packet = b"\x0a5.5.5-10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0".to_vec();
        packet.extend(low.to_le_bytes());
        packet.extend(b"\x2d\x02\0");
        packet.extend(high.to_le_bytes());
        packet.extend(b"\x15");
        packet.extend([0; 10]);
        packet.extend(b"ijklmnopqrst\0mysql_native_password\0");
        packet
    }

    #[test]
    fn greetings() {
        let parsed = Greeting::parse(&greeting(0xffff, 0xffff)).unwrap();
        assert!(parsed.is_mariadb());
        let challenge = Challenge { plugin: "mysql_native_password".into(), data: b"abcdefghijklmnopqrst".to_vec() };
        assert_eq!(parsed.challenge, challenge);
        assert!(Greeting::parse(&greeting(0xffff, 0)).unwrap_err().reason.contains("too old"));
        for cut in 0..56 {
            assert!(Greeting::parse(greeting(0xffff, 0xffff).get(..cut).unwrap()).is_err(), "{cut}");
        }
    }

    #[test]
    fn proofs() {
        let challenge = |plugin: &str| Challenge { plugin: plugin.into(), data: b"abcdefghijklmnopqrst".to_vec() };
        // By hashlib of Python.
        let native = proof(&challenge("mysql_native_password"), Some("secret")).unwrap();
        assert_eq!(native, NATIVE);
        let caching = proof(&challenge("caching_sha2_password"), Some("secret")).unwrap();
        assert_eq!(caching, CACHING);
        assert!(proof(&challenge("mysql_clear_password"), Some("secret")).unwrap_err().reason.contains("mysql_clear_password"));
        assert_eq!(proof(&challenge("anything"), None).unwrap(), b"");
    }

    const NATIVE: &[u8] = &[136, 23, 197, 15, 167, 121, 218, 239, 1, 14, 231, 87, 120, 37, 176, 132, 125, 249, 132, 46];
    const CACHING: &[u8] = &[
        199, 110, 40, 152, 97, 42, 76, 240, 66, 199, 127, 168, 196, 112, 44, 76, 100, 192, 194, 197, 87, 197, 60, 77, 117, 89, 90, 170,
        106, 186, 232, 9,
    ];

    #[test]
    fn what_the_server_may_say() {
        assert_eq!(reply(b"\0\0\0\x02\0\0\0").unwrap(), Reply::In);
        assert_eq!((reply(b"\x01\x03").unwrap(), reply(b"\x01\x04").unwrap()), (Reply::Remembered, Reply::Password));
        let switch = Challenge { plugin: "caching_sha2_password".into(), data: b"abcdefghijklmnopqrst".to_vec() };
        assert_eq!(reply(b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0").unwrap(), Reply::Switch(switch));
        assert!(reply(b"\xfe").is_err() && reply(b"").is_err() && reply(b"\x01\x09").is_err() && reply(b"\xfb/etc/passwd").is_err());
    }

    #[test]
    fn never_offered() {
        for tls in [true, false] {
            let local_files = 1 << 7;
            let several_statements = 1 << 16;
            assert_eq!(abilities(tls) & (local_files | several_statements), 0);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Greeting::parse(&bytes);
            let _ = Greeting::parse(&[b"\x0ax\0", &bytes[..]].concat());
            let _ = reply(&bytes);
        }
    }
}
