//! `zpost passwd`: a user of the password file, see zpost-passwd(5).

use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_NOUSER, EX_OSERR, EX_USAGE, Trouble};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use passwords::{Entry, Passwords};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Longest password: what the SMTP server takes.
const MAX_PASSWORD: usize = 1024;

#[derive(Debug, clap::Args)]
pub struct Passwd {
    /// The user, lower case
    user: String,
    /// Remove the user
    #[arg(long, conflicts_with_all = ["stdin", "senders", "keep"])]
    delete: bool,
    /// Read the password from standard input, one line
    #[arg(long)]
    stdin: bool,
    /// Senders the user may give: user@domain, @domain or *, with commas between; '' for what [auth] senders says
    #[arg(long, value_name = "LIST")]
    senders: Option<String>,
    /// Keep the password; change only the senders
    #[arg(long, requires = "senders", conflicts_with = "stdin")]
    keep: bool,
    /// The file [default: password_file of [auth]]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

pub fn run(site: &Site, what: &Passwd) -> Result<u8, Trouble> {
    let path = what.file.clone().unwrap_or_else(|| site.settings.auth.password_file.clone());
    if path.as_os_str().is_empty() {
        return Err(Trouble::new(EX_USAGE, "no password file; set password_file in [auth], or give --file PATH"));
    }
    let user = passwords::name(&what.user)
        .ok_or_else(|| Trouble::new(EX_DATAERR, format!("`{}` cannot be a user name: no blanks, no colon", what.user.escape_debug())))?;
    let secrets = if what.delete || what.keep { None } else { Some(secrets(&password(what.stdin)?)?) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Another command that writes the file waits here; the lock ends with the process.
    let folder = File::open(folder).map_err(|e| Trouble::io(folder.display(), &e))?;
    let folder = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, e)| Trouble::io(path.display(), &e.into()))?;
    let old = read(&path)?;
    let text = changed(&old, &user, secrets, what)?;
    replace(&path, &folder, &text, site).map_err(|e| Trouble::io(path.display(), &e))?;
    let done = if what.delete { "removed" } else { "written" };
    crate::output::print(format!("{user} {done}\n"))?;
    Ok(0)
}

fn changed(old: &str, user: &str, secrets: Option<Vec<passwords::Secret>>, what: &Passwd) -> Result<String, Trouble> {
    let missing = || Trouble::new(EX_NOUSER, format!("no user {user} in the password file"));
    if what.delete {
        return passwords::remove(old, user).ok_or_else(missing);
    }
    let known = Passwords::parse(old).0.user(user).cloned();
    let senders = match &what.senders {
        Some(list) => senders(list)?,
        None => known.as_ref().map(|entry| entry.senders.clone()).unwrap_or_default(),
    };
    let secrets = secrets.or_else(|| known.map(|entry| entry.secrets)).ok_or_else(missing)?;
    Ok(passwords::put(old, user, &Entry { secrets, senders }))
}

fn senders(list: &str) -> Result<Vec<String>, Trouble> {
    let list: Vec<String> = list.split(',').map(|s| s.trim().to_lowercase()).filter(|s| !s.is_empty()).collect();
    for sender in &list {
        let address = |text: &str| text.contains('@') && address::Address::parse(text).is_ok();
        if sender != "*" && !address(sender) && !sender.strip_prefix('@').is_some_and(|domain| address(&format!("x@{domain}"))) {
            return Err(Trouble::new(EX_DATAERR, format!("`{}` is no user@domain, @domain or *", sender.escape_debug())));
        }
    }
    Ok(list)
}

fn secrets(password: &str) -> Result<Vec<passwords::Secret>, Trouble> {
    let mut salts = [[0; 16]; 2];
    let random = File::open("/dev/urandom").and_then(|mut source| salts.iter_mut().try_for_each(|salt| source.read_exact(salt)));
    random.map_err(|e| Trouble::io("/dev/urandom", &e))?;
    passwords::make(password, &salts).ok_or_else(|| Trouble::new(EX_OSERR, "the password could not be hashed"))
}

/// From standard input, or asked for twice at the terminal.
fn password(stdin: bool) -> Result<String, Trouble> {
    let password = if stdin {
        line()?
    } else if io::stdin().is_terminal() {
        let first = ask("Password: ")?;
        if first != ask("Again: ")? {
            return Err(Trouble::new(EX_DATAERR, "the two are not the same"));
        }
        first
    } else {
        return Err(Trouble::new(EX_USAGE, "no terminal to ask for the password at; give it with --stdin"));
    };
    if password.is_empty() || password.len() > MAX_PASSWORD || password.contains('\0') {
        return Err(Trouble::new(EX_DATAERR, format!("a password has 1 to {MAX_PASSWORD} bytes")));
    }
    Ok(password)
}

fn line() -> Result<String, Trouble> {
    let mut line = String::new();
    io::stdin().lock().take(4096).read_line(&mut line).map_err(|e| Trouble::io("standard input", &e))?;
    Ok(line.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).unwrap_or(&line).to_owned())
}

/// Without showing what is typed.
fn ask(prompt: &str) -> Result<String, Trouble> {
    let trouble = |e: nix::Error| Trouble::io("terminal", &e.into());
    let before = tcgetattr(io::stdin()).map_err(trouble)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    let _ = io::stderr().write_all(prompt.as_bytes());
    tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &hidden).map_err(trouble)?;
    let answer = line();
    let _ = io::stderr().write_all(b"\n");
    tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &before).map_err(trouble)?;
    answer
}

fn read(path: &Path) -> Result<String, Trouble> {
    match fs::read_to_string(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|e| Trouble::io(path.display(), &e)),
    }
}

/// Whole or not at all: written beside it, durable, then renamed. Owner and mode stay as they were; of a new file they
/// are the authserver's user and 0600.
fn replace(path: &Path, folder: &File, text: &str, site: &Site) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let result = write(&new, path, text, site).and_then(|()| fs::rename(&new, path)).and_then(|()| folder.sync_all());
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result
}

fn write(new: &Path, old: &Path, text: &str, site: &Site) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(text.as_bytes())?;
    match fs::metadata(old) {
        Ok(before) => {
            let mine = file.metadata()?;
            if (mine.uid(), mine.gid()) != (before.uid(), before.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
            // Never more open than the authserver takes.
            file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o640))?;
        }
        Err(_) if nix::unistd::geteuid().is_root() => {
            let user = nix::unistd::User::from_name(site.settings.user_of("authserver")).ok().flatten();
            fchown(&file, user.as_ref().map(|user| user.uid.as_raw()), user.as_ref().map(|user| user.gid.as_raw()))?;
        }
        Err(_) => {}
    }
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn what(user: &str) -> Passwd {
        Passwd { user: user.to_owned(), delete: false, stdin: true, senders: None, keep: false, file: None }
    }

    #[test]
    fn a_user_is_put_changed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        let path = folder.path().join("passwords");
        let open = File::open(folder.path()).unwrap();
        let put = |what: &Passwd, word: Option<&str>| {
            let text = changed(&read(&path).unwrap(), "tim", word.map(|word| secrets(word).unwrap()), what)?;
            replace(&path, &open, &text, &site).map_err(|e| Trouble::io("x", &e))
        };
        let user = || Passwords::parse(&read(&path).unwrap()).0.user("tim").cloned();
        put(&Passwd { senders: Some("Tim@Example.org, @x.example".into()), ..what("tim") }, Some("one")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        put(&what("tim"), Some("two")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "never open to all");
        let entry = user().unwrap();
        assert_eq!(entry.senders, ["tim@example.org", "@x.example"], "senders stay");
        assert!(entry.secrets.iter().all(|secret| secret.is_of("two") && !secret.is_of("one")) && entry.secrets.len() == 2);
        put(&Passwd { senders: Some(String::new()), keep: true, ..what("tim") }, None).unwrap();
        assert_eq!(user().unwrap(), Entry { senders: Vec::new(), ..entry });
        put(&Passwd { delete: true, ..what("tim") }, None).unwrap();
        assert_eq!(user(), None);
        assert_eq!(put(&Passwd { delete: true, ..what("tim") }, None).unwrap_err().code, EX_NOUSER);
        assert_eq!(crate::site::tests::scratch(folder.path()).settings.auth.password_file, PathBuf::new());
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn senders_that_are_none() {
        assert!(senders("a@example.org,@example.org,*").is_ok());
        for wrong in ["example.org", "@", "a@b c", "@exa mple", "**"] {
            assert_eq!(senders(wrong).unwrap_err().code, EX_DATAERR, "{wrong}");
        }
    }
}
