//! The mailbox's path from its pattern.

use crate::recipient::Recipient;
use crate::verdict::Verdict;
use std::path::{Component, Path, PathBuf};

/// Fills `%u` user, `%d` domain, `%h` home and `%%` in. The values are checked, so the result lies where the pattern says.
pub fn expand(pattern: &str, recipient: &Recipient) -> Result<PathBuf, Verdict> {
    let mut path = String::with_capacity(pattern.len() + 32);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            path.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => path.push_str(&recipient.user),
            Some('d') if recipient.domain.is_empty() => return Err(misconfigured("the address has no domain for %d")),
            Some('d') => path.push_str(&recipient.domain),
            Some('h') => path.push_str(home(recipient)?),
            Some('%') => path.push('%'),
            _ => return Err(misconfigured("the mailbox pattern has a wrong %")),
        }
    }
    let path = PathBuf::from(path);
    if !is_plain(&path) {
        return Err(misconfigured("the mailbox pattern gives no absolute path"));
    }
    Ok(path)
}

fn home(recipient: &Recipient) -> Result<&str, Verdict> {
    let home = recipient.home.as_deref().ok_or_else(|| misconfigured("the user has no home folder for %h"))?;
    if is_plain(Path::new(home)) { Ok(home) } else { Err(misconfigured("the user's home folder is no absolute path")) }
}

fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !path.as_os_str().as_encoded_bytes().contains(&0)
}

fn misconfigured(why: &str) -> Verdict {
    Verdict::deferred(3, 5, why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let joe = Recipient::parse("joe%d@x.example", "home=/home/joe").unwrap();
        for (pattern, path) in [
            ("/var/mail/%u/Maildir", Some("/var/mail/joe%d/Maildir")),
            ("/var/mail/%d/%u", Some("/var/mail/x.example/joe%d")),
            ("%h/Maildir", Some("/home/joe/Maildir")),
            ("/a%%b/%u", Some("/a%b/joe%d")),
            ("mail/%u", None),
            ("/mail/%x", None),
            ("/mail/%", None),
            ("/mail/../%u", None),
        ] {
            assert_eq!(expand(pattern, &joe).ok(), path.map(PathBuf::from), "{pattern}");
        }
        for attributes in ["-", "home=", "home=home", "home=/a/../..", "home=/a%00b"] {
            let user = Recipient::parse("joe@x", attributes).unwrap();
            assert_eq!(expand("%h/Maildir", &user).unwrap_err().status.to_string(), "4.3.5", "{attributes}");
        }
    }
}
