//! The Sender Rewriting Scheme: mail that is sent on to another host gets a sender of this one, so that the other side's SPF
//! holds; a report that comes back goes to the sender it was made from. No RFC; Meng Weng Wong's paper of 2003 and what
//! libsrs2 and postsrsd do.
//!
//! ```text
//! user@a.example   by us          SRS0=hash=day=a.example=user@us.example
//! SRS0=...@b.example by us        SRS1=hash=b.example==...@us.example       b may be asked; who asks us is sent on to b
//! ```
//! The hash is the beginning of HMAC-SHA1 over what follows it, so nobody can have mail sent on through us to whom he
//! likes; the day ends that.
//!
//! **Invariant:** no I/O and no clock. What was not made with one of the secrets, or is too old, gives no address.

mod token;

use address::Address;
use std::fmt;
use token::{DAYS, day_of, digest, digests_equal, read_day, write_day};

/// The separators that are taken after `SRS0` and `SRS1`; the first is written.
const SEPARATORS: [char; 3] = ['=', '-', '+'];
/// Bytes of a hash that count at least, and that are written.
const HASH: usize = 4;

/// What signs and believes.
#[derive(Clone)]
pub struct Srs {
    /// The domain of what is made.
    domain: String,
    /// The first signs; all are believed.
    secrets: Vec<Vec<u8>>,
    /// Days that an address is believed.
    max_age: u64,
}

/// Why an address is not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No SRS address at all: it is somebody else's business.
    Other,
    Malformed,
    /// Made by somebody else, or changed on its way.
    Forged,
    Expired,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "no SRS address",
            Self::Malformed => "a malformed SRS address",
            Self::Forged => "an SRS address that was not made here",
            Self::Expired => "an SRS address that is too old",
        })
    }
}

impl std::error::Error for Fault {}

impl fmt::Debug for Srs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Srs").field("domain", &self.domain).field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

impl Srs {
    /// `secrets`: the text of a secret file, one a line. `None`: it has none, or the domain is empty.
    pub fn new(domain: &str, secrets: &str, max_age_days: u64) -> Option<Self> {
        let secrets: Vec<Vec<u8>> = secrets.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(Into::into).collect();
        let good = !secrets.is_empty() && !domain.is_empty();
        good.then(|| Self { domain: domain.to_owned(), secrets, max_age: max_age_days.min(DAYS - 1) })
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The sender with which mail from `sender` is sent on. `None`: it stays, because it is of our domain already, has no
    /// domain, or the local part would be longer than RFC 5321 section 4.5.3.1.1 lets it be.
    pub fn forward(&self, sender: &Address, unix_seconds: u64) -> Option<Address> {
        let (local, domain) = (sender.local(), sender.domain()?);
        if domain.eq_ignore_ascii_case(&self.domain) || local.starts_with('"') || domain.starts_with('[') {
            return None;
        }
        let secret = self.secrets.first()?;
        let made = match scheme(local) {
            Some((0, rest)) => self.guarded(secret, domain, rest),
            Some((_, rest)) => {
                let (_, rest) = rest.get(1..)?.split_once('=')?;
                let (first, rest) = rest.split_once('=')?;
                self.guarded(secret, first, rest)
            }
            None => {
                let day = write_day(day_of(unix_seconds));
                let hash = digest(secret, &[&day, domain, local]);
                format!("SRS0={}={day}={domain}={local}", hash.get(..HASH)?)
            }
        };
        Address::parse(&format!("{made}@{}", self.domain)).ok()
    }

    /// `rest`: of the SRS0 address at `host`, its separator included.
    fn guarded(&self, secret: &[u8], host: &str, rest: &str) -> String {
        let hash = digest(secret, &[host, rest]);
        format!("SRS1={}={host}={rest}", hash.get(..HASH).unwrap_or_default())
    }

    /// The sender that a local part of our domain was made from. Mailers on the way may have changed its case.
    pub fn reverse(&self, local: &str, unix_seconds: u64) -> Result<Address, Fault> {
        let (kind, rest) = scheme(local).ok_or(Fault::Other)?;
        let rest = rest.get(1..).ok_or(Fault::Malformed)?;
        let (hash, signed) = rest.split_once('=').ok_or(Fault::Malformed)?;
        let (text, day) = if kind == 0 { self.open(hash, signed)? } else { self.open_guarded(hash, signed)? };
        if let Some(day) = day {
            let today = day_of(unix_seconds);
            // Days count in a circle of 1024; what is ahead of us is a year or two old, but for a clock's slip.
            let age = (today + DAYS - day) % DAYS;
            if age > self.max_age && age != DAYS - 1 {
                return Err(Fault::Expired);
            }
        }
        Address::parse(&text).map_err(|_| Fault::Malformed)
    }

    /// `day=domain=user`: the address, and when it was made.
    fn open(&self, hash: &str, signed: &str) -> Result<(String, Option<u64>), Fault> {
        let (day, rest) = signed.split_once('=').ok_or(Fault::Malformed)?;
        let (domain, user) = rest.split_once('=').ok_or(Fault::Malformed)?;
        self.check(hash, &[day, domain, user])?;
        let made = read_day(day).ok_or(Fault::Malformed)?;
        Ok((format!("{user}@{domain}"), Some(made)))
    }

    /// `host=rest` with the separator of `rest`: what the host gave out, which it judges itself.
    fn open_guarded(&self, hash: &str, signed: &str) -> Result<(String, Option<u64>), Fault> {
        let (host, rest) = signed.split_once('=').ok_or(Fault::Malformed)?;
        if !rest.starts_with(SEPARATORS) {
            return Err(Fault::Malformed);
        }
        self.check(hash, &[host, rest])?;
        Ok((format!("SRS0{rest}@{host}"), None))
    }

    fn check(&self, hash: &str, parts: &[&str]) -> Result<(), Fault> {
        let signs = |secret: &Vec<u8>| digests_equal(hash, &digest(secret, parts));
        // All are tried, so that the time tells nothing of which it was.
        let good = self.secrets.iter().fold(false, |good, secret| signs(secret) | good);
        if hash.len() >= HASH && good { Ok(()) } else { Err(Fault::Forged) }
    }
}

/// 0 or 1, and what follows, from the separator on.
fn scheme(local: &str) -> Option<(u8, &str)> {
    let (head, rest) = (local.get(..4)?, local.get(4..)?);
    let kind = if head.eq_ignore_ascii_case("SRS0") {
        0
    } else if head.eq_ignore_ascii_case("SRS1") {
        1
    } else {
        return None;
    };
    rest.starts_with(SEPARATORS).then_some((kind, rest))
}

/// Is a local part one of the scheme's?
pub fn is_srs(local: &str) -> bool {
    scheme(local).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
