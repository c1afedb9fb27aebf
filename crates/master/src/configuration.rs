//! The configuration file: read, checked, and put into a sealed memory file that every child gets.

use crate::Failure;
use crate::certificates::{self, Halves};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use settings::{Fault, Settings};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A configuration is text for people; what is longer is the wrong file.
const LONGEST: u64 = 16 * 1024 * 1024;

/// A checked configuration.
#[derive(Debug)]
pub struct Configuration {
    pub path: PathBuf,
    pub settings: Settings,
    pub text: String,
    /// The text, sealed, for the children: they see exactly what the master checked, whatever becomes of the file.
    pub memory: OwnedFd,
    /// Certificates for TLS with clients; `None`: there are none.
    pub certificates: Option<Halves>,
    /// Paths and texts of the `client_ca` of listeners.
    pub authorities: Option<OwnedFd>,
    /// The certificate of `[tls]`, for TLS with servers.
    pub identity: Option<Halves>,
    /// Passwords of `[[credentials]]` and proxies with the paths of their files, sealed, for the same agents.
    pub secrets: Option<OwnedFd>,
    /// Of `[policy] tables`, in their order.
    pub tables: Vec<OwnedFd>,
}

impl Configuration {
    /// Reads and checks. The error holds every fault, one a line.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let text = read_text(path).map_err(|e| Failure::config(format!("{name}: cannot read the configuration: {e}")))?;
        let settings = settings::parse(&text, &name.to_string()).map_err(|faults| Failure::config(render(path, &faults)))?;
        let memory = sealed(text.as_bytes()).map_err(|e| Failure::system(format!("cannot make a memory file: {e}")))?;
        let mut read = Self {
            path: path.to_owned(),
            settings,
            text,
            memory,
            certificates: None,
            authorities: None,
            identity: None,
            secrets: None,
            tables: Vec::new(),
        };
        let results = (certificates::of_listeners(&read), certificates::of_client(&read), read.try_files(), read.read_secrets());
        let (authorities, tables) = (certificates::authorities(&read), crate::tables::open(&read));
        let mut said = Vec::new();
        (read.certificates, read.identity) = (keep(results.0, &mut said)?, keep(results.1, &mut said)?);
        keep(results.2.map(|()| None::<()>), &mut said)?;
        read.authorities = keep(authorities, &mut said)?;
        read.secrets = keep(results.3, &mut said)?;
        read.tables = keep(tables, &mut said)?.unwrap_or_default();
        if said.is_empty() { Ok(read) } else { Err(Failure::config(said.join("\n"))) }
    }

    /// What others read themselves; that it is there is better known now.
    fn try_files(&self) -> Result<(), Failure> {
        let trouble = |path: &Path, key: &str, e: &dyn std::fmt::Display| {
            let fault = self.fault(&path.to_string_lossy(), format!("{key}: {}: {e}", path.display()));
            Failure::config(render(&self.path, &[fault]))
        };
        if let Some(file) = &self.settings.dns.trust_anchor {
            read_text(file).map_err(|e| trouble(file, "dns.trust_anchor", &e))?;
        }
        if let Some(program) = self.settings.filter.program.first().map(Path::new).filter(|program| program.is_absolute()) {
            std::fs::metadata(program).map_err(|e| trouble(program, "filter.program", &e))?;
        }
        self.try_roots()
    }

    fn try_roots(&self) -> Result<(), Failure> {
        let Some(file) = &self.settings.tls.roots else { return Ok(()) };
        let made =
            read_text(file).map_err(|e| e.to_string()).and_then(|text| tls::client::roots(text.as_bytes()).map_err(|e| e.to_string()));
        let fault = |text: String| self.fault(&file.to_string_lossy(), format!("tls.roots: {}: {text}", file.display()));
        made.map(drop).map_err(|text| Failure::config(render(&self.path, &[fault(text)])))
    }

    /// Path and first line of every password file, with NUL behind each.
    fn read_secrets(&self) -> Result<Option<OwnedFd>, Failure> {
        let of_proxies = self.settings.sources.iter().filter_map(|source| source.proxy_password_file.as_deref());
        let mut text = Vec::new();
        let mut faults = Vec::new();
        for path in self.settings.credentials.iter().map(|c| c.password_file.as_path()).chain(of_proxies) {
            let password = read_secret(path).unwrap_or_else(|reason| {
                faults.push(self.fault(&path.to_string_lossy(), format!("password file {}: {reason}", path.display())));
                String::new()
            });
            for word in [path.display().to_string(), password] {
                text.extend_from_slice(word.as_bytes());
                text.push(0);
            }
        }
        if !faults.is_empty() {
            return Err(Failure::config(render(&self.path, &faults)));
        }
        if text.is_empty() {
            return Ok(None);
        }
        sealed(&text).map(Some).map_err(|e| Failure::system(format!("cannot make a memory file: {e}")))
    }

    /// A fault about a value that stands somewhere in the file: found by its text, else about the whole file.
    pub fn fault(&self, value: &str, text: String) -> Fault {
        let quoted = format!("\"{value}\"");
        let place = self
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with('#'))
            .find_map(|(number, line)| line.find(&quoted).map(|column| (number + 1, column + 1)));
        let (line, column) = place.unwrap_or((0, 0));
        Fault { line, column, text }
    }
}

/// Collects what is the configuration's fault, so that all of it is said at once.
fn keep<T>(result: Result<Option<T>, Failure>, said: &mut Vec<String>) -> Result<Option<T>, Failure> {
    match result {
        Err(failure) if failure.code == daemon::EX_CONFIG => {
            said.push(failure.text);
            Ok(None)
        }
        other => other,
    }
}

/// One fault a line, each with its place in the file where it has one.
pub fn render(path: &Path, faults: &[Fault]) -> String {
    let name = path.display().to_string();
    let lines: Vec<String> = faults.iter().map(|f| f.display(&name)).collect();
    lines.join("\n")
}

pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    text_of(File::open(path)?)
}

fn text_of(file: File) -> io::Result<String> {
    let mut text = String::new();
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(text)
}

/// The first line of a file that only its owner can read; never said in an error.
fn read_secret(path: &Path) -> Result<String, String> {
    use std::os::unix::fs::MetadataExt;
    // Asked of the open file: what is read is what was looked at.
    let file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let metadata = file.metadata().map_err(|e| format!("cannot be read: {e}"))?;
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("others than its owner may read it (mode {:o}); chmod 600", metadata.mode() & 0o777));
    }
    let own = nix::unistd::Uid::effective().as_raw();
    if metadata.uid() != 0 && metadata.uid() != own && own != 0 {
        return Err("it belongs to another user".to_owned());
    }
    let text = text_of(file).map_err(|e| format!("cannot be read: {e}"))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() && !password.chars().any(char::is_control) => Ok(password.to_owned()),
        _ => Err("its first line is no password".to_owned()),
    }
}

/// A memory file that nobody can change any more.
pub fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"zpost-config", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(bytes)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_cannot_be_written() {
        let mut file = File::from(sealed(b"text").unwrap());
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn faults_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zpost.toml");
        let missing = Configuration::read(&path).unwrap_err();
        assert_eq!(missing.code, 78);
        assert!(missing.text.contains("zpost.toml: cannot read"), "{}", missing.text);
        std::fs::write(&path, format!("{}\n[nonsense]\nx = 1\n", crate::tests::SMALLEST)).unwrap();
        let failure = Configuration::read(&path).unwrap_err();
        assert_eq!(failure.code, 78);
        assert!(failure.text.contains("zpost.toml:"), "{}", failure.text);
    }
}
