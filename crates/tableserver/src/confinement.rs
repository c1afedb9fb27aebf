//! What a process may touch once it is confined: what its tables name, for reading.

use sandbox::{Folder, Needs, Network};
use settings::{Sandbox, Table};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What names of hosts are found by.
const NAMES: &[&str] = &["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];
/// Where systems keep their authorities.
const AUTHORITIES: &[&str] =
    &["/etc/ssl", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/pki", "/etc/ca-certificates"];

/// A path and what was there at the start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Granted {
    path: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Granted {
    fn now(path: PathBuf) -> Self {
        let inode = path.metadata().ok().map(|data| (data.dev(), data.ino()));
        Self { path, inode }
    }
}

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
    let mut granted: Vec<Granted> = paths.into_iter().map(Granted::now).collect();
    granted.sort();
    granted.dedup();
    granted
}

/// An URI may ask for it by itself.
fn speaks_tls(table: &Table) -> bool {
    table.tls != "no" || table.servers.iter().any(|server| server.starts_with("ldaps://"))
}

fn folder(file: &Path) -> PathBuf {
    if file.is_dir() { file.to_owned() } else { file.parent().unwrap_or(Path::new("/")).to_owned() }
}

/// From here on nothing but those can be read, nothing written and nothing executed.
pub fn confine(wish: Sandbox, connecting: bool, granted: &[Granted]) -> io::Result<()> {
    let there = granted.iter().filter(|granted| granted.inode.is_some());
    let folders: Vec<(PathBuf, Folder)> = there.map(|granted| (granted.path.clone(), Folder::Read)).collect();
    let network = if connecting { Network::Out } else { Network::Given };
    sandbox::confine(wish, &Needs { network, folders: &folders, ..Needs::nothing() })
        .map_err(|why| io::Error::other(format!("sandbox: {why}; [processes] sandbox = \"try\" goes on without")))
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
            granted(tables.iter()).into_iter().map(|granted| granted.path).collect::<Vec<_>>()
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
