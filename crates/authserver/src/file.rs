//! The password file, and the list of senders' logins: read again when they have changed.

use crate::{Answer, Found};
use passwords::{Entry, Logins, Passwords, Secret};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// A file as it was, and what it meant.
struct Known<T> {
    stamp: [i64; 5],
    value: Arc<T>,
}

/// A file of ours that somebody may change at any time.
pub struct Watched<T> {
    path: PathBuf,
    /// Others of this machine may not be able to read it.
    secret: bool,
    parse: fn(&str) -> T,
    known: Mutex<Option<Known<T>>>,
}

impl<T> Watched<T> {
    pub fn new(path: &Path, secret: bool, parse: fn(&str) -> T) -> Self {
        Self { path: path.to_owned(), secret, parse, known: Mutex::new(None) }
    }

    /// What the file says now.
    pub fn value(&self) -> Result<Arc<T>, String> {
        let say = |e: io::Error| format!("{}: {e}", self.path.display());
        let mut file = File::open(&self.path).map_err(say)?;
        let metadata = file.metadata().map_err(say)?;
        self.check(&metadata).map_err(|fault| format!("{}: {fault}", self.path.display()))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&metadata);
        if let Some(known) = known.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(Arc::clone(&known.value));
        }
        let mut text = String::new();
        (&mut file).take(MAX_FILE).read_to_string(&mut text).map_err(say)?;
        let value = Arc::new((self.parse)(&text));
        *known = Some(Known { stamp, value: Arc::clone(&value) });
        Ok(value)
    }

    fn check(&self, metadata: &Metadata) -> Result<(), &'static str> {
        let owner = metadata.uid();
        if !metadata.is_file() {
            Err("is no file")
        } else if metadata.len() > MAX_FILE {
            Err("is too large")
        } else if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
            Err("belongs to another user; give it to root or to the user of authserver (chown)")
        } else if metadata.mode() & 0o022 != 0 {
            Err("can be written by others (chmod go-w)")
        } else if self.secret && metadata.mode() & 0o007 != 0 {
            Err("can be read by everybody (chmod o-rwx)")
        } else {
            Ok(())
        }
    }
}

fn stamp(metadata: &Metadata) -> [i64; 5] {
    let number = |n: u64| i64::from_ne_bytes(n.to_ne_bytes());
    [number(metadata.ino()), number(metadata.len()), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec() ^ metadata.ctime()]
}

/// Reads the password file's text; its faulty lines are logged once, when it is read.
pub fn passwords(text: &str) -> Passwords {
    let (passwords, faults) = Passwords::parse(text);
    for fault in faults.iter().take(20) {
        daemon::event!(Warning, "password_file_fault", line = fault.line, reason = fault.reason);
    }
    passwords
}

/// Is this the user's password? For unknown users a look at a hash takes as long as for others: `decoy`.
pub fn password(file: &Watched<Passwords>, user: &str, password: &str, decoy: Option<&Secret>) -> Answer {
    match lookup(file, user) {
        Err(answer) => answer,
        Ok(None) => {
            if let Some(decoy) = decoy {
                std::hint::black_box(decoy.is_of(password));
            }
            Answer::Unknown
        }
        Ok(Some((name, entry))) => {
            // Keys for SCRAM of the same password would cost as much again.
            let held = entry.secrets.iter().filter(|secret| !matches!(secret, Secret::Scram(_)));
            let right = if held.clone().next().is_some() {
                held.clone().any(|secret| secret.is_of(password))
            } else {
                entry.secrets.iter().any(|secret| secret.is_of(password))
            };
            if right { Answer::Accepted(Found { user: name, senders: entry.senders }) } else { Answer::Wrong }
        }
    }
}

/// The keys of a user for SCRAM.
pub fn keys(file: &Watched<Passwords>, user: &str) -> Answer {
    match lookup(file, user) {
        Err(answer) => answer,
        Ok(None) => Answer::Unknown,
        Ok(Some((name, entry))) => {
            let keys = entry.secrets.iter().find_map(|secret| if let Secret::Scram(keys) = secret { Some(keys.clone()) } else { None });
            let found = Found { user: name, senders: entry.senders };
            keys.map_or(Answer::Unknown, |keys| Answer::Keys(Box::new(keys), found))
        }
    }
}

fn lookup(file: &Watched<Passwords>, user: &str) -> Result<Option<(String, Entry)>, Answer> {
    let passwords = file.value().map_err(|reason| Answer::Temporary(format!("file: {reason}")))?;
    let name = user.to_lowercase();
    Ok(passwords.user(&name).cloned().map(|entry| (name, entry)))
}

pub fn logins(text: &str) -> Logins {
    Logins::parse(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_may_change_or_read_is_not_believed_and_a_changed_one_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let line = |word: &str| {
            let keys = sasl::ScramSecret::derive(word, b"salt", 4096);
            format!("Tim:{}:tim@example.org\n", Secret::Scram(keys))
        };
        let mode = |bits| fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        let file = Watched::new(&path, true, passwords);
        let ask = |word: &str| password(&file, "tim", word, None);
        assert!(matches!(ask("x"), Answer::Temporary(_)), "not there");
        fs::write(&path, line("pencil")).unwrap();
        for bits in [0o644, 0o620, 0o602] {
            mode(bits);
            assert!(matches!(ask("pencil"), Answer::Temporary(_)), "{bits:o}");
        }
        mode(0o640);
        assert_eq!(ask("pencil"), Answer::Accepted(Found { user: "tim".into(), senders: vec!["tim@example.org".into()] }));
        assert_eq!(ask("pen"), Answer::Wrong);
        assert_eq!(password(&file, "ann", "x", None), Answer::Unknown);
        assert!(matches!(keys(&file, "TIM"), Answer::Keys(..)));
        fs::write(folder.path().join("new"), line("pen")).unwrap();
        fs::set_permissions(folder.path().join("new"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(ask("pencil"), Answer::Wrong);
        assert!(matches!(ask("pen"), Answer::Accepted(_)));
    }
}
