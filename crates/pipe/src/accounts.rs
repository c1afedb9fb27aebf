//! Who the program of a pipe runs as.

use nix::unistd::{Group, User, geteuid, getgrouplist};
use program::Account;
use settings::Pipe;
use std::ffi::CString;
use sys::Identity;

/// The account of a pipe: what it becomes (`None`: stays who we are) and what the environment says.
#[derive(Debug, Clone)]
pub struct Runner {
    pub identity: Option<Identity>,
    pub account: Account,
    /// Numeric id of who the program runs as, which may own it.
    pub uid: u32,
}

/// Looks it up; the text says why the pipe cannot be used.
pub fn runner(pipe: &Pipe) -> Result<Runner, String> {
    let own = geteuid();
    let user = match &pipe.user {
        Some(name) => {
            User::from_name(name).map_err(|e| format!("system accounts: {e}"))?.ok_or_else(|| format!("no such user {name:?}"))?
        }
        None if own.is_root() => return Err(format!("[[pipe]] {} names no user to run as", pipe.name)),
        None => User::from_uid(own).ok().flatten().ok_or("the own user has no account")?,
    };
    let account = Account {
        user: user.name.clone(),
        home: user.dir.to_string_lossy().into_owned(),
        shell: user.shell.to_string_lossy().into_owned(),
    };
    if !own.is_root() {
        // An ordinary user's suite runs everything as that user; [[pipe]] user is for root.
        return Ok(Runner { identity: None, account, uid: own.as_raw() });
    }
    if user.uid.is_root() {
        return Err("nothing is run as root".to_owned());
    }
    let name = CString::new(user.name.as_str()).map_err(|_| "no such user")?;
    let identity = match &pipe.group {
        Some(group) => {
            let found = Group::from_name(group).map_err(|e| format!("system groups: {e}"))?;
            let gid = found.ok_or_else(|| format!("no such group {group:?}"))?.gid;
            Identity { uid: user.uid, gid, groups: vec![gid] }
        }
        None => {
            let groups = getgrouplist(&name, user.gid).map_err(|e| format!("system groups: {e}"))?;
            Identity { uid: user.uid, gid: user.gid, groups }
        }
    };
    Ok(Runner { uid: user.uid.as_raw(), identity: Some(identity), account })
}
