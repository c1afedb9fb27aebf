//! Names of a client that can be believed: those whose address records lead back to it.

use crate::answers::{Search, reverse_name};
use crate::records::{Kind, Records};
use ipc::dns::Trouble;
use std::net::IpAddr;
use std::rc::Rc;

/// Names that are looked up, as for SPF (RFC 7208 section 4.6.4): whoever owns a reverse zone must not make us ask more.
const MOST_NAMES: usize = 10;

/// The verified names, in the order DNS gave them. None verified is `NoRecords`, but not while one could not be asked for.
pub async fn names(search: &Search<'_>, address: IpAddr) -> Result<Vec<String>, Trouble> {
    let address = address.to_canonical();
    let kind = if address.is_ipv4() { Kind::A } else { Kind::Aaaa };
    let Records::Names(names) = search.find(&reverse_name(address), Kind::Ptr).await.0? else { return Err(Trouble::NoRecords) };
    let asked: Vec<_> = names
        .into_iter()
        .take(MOST_NAMES)
        .map(|name| {
            let (lookups, deadline) = (Rc::clone(search.lookups), search.deadline);
            tokio::task::spawn_local(async move {
                let found = Search { lookups: &lookups, deadline, validate: false }.find(&name, kind).await.0;
                (name, found)
            })
        })
        .collect();
    let (mut verified, mut temporary) = (Vec::new(), None);
    for asked in asked {
        match asked.await {
            Ok((name, Ok(Records::Addresses(list)))) if list.contains(&address) => verified.push(name),
            Ok((_, Err(Trouble::Temporary(text)))) => temporary = temporary.or(Some(text)),
            Ok(_) | Err(_) => {}
        }
    }
    match temporary {
        Some(text) if verified.is_empty() => Err(Trouble::Temporary(text)),
        _ if verified.is_empty() => Err(Trouble::NoRecords),
        _ => Ok(verified),
    }
}
