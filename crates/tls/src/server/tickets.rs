//! Session tickets (RFC 5077, RFC 8446 section 4.6.1) that every process of one service takes, and nobody else.
//!
//! The master makes a [`Secret`] at its start and hands it to all workers. Time is cut into periods; each period's secret is
//! the hash of the one before, and the keys of a service are derived from it and the service's name. A ticket is taken in the
//! period that it was made in and in the next one. Secrets of earlier periods are forgotten, by the master too: who takes
//! one today cannot open tickets of yesterday.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{HMAC_SHA256, Key, sign};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of one period.
const PERIOD: u64 = 6 * 3600;
/// Tickets are taken for two periods at most.
const LIFETIME: u32 = 12 * 3600;
const NAME: usize = 16;
/// No ticket of ours is longer: the client's certificates are what makes one long. (And who may try long ones at will may
/// guess many keys at a time: partitioning oracles.)
const LONGEST: usize = 32 * 1024;

/// The secret of one period, from which those of all later ones follow and those of no earlier one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    period: u64,
    bytes: [u8; 32],
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.period)
    }
}

impl Secret {
    /// Bytes of [`Secret::to_bytes`].
    const LENGTH: usize = 40;

    /// A new one; `None`: the system has no randomness.
    pub fn new() -> Option<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self { period: period_now().saturating_sub(1), bytes })
    }

    /// Forgets what is older than the period before this one.
    pub fn forget(&mut self) {
        *self = self.since(period_now().saturating_sub(1));
    }

    /// For a memory file.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.period.to_be_bytes()[..], &self.bytes].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (period, rest) = bytes.split_first_chunk::<8>().filter(|_| bytes.len() == Self::LENGTH)?;
        Some(Self { period: u64::from_be_bytes(*period), bytes: rest.try_into().ok()? })
    }

    /// That of a later period; this one where the clock went back.
    fn since(&self, period: u64) -> Self {
        let mut secret = self.clone();
        while secret.period < period {
            secret = Self { period: secret.period + 1, bytes: secret.derive(&[b"next"]) };
        }
        secret
    }

    fn derive(&self, words: &[&[u8]]) -> [u8; 32] {
        let mut text = b"zpost tickets".to_vec();
        for word in words {
            text.extend_from_slice(&(word.len() as u64).to_be_bytes());
            text.extend_from_slice(word);
        }
        let tag = sign(&Key::new(HMAC_SHA256, &self.bytes), &text);
        tag.as_ref().try_into().unwrap_or([0; 32])
    }
}

fn period_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) / PERIOD
}

/// The keys of one service in one period.
struct Keys {
    name: [u8; NAME],
    key: LessSafeKey,
}

impl Keys {
    fn new(secret: &Secret, service: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &secret.derive(&[b"key", service])).ok()?;
        let name = *secret.derive(&[b"name", service]).first_chunk()?;
        Some(Self { name, key: LessSafeKey::new(key) })
    }

    fn seal(&self, content: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        // By chance, for many processes use the same key: 2^32 tickets a period would be too many, 200,000 a second.
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = content.to_vec();
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(self.name), &mut sealed).ok()?;
        Some([&self.name[..], &nonce, &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let rest = ticket.strip_prefix(&self.name)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let mut content = sealed.to_vec();
        let length = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.name), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}

/// What holds in one period.
struct Current {
    period: u64,
    /// The oldest that is still of use.
    secret: Secret,
    before: Option<Keys>,
    now: Option<Keys>,
}

/// Makes and takes the tickets of one service.
pub(super) struct Tickets {
    service: Vec<u8>,
    current: Mutex<Current>,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({})", self.service.escape_ascii())
    }
}

impl Tickets {
    /// `policy`: what clients must prove; who has proved something under one policy has not under another.
    pub fn new(secret: Secret, service: &str, policy: Option<[u8; 32]>) -> Self {
        let service = [service.as_bytes(), b"\0", policy.as_ref().map_or(&[][..], |digest| &digest[..])].concat();
        let current = Current { period: 0, secret, before: None, now: None };
        Self { service, current: Mutex::new(current) }
    }

    fn with<T>(&self, period: u64, use_keys: impl FnOnce(&Current) -> Option<T>) -> Option<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.now.is_none() || current.period < period {
            let before = current.secret.since(period.saturating_sub(1));
            let now = before.since(before.period + 1);
            current.period = now.period;
            current.before = Keys::new(&before, &self.service);
            current.now = Keys::new(&now, &self.service);
            current.secret = before;
        }
        use_keys(&current)
    }

    fn seal(&self, period: u64, content: &[u8]) -> Option<Vec<u8>> {
        self.with(period, |keys| keys.now.as_ref()?.seal(content)).filter(|ticket| ticket.len() <= LONGEST)
    }

    fn open(&self, period: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST {
            return None;
        }
        self.with(period, |keys| [&keys.now, &keys.before].into_iter().flatten().find_map(|keys| keys.open(ticket)))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(period_now(), plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(period_now(), cipher)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn tickets(secret: &Secret, service: &str, policy: Option<[u8; 32]>) -> Tickets {
        Tickets::new(secret.clone(), service, policy)
    }

    #[test]
    fn a_ticket_is_good_in_any_process_of_its_service_and_nowhere_else() {
        let secret = Secret::new().unwrap();
        let copy = Secret::from_bytes(&secret.to_bytes()).unwrap();
        let now = secret.period + 1;
        let ticket = tickets(&secret, "smtp", None).seal(now, b"state").unwrap();
        assert_eq!(tickets(&copy, "smtp", None).open(now, &ticket).unwrap(), b"state");
        for other in
            [tickets(&copy, "submission", None), tickets(&copy, "smtp", Some([0; 32])), tickets(&Secret::new().unwrap(), "smtp", None)]
        {
            assert_eq!(other.open(now, &ticket), None, "{other:?}");
        }
    }

    #[test]
    fn two_periods_and_no_longer() {
        let secret = Secret::new().unwrap();
        let now = secret.period + 1;
        let maker = tickets(&secret, "smtp", None);
        let ticket = maker.seal(now, b"state").unwrap();
        for (later, good) in [(0, true), (1, true), (2, false), (1000, false)] {
            assert_eq!(tickets(&secret, "smtp", None).open(now + later, &ticket).is_some(), good, "{later}");
        }
        // A worker that starts later, from what the master then has.
        let later = secret.since(now);
        assert!(tickets(&later, "smtp", None).open(now + 1, &ticket).is_some());
        assert!(tickets(&later.since(now + 1), "smtp", None).open(now + 2, &ticket).is_none());
        // The clock goes back: what is gone stays gone, what is made now is good.
        assert!(maker.open(now + 5, &ticket).is_none());
        assert!(maker.open(now, &ticket).is_none());
        assert!(maker.open(now, &maker.seal(now, b"x").unwrap()).is_some());
    }

    #[test]
    fn damaged_tickets_are_none() {
        let secret = Secret::new().unwrap();
        let (now, maker) = (secret.period + 1, tickets(&secret, "smtp", None));
        let ticket = maker.seal(now, b"state").unwrap();
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(maker.open(now, &damaged), None);
            assert_eq!(maker.open(now, &ticket[..at]), None);
        }
        assert_eq!(maker.open(now, &vec![0; LONGEST + 1]), None);
        assert!(Secret::from_bytes(&[0; 39]).is_none());
    }
}
