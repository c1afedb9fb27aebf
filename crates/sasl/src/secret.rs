//! What a server keeps for SCRAM-SHA-256 in place of a password (RFC 5803's idea, in Dovecot's spelling).

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// Rounds of secrets made here: clients compute them at every login, thieves of the file at every guess.
pub const ROUNDS: u32 = 15_000;
/// Rounds that are believed of a file: more would only be a slip.
const MOST_ROUNDS: u32 = 10_000_000;

/// Enough to verify a client and to prove ourselves, not enough to log in elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramSecret {
    pub rounds: u32,
    pub salt: Vec<u8>,
    pub stored_key: [u8; 32],
    pub server_key: [u8; 32],
}

/// Without the keys.
impl fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramSecret").field("rounds", &self.rounds).finish_non_exhaustive()
    }
}

impl ScramSecret {
    /// From a password. Costs `rounds` hashes.
    pub fn derive(password: &str, salt: &[u8], rounds: u32) -> Self {
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, rounds, &mut salted);
        let stored_key = Sha256::digest(keyed(&salted, b"Client Key")).into();
        Self { rounds, salt: salt.to_vec(), stored_key, server_key: keyed(&salted, b"Server Key") }
    }

    /// Of a user that does not exist: the salt is always the same for the same name, and nothing matches it. `key` is
    /// secret and stays.
    pub fn decoy(key: &[u8; 32], user: &str) -> Self {
        let part = |word: &str| keyed(key, format!("{word}\0{user}").as_bytes());
        let salt = part("salt").get(..16).unwrap_or_default().to_vec();
        Self { rounds: ROUNDS, salt, stored_key: part("stored"), server_key: part("server") }
    }

    /// `rounds,salt,StoredKey,ServerKey`, the last three in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(',');
        let rounds = fields.next()?.parse().ok().filter(|rounds| (1..=MOST_ROUNDS).contains(rounds))?;
        let mut bytes = || BASE64.decode(fields.next()?.as_bytes()).ok();
        let (salt, stored_key, server_key) = (bytes()?, bytes()?.try_into().ok()?, bytes()?.try_into().ok()?);
        (fields.next().is_none() && !salt.is_empty()).then_some(Self { rounds, salt, stored_key, server_key })
    }

    /// Costs as many hashes as [`ScramSecret::derive`].
    pub fn is_of(&self, password: &str) -> bool {
        same(&Self::derive(password, &self.salt, self.rounds).stored_key, &self.stored_key)
    }
}

/// The spelling that [`ScramSecret::parse`] reads.
impl fmt::Display for ScramSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] = [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        write!(f, "{},{salt},{stored},{server}", self.rounds)
    }
}

/// In a time that does not depend on where they differ.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b))) == 0
}

pub fn keyed(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text);
    mac.finalize().into_bytes().into()
}
