//! Addresses of hosts, by the system: its resolver has no deadline, so it is asked on a thread of its own.

use crate::Trouble;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::Instant;

/// A name that is being asked for, once for all who want to know.
#[derive(Default)]
struct Search {
    found: Mutex<Option<Result<Vec<IpAddr>, String>>>,
    over: Condvar,
}

/// One thread a name, however long the system takes.
static OPEN: LazyLock<Mutex<HashMap<String, Arc<Search>>>> = LazyLock::new(Mutex::default);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The addresses of a host, which may be an address itself.
pub fn addresses(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Trouble> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let search = search(host).map_err(|e| Trouble::broken(format!("no thread to find the host's address: {e}")))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let (found, _) =
        search.over.wait_timeout_while(locked(&search.found), left, |found| found.is_none()).unwrap_or_else(PoisonError::into_inner);
    match &*found {
        Some(Ok(addresses)) => Ok(addresses.iter().map(|address| (*address, port).into()).collect()),
        Some(Err(why)) => Err(Trouble::broken(format!("the system does not find the host's address: {why}"))),
        None => Err(Trouble::broken("the system has not found the host's address in time")),
    }
}

fn search(host: &str) -> std::io::Result<Arc<Search>> {
    // Held until the search is in the map, so that its thread takes it out after that.
    let mut open = locked(&OPEN);
    if let Some(search) = open.get(host) {
        return Ok(Arc::clone(search));
    }
    let search: Arc<Search> = Arc::default();
    let (name, theirs) = (host.to_owned(), Arc::clone(&search));
    Builder::new().name("names".to_owned()).spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(|all| all.map(|address| address.ip()).collect());
        locked(&OPEN).remove(&name);
        *locked(&theirs.found) = Some(found.map_err(|e| e.to_string()));
        theirs.over.notify_all();
    })?;
    open.insert(host.to_owned(), Arc::clone(&search));
    Ok(search)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn all_who_ask_at_once_are_told() {
        let asking: Vec<_> = (0..16)
            .map(|port| std::thread::spawn(move || addresses("localhost", port, Instant::now() + Duration::from_secs(60)).unwrap()))
            .collect();
        for (port, asked) in (0..16).zip(asking) {
            let found = asked.join().unwrap();
            assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback() && address.port() == port), "{found:?}");
        }
        assert_eq!(addresses("::1", 7, Instant::now()).unwrap(), ["[::1]:7".parse().unwrap()]);
    }
}
