//! What the machine has not got, or will not have for long, of what the configuration names. The suite starts without: these
//! may come later, and other mail flows meanwhile.

use crate::configuration::Configuration;
use settings::{Fault, UserSource};
use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Days before the end of a certificate from which it is spoken of.
const NOTICE: i64 = 14;

/// Looks at certificates, tables, volumes and source addresses.
pub fn doubts(configuration: &Configuration) -> Vec<Fault> {
    let settings = &configuration.settings;
    let mut found = Vec::new();
    let mut say = |value: &str, text: String| found.push(configuration.fault(value, text));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    for chain in settings.certificates.iter().map(|pair| &pair.chain).chain(&settings.tls.certificate) {
        let text = std::fs::read(chain).ok().and_then(|pem| tls::validity(&pem)).and_then(|times| ends(times, now));
        if let Some(text) = text {
            say(&chain.to_string_lossy(), format!("certificate {}: {text}", chain.display()));
        }
    }
    let users = if let UserSource::Table(path) = &settings.local.users { Some(path) } else { None };
    for table in settings.local.aliases.iter().chain(users) {
        if let Err(e) = std::fs::metadata(table) {
            say(&table.to_string_lossy(), format!("{}: {e}; local mail waits until it can be read", table.display()));
        }
    }
    for volume in settings.volumes.iter().filter(|volume| !volume.path.is_dir()) {
        let text = format!("volume {}: {} is no folder; its mail waits until the disk is mounted", volume.name, volume.path.display());
        say(&volume.path.to_string_lossy(), text);
    }
    for source in &settings.sources {
        if source.proxy.is_none() && is_foreign(source.address) {
            let text = format!("source.address: this machine has no address {}; connections from it fail", source.address);
            say(&source.address.to_string(), text);
        }
        if let Some(name) = source.interface.as_ref().filter(|name| !Path::new("/sys/class/net").join(name).exists()) {
            say(name, format!("source.interface: this machine has no interface {name}; connections through it fail"));
        }
    }
    found
}

/// What is wrong with the time of a certificate; nothing when it is valid for long.
fn ends((from, to): (i64, i64), now: i64) -> Option<String> {
    let days = to.saturating_sub(now) / 86_400;
    match () {
        () if now < from => Some(format!("it is not valid yet, for {} days", (from - now) / 86_400)),
        () if now > to => Some(format!("it has expired {} days ago; replace it, then `zpost reload`", -days)),
        () if days < NOTICE => Some(format!("it expires in {days} days; replace it, then `zpost reload`")),
        () => None,
    }
}

/// True when the system says that the address is none of ours.
fn is_foreign(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_err_and(|e| e.kind() == ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_has_not_got_is_found_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zpost.toml");
        let text = format!(
            "{}[[volume]]\nname = \"v\"\npath = \"/nowhere/v\"\n[[source]]\npool = \"p\"\naddress = \"192.0.2.7\"\ninterface = \"no0\"\n\
             [[source]]\npool = \"p\"\naddress = \"127.0.0.1\"\ninterface = \"lo\"\n[local]\naliases = [\"/nowhere/aliases\"]\nusers = \"/nowhere/users\"\n",
            crate::tests::SMALLEST
        );
        std::fs::write(&path, text).unwrap();
        let found: Vec<(usize, String)> =
            doubts(&Configuration::read(&path).unwrap()).into_iter().map(|fault| (fault.line, fault.text)).collect();
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [17, 18, 7, 10, 11], "{found:?}");
    }

    #[test]
    fn certificates_are_spoken_of_before_they_end() {
        let day = 86_400;
        let says = |now: i64| ends((10 * day, 100 * day), now * day);
        assert_eq!(says(50), None);
        assert_eq!(says(5).as_deref(), Some("it is not valid yet, for 5 days"));
        assert_eq!(says(90).as_deref(), Some("it expires in 10 days; replace it, then `zpost reload`"));
        assert_eq!(says(103).as_deref(), Some("it has expired 3 days ago; replace it, then `zpost reload`"));
    }
}
