//! System accounts through NSS, with a short memory.

use crate::TableError;
use nix::errno::Errno;
use nix::unistd::{Uid, User};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an answer of NSS is believed.
const STAY: Duration = Duration::from_secs(60);
/// Answers remembered; beyond that all are forgotten.
const MAX_ANSWERS: usize = 10_000;
/// Longer names are no accounts (LOGIN_NAME_MAX is 256 with the closing NUL).
const MAX_NAME: usize = 255;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub home: String,
}

/// Asks getpwnam and getpwuid. Calls may block; only a process that serves nobody else meanwhile may use it.
#[derive(Debug, Default)]
pub struct Accounts {
    names: HashMap<String, (Instant, Option<Account>)>,
    uids: HashMap<u32, (Instant, Option<Account>)>,
}

impl Accounts {
    pub fn by_name(&mut self, now: Instant, name: &str) -> Result<Option<Account>, TableError> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(['/', ':', '\0']) || name.chars().any(char::is_control) {
            return Ok(None);
        }
        if let Some((asked, account)) = self.names.get(name)
            && now.saturating_duration_since(*asked) < STAY
        {
            return Ok(account.clone());
        }
        let account = answer(User::from_name(name), name)?;
        remember(&mut self.names, name.to_owned(), now, account.clone());
        Ok(account)
    }

    pub fn by_uid(&mut self, now: Instant, uid: u32) -> Result<Option<Account>, TableError> {
        if let Some((asked, account)) = self.uids.get(&uid)
            && now.saturating_duration_since(*asked) < STAY
        {
            return Ok(account.clone());
        }
        let account = answer(User::from_uid(Uid::from_raw(uid)), &uid.to_string())?;
        remember(&mut self.uids, uid, now, account.clone());
        Ok(account)
    }
}

/// getpwnam_r's "not found" comes as one of several error numbers, depending on the NSS module.
fn answer(got: nix::Result<Option<User>>, whom: &str) -> Result<Option<Account>, TableError> {
    match got {
        Ok(user) => Ok(user.map(|u| Account { name: u.name, uid: u.uid.as_raw(), home: u.dir.to_string_lossy().into_owned() })),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(TableError::Temporary(format!("system accounts: {whom}: {e}"))),
    }
}

fn remember<K: std::hash::Hash + Eq>(cache: &mut HashMap<K, (Instant, Option<Account>)>, key: K, now: Instant, account: Option<Account>) {
    if cache.len() >= MAX_ANSWERS {
        cache.clear();
    }
    cache.insert(key, (now, account));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn finds_root_and_not_nonsense() {
        let mut accounts = Accounts::default();
        let now = Instant::now();
        let root = accounts.by_name(now, "root").unwrap().unwrap();
        assert_eq!((root.uid, accounts.by_uid(now, 0).unwrap().unwrap().name.as_str()), (0, "root"));
        for name in ["", "no such account", "a/b", "a\0b", &"x".repeat(300)] {
            assert_eq!(accounts.by_name(now, name).unwrap(), None);
        }
        assert_eq!(accounts.by_name(now, "root").unwrap(), Some(root));
    }
}
