//! What the machine has not got, or will not have for long, of what the configuration names. The suite starts without: these
//! may come later, and other mail flows meanwhile.

use crate::configuration::Configuration;
use settings::{Backend, Bind, Fault, Settings, UserSource};
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
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
    for (table, path) in settings.tables.iter().filter_map(|table| Some((table, table.file.as_ref()?))) {
        if let Err(e) = std::fs::metadata(path) {
            say(
                &path.to_string_lossy(),
                format!("table {}: {}: {e}; mail that needs it waits until it can be read", table.name, path.display()),
            );
        }
    }
    let users = if let UserSource::Table(path) = &settings.local.users { Some(path) } else { None };
    for table in settings.alias_files().chain(users.map(std::path::PathBuf::as_path)).chain(settings.lists.folder.as_deref()) {
        if let Err(e) = std::fs::metadata(table) {
            say(&table.to_string_lossy(), format!("{}: {e}; local mail waits until it can be read", table.display()));
        }
    }
    if let Some((path, line)) = users.and_then(|path| Some((path, with_colon(path)?))) {
        let text = format!("{}:{line}: a name with a colon; a line is a name and, behind a blank, a home folder", path.display());
        say(&path.to_string_lossy(), text);
    }
    for (path, text) in secrets(settings) {
        say(&path.to_string_lossy(), format!("{}: {text}", path.display()));
    }
    if settings.auth.backends.contains(&Backend::Pam) && !Path::new("/etc/pam.d").join(&settings.auth.pam_service).exists() {
        let service = &settings.auth.pam_service;
        say(service, format!("auth.pam_service: there is no /etc/pam.d/{service}; PAM goes by its service `other`, which mostly refuses"));
    }
    for service in &settings.policy_services {
        if let Bind::Unix(path) = &service.server
            && let Err(e) = std::fs::metadata(path)
        {
            let text = format!("policy_service {}: {}: {e}; what rules ask it fails until it listens there", service.name, path.display());
            say(&format!("unix:{}", path.display()), text);
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

/// Files of logins and keys that are not there, or open to others; authserver and operator would find out one by one.
fn secrets(settings: &Settings) -> Vec<(&Path, String)> {
    let auth = &settings.auth;
    let file = auth.backends.contains(&Backend::File).then_some((
        auth.password_file.as_path(),
        true,
        "; logins get 454 until it is right; `zpost passwd` makes it",
    ));
    let senders = auth.sender_logins.as_deref().map(|path| (path, false, "; until then nobody has senders from it"));
    let keys = settings.certificates.iter().map(|pair| (pair.key.as_path(), true, ""));
    let files = file.into_iter().chain(senders).chain(keys);
    files.filter_map(|(path, secret, then)| Some((path, format!("{}{then}", unfit(path, secret)?)))).collect()
}

fn unfit(path: &Path, secret: bool) -> Option<String> {
    match std::fs::metadata(path).map(|metadata| metadata.mode()) {
        Err(e) => Some(e.to_string()),
        Ok(mode) if mode & 0o022 != 0 => Some("can be written by others (chmod go-w)".to_owned()),
        Ok(mode) if secret && mode & 0o007 != 0 => Some("can be read by everybody (chmod o-rwx)".to_owned()),
        Ok(_) => None,
    }
}

/// The first line of a table of users that names one as alias files or passwd(5) do. Looks at the beginning of the file.
fn with_colon(table: &Path) -> Option<usize> {
    let lines = BufReader::new(File::open(table).ok()?.take(1 << 16)).lines().map_while(Result::ok);
    let name = |line: &str| line.split_whitespace().next().is_some_and(|name| !name.starts_with('#') && name.contains(':'));
    lines.zip(1..).find_map(|(line, number)| name(&line).then_some(number))
}

/// What is wrong with the time of a certificate; nothing when it is valid for long.
fn ends((from, to): (i64, i64), now: i64) -> Option<String> {
    let days = to.saturating_sub(now) / 86_400;
    match () {
        () if now < from => Some(format!("it is not valid yet, for {}", in_days((from - now) / 86_400))),
        () if now > to => Some(format!("it has expired {} ago; replace it, then `zpost reload`", in_days(-days))),
        () if days < NOTICE => Some(format!("it expires in {}; replace it, then `zpost reload`", in_days(days))),
        () => None,
    }
}

fn in_days(days: i64) -> String {
    match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
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
             [[source]]\npool = \"p\"\naddress = \"127.0.0.1\"\ninterface = \"lo\"\n[local]\naliases = [\"/nowhere/aliases\"]\nusers = \"/nowhere/users\"\n\
             [lists]\nfolder = \"/nowhere/lists\"\n",
            crate::tests::SMALLEST
        );
        std::fs::write(&path, text).unwrap();
        let found: Vec<(usize, String)> =
            doubts(&Configuration::read(&path).unwrap()).into_iter().map(|fault| (fault.line, fault.text)).collect();
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [17, 18, 20, 7, 10, 11], "{found:?}");
    }

    #[test]
    fn files_of_logins_and_keys_are_looked_at() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let [path, passwd, users] = ["zpost.toml", "passwd", "users"].map(|name| folder.path().join(name));
        let text = format!(
            "{}[auth]\nbackends = [\"file\", \"pam\"]\npassword_file = \"{}\"\npam_service = \"no-such\"\n[local]\nusers = \"{}\"\n\
             [[policy_service]]\nname = \"grey\"\nserver = \"unix:/nowhere/grey\"\n",
            crate::tests::SMALLEST,
            passwd.display(),
            users.display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::write(&users, "# all\nann /srv/ann\nbob: x\n").unwrap();
        let say = || -> Vec<String> {
            doubts(&Configuration::read(&path).unwrap()).into_iter().map(|fault| format!("{}: {}", fault.line, fault.text)).collect()
        };
        let found = say().join("\n");
        for part in ["users:3: a name with a colon", "passwd: No such file", "no /etc/pam.d/no-such", "grey: /nowhere/grey: No such file"] {
            assert!(found.contains(part), "{found}");
        }
        assert!(!found.lines().any(|line| line.starts_with("0:")), "a doubt without its line: {found}");
        std::fs::write(&passwd, "").unwrap();
        for (mode, part) in [(0o644, "chmod o-rwx"), (0o660, "chmod go-w")] {
            std::fs::set_permissions(&passwd, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(say().iter().any(|line| line.contains(part)), "{:?}", say());
        }
        std::fs::set_permissions(&passwd, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(!say().iter().any(|line| line.contains("passwd")), "{:?}", say());
    }

    #[test]
    fn certificates_are_spoken_of_before_they_end() {
        let day = 86_400;
        let says = |now: i64| ends((10 * day, 100 * day), now * day);
        assert_eq!(says(50), None);
        assert_eq!(says(5).as_deref(), Some("it is not valid yet, for 5 days"));
        assert_eq!(says(90).as_deref(), Some("it expires in 10 days; replace it, then `zpost reload`"));
        assert_eq!(says(99).as_deref(), Some("it expires in 1 day; replace it, then `zpost reload`"));
        assert_eq!(says(103).as_deref(), Some("it has expired 3 days ago; replace it, then `zpost reload`"));
    }
}
