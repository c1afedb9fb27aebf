//! SPF: crate `spf` on our look-ups, so that it shares their cache and their limits.

use crate::answers::{Search, reverse_name};
use crate::records::{Kind, Records};
use ipc::dns::{Spf, Trouble};
use spf::{Client, Family, Names};
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For a whole check (RFC 7208 section 4.6.4 asks for 20 seconds at least): each of its look-ups has the deadline of one.
pub const LONGEST: Duration = Duration::from_secs(20);

pub async fn check(search: &Search<'_>, address: IpAddr, hello: &str, sender: Option<String>) -> Spf {
    // Domains are compared and asked for in their ASCII form; what has none is no domain to SPF.
    let ascii = |domain: &str| address::normalise(domain).unwrap_or_default();
    let sender = sender.filter(|sender| !sender.is_empty()).map(|sender| match sender.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", ascii(domain)),
        None => format!("{sender}@"),
    });
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    spf::check(&Zone(*search), &Client { address, hello: ascii(hello), sender, time }).await
}

struct Zone<'a>(Search<'a>);

impl Zone<'_> {
    async fn find(&self, name: &str, kind: Kind) -> Result<Records, Trouble> {
        // Expanded macros hold any byte of a local part.
        let fits = !name.is_empty() && name.len() <= 253 && name.split('.').all(|label| matches!(label.len(), 1..=63));
        if !fits || !name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Trouble::Invalid);
        }
        self.0.find(name, kind).await.0
    }
}

impl Names for Zone<'_> {
    async fn texts(&self, name: String) -> Result<Vec<String>, Trouble> {
        match self.find(&name, Kind::Txt).await? {
            Records::Texts(texts) => Ok(texts),
            _ => Err(Trouble::NoRecords),
        }
    }

    async fn addresses(&self, name: String, kind: Family) -> Result<Vec<IpAddr>, Trouble> {
        let kind = if kind == Family::V4 { Kind::A } else { Kind::Aaaa };
        match self.find(&name, kind).await? {
            Records::Addresses(list) => Ok(list),
            _ => Err(Trouble::NoRecords),
        }
    }

    async fn exchanges(&self, name: String) -> Result<Vec<String>, Trouble> {
        match self.find(&name, Kind::Mx).await? {
            Records::Exchanges(list) => Ok(list.into_iter().filter_map(|exchange| exchange.host).collect()),
            _ => Err(Trouble::NoRecords),
        }
    }

    async fn pointers(&self, address: IpAddr) -> Result<Vec<String>, Trouble> {
        match self.find(&reverse_name(address), Kind::Ptr).await? {
            Records::Names(names) => Ok(names),
            _ => Err(Trouble::NoRecords),
        }
    }
}
