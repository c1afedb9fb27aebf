//! SPF (RFC 7208): may this client send mail for this domain?
//!
//! [`check`] evaluates the records of a domain; what it needs of DNS it asks of a [`Names`], so it knows no socket, no
//! clock and no cache.
//!
//! **Invariants.** A check ends: ten terms that need DNS, two look-ups that find nothing, ten addresses of mail hosts, ten
//! names of the client, whatever the records say (section 4.6.4). A record with a fault anywhere decides nothing
//! (section 4.6). What a domain's owner wrote leaves as one line of printable ASCII.

mod domain_spec;
mod evaluate;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod evaluate_tests;
mod expand;
mod explain;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod public_suite;
mod record;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod zone;

use ipc::dns::{Spf, SpfResult, Trouble};
use std::future::Future;
use std::net::IpAddr;

/// The DNS that a check asks. Names come without final dot and may hold any printable ASCII; what cannot be asked for is
/// [`Trouble::Invalid`].
pub trait Names {
    fn texts(&self, name: String) -> impl Future<Output = Result<Vec<String>, Trouble>>;
    /// Of one kind only.
    fn addresses(&self, name: String, kind: Family) -> impl Future<Output = Result<Vec<IpAddr>, Trouble>>;
    /// Names of mail hosts, without that of a null MX.
    fn exchanges(&self, name: String) -> impl Future<Output = Result<Vec<String>, Trouble>>;
    fn pointers(&self, address: IpAddr) -> impl Future<Output = Result<Vec<String>, Trouble>>;
}

/// Which address records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// What is checked.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: IpAddr,
    /// What it called itself.
    pub hello: String,
    /// None for the null sender: the name of the greeting is checked then (section 2.4).
    pub sender: Option<String>,
    /// Seconds since 1970, for explanations.
    pub time: u64,
}

/// The `check_host` of section 4.
pub async fn check(names: &impl Names, client: &Client) -> Spf {
    let hello = client.hello.trim_end_matches('.').to_ascii_lowercase();
    let (local, domain) = match client.sender.as_deref().and_then(|sender| sender.rsplit_once('@')) {
        Some((local, domain)) => (local, domain.trim_end_matches('.').to_ascii_lowercase()),
        None => ("", hello.clone()),
    };
    // Section 4.3.
    let local = if local.is_empty() { "postmaster" } else { local };
    if !is_domain(&domain) {
        return Spf { result: SpfResult::None, domain, explanation: String::new() };
    }
    let subject = expand::Subject {
        address: client.address.to_canonical(),
        hello,
        local: local.to_owned(),
        domain: domain.clone(),
        time: client.time,
        proven: None,
    };
    let (result, explanation) = evaluate::Check::new(names, subject).run(&domain).await;
    Spf { result, domain, explanation }
}

/// Section 4.3: several labels, each of 1 to 63 bytes.
fn is_domain(name: &str) -> bool {
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    name.len() <= 253 && printable && !name.starts_with('[') && name.contains('.') && name.split('.').all(|l| matches!(l.len(), 1..=63))
}
