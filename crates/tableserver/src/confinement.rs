//! What a process may touch once it is confined: what its tables name, for reading.

use sandbox::{AUTHORITIES, Granted, NAMES, Needs, Network, folder};
use settings::{Sandbox, Table};
use std::io;
use std::path::PathBuf;

/// What these tables need. Of a file that is replaced by renaming, the folder; of one that is read once, itself.
pub fn granted<'t>(tables: impl Iterator<Item = &'t Table>) -> Vec<Granted> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for table in tables {
        paths.extend(table.file.as_deref().map(folder));
        paths.extend(table.password_file.clone());
        paths.extend(table.ca.clone());
        if !table.servers.is_empty() {
            paths.extend(NAMES.iter().map(PathBuf::from));
        }
        if speaks_tls(table) && table.ca.is_none() {
            paths.extend(AUTHORITIES.iter().map(PathBuf::from));
        }
    }
    Granted::all(paths)
}

/// An URI may ask for it by itself.
fn speaks_tls(table: &Table) -> bool {
    table.tls != "no" || table.servers.iter().any(|server| server.starts_with("ldaps://"))
}

/// From here on nothing but those can be read, nothing written and nothing executed.
pub fn confine(wish: Sandbox, connecting: bool, granted: &[Granted]) -> io::Result<()> {
    let folders = Granted::folders(granted);
    let network = if connecting { Network::Out } else { Network::Given };
    sandbox::confine(wish, &Needs { network, folders: &folders, ..Needs::nothing() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_read_where_tls_is_spoken_and_none_are_named() {
        let granted = |server: &str, more: &str| {
            let text = format!(
                "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[table]]\nname = \"t\"\nkind = \"ldap\"\nservers = [\"{server}\"]\n\
                 base = \"dc=x\"\nfilter = \"(a=%k)\"\nattributes = [\"a\"]\n{more}"
            );
            let tables = settings::parse(&text, "x").unwrap().tables;
            granted(tables.iter()).into_iter().map(|granted| granted.path().to_owned()).collect::<Vec<_>>()
        };
        for (server, more, system) in [
            ("ldap://h", "", false),
            ("ldaps://h", "", true),
            ("ldap://h", "tls = \"starttls\"\n", true),
            ("ldaps://h", "ca = \"/etc/zpost/ca.pem\"\n", false),
        ] {
            let granted = granted(server, more);
            assert_eq!(granted.iter().any(|path| path.starts_with("/etc/ssl")), system, "{server} {more}: {granted:?}");
            assert_eq!(granted.contains(&"/etc/zpost/ca.pem".into()), !more.is_empty() && !system);
        }
    }
}
