//! Programs and files that aliases and lists name: whose rights they take, and, once this process has them, what is done.
//!
//! The router's word is believed for what the administrator has written, which runs as `[local] alias_user` and nobody else.
//! For what a user has written it is not: the process that has become the user reads the user's file again, and does only
//! what stands there and what nobody else can have put there. So a router in wrong hands cannot act as users.

use crate::account;
use crate::forward::{self, Entry};
use crate::home;
use crate::recipient::{TaskKeeper, Wanted};
use crate::verdict::Verdict;
use ipc::deliveries::{Manner, Place, PlaceKind, Task, TaskKind};
use lookup::Value;
use settings::Settings;
use std::path::{Path, PathBuf};
use sys::Identity;

/// Who runs what the administrator names, where `[local] alias_user` does not say and this process is root.
const NOBODY: &str = "nobody";

/// What a task becomes: it, whose rights it takes (`None`: this process's), the user's name, home and shell.
pub struct Prepared {
    pub task: Task,
    pub identity: Option<Identity>,
    pub user: String,
    pub home: Option<String>,
    pub shell: String,
}

/// `own`: this process delivers as itself.
pub fn prepare(wanted: Wanted, own: bool, settings: &Settings) -> Result<Prepared, Verdict> {
    let Wanted { kind, text, keeper } = wanted;
    let (account, source) = match (keeper, own) {
        (TaskKeeper::Administrator, true) => (None, None),
        (TaskKeeper::Administrator, false) => (Some(account::named(settings.local.alias_user.as_deref().unwrap_or(NOBODY))?), None),
        (TaskKeeper::User(uid, source), true) if uid == nix::unistd::geteuid().as_raw() => (None, Some(source)),
        (TaskKeeper::User(uid, _), true) => {
            return Err(Verdict::deferred(3, 5, format!("this agent is not root, so it cannot do what the user with uid {uid} wants")));
        }
        (TaskKeeper::User(uid, source), false) => (Some(account::of_uid(uid)?), Some(source)),
    };
    // Root runs nothing of the administrator's that is not root's: alias_user may be one that many programs share.
    let own_uid = || nix::unistd::geteuid().as_raw();
    let owner = match &account {
        None => Some(own_uid()),
        Some((identity, _)) => source.is_some().then(|| identity.uid.as_raw()),
    };
    let task = Task { kind, text, source, owner };
    Ok(match account {
        Some((identity, user)) => {
            let (home, shell) = (user.dir.to_string_lossy().into_owned(), user.shell.to_string_lossy().into_owned());
            Prepared { task, identity: Some(identity), user: user.name, home: Some(home), shell }
        }
        None => Prepared { task, identity: None, user: own_name(own_uid()), home: None, shell: String::new() },
    })
}

fn own_name(uid: u32) -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// What stands in for a mailbox in the copy: the file, or nothing that is ever opened.
pub fn place(task: &Task) -> Place {
    match task.kind {
        TaskKind::Program => Place { kind: PlaceKind::Mbox, path: "/dev/null".to_owned() },
        TaskKind::File => {
            let kind = if task.text.ends_with('/') { PlaceKind::Maildir } else { PlaceKind::Mbox };
            Place { kind, path: task.text.trim_end_matches('/').to_owned() }
        }
    }
}

/// The folder a program begins in: the user's home, where there is one.
pub fn folder(home: Option<&str>) -> PathBuf {
    let home = home.filter(|home| home::is_home(home)).map(Path::new).filter(|home| home.is_dir());
    home.unwrap_or(Path::new("/")).to_owned()
}

/// What is to be done, as the user that this process runs as. What is wrong makes the mail wait: its sender is not at fault.
pub fn entry(task: &Task, manner: &Manner) -> Result<Entry, Verdict> {
    let wait = |why: String| Verdict::deferred(3, 5, why);
    if nix::unistd::geteuid().is_root() && !cfg!(test) {
        return Err(Verdict::deferred(7, 1, "no program or file of an alias is served as root"));
    }
    if let Some(source) = &task.source {
        let value = match task.kind {
            TaskKind::Program => Value::Program(task.text.clone()),
            TaskKind::File => Value::File(task.text.clone()),
        };
        lookup::stands_in(Path::new(source), &value, nix::unistd::geteuid().as_raw()).map_err(wait)?;
        if task.kind == TaskKind::Program && !manner.programs {
            return Err(wait("programs of users are not allowed here ([local] forward_programs)".to_owned()));
        }
    }
    let entry = match task.kind {
        TaskKind::Program => forward::program(&task.text),
        TaskKind::File => forward::file(&task.text),
    };
    let entry = entry.map_err(wait)?;
    if let Entry::Program(words) = &entry {
        let name = words.first().map(String::as_str).unwrap_or_default();
        program::check_program(Path::new(name), task.owner).map_err(|fault| wait(fault.to_string()))?;
    }
    Ok(entry)
}
