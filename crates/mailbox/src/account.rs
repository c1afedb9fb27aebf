//! Whose mailbox it is, and whose rights a delivery takes.

use crate::recipient::Recipient;
use crate::verdict::Verdict;
use nix::unistd::{Uid, User, getgrouplist};
use std::ffi::CString;
use sys::Identity;

/// `[local] user`, who delivers into mailboxes that are no account's.
pub fn of_local_user(name: Option<&str>) -> Result<Identity, Verdict> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Verdict::deferred(3, 5, "nothing is delivered as root; set [local] user, or user= in the table of mailboxes"));
    };
    let user = found(User::from_name(name))?;
    let user = user.ok_or_else(|| Verdict::deferred(3, 5, format!("[local] user: there is no account {name}")))?;
    not_root(user).map(|(identity, _)| identity)
}

/// The account of a recipient. The system decides; the attribute of the router must agree with it.
pub fn of(recipient: &Recipient) -> Result<(Identity, User), Verdict> {
    let name = recipient.account.as_deref().unwrap_or(&recipient.user);
    let user = found(User::from_name(name))?.ok_or_else(|| Verdict::failed(1, 1, "no such user"))?;
    if user.uid.is_root() {
        return Err(Verdict::failed(7, 1, "nothing is delivered as root; give root an alias"));
    }
    if recipient.uid != Some(user.uid.as_raw()) {
        return Err(Verdict::deferred(3, 5, "the account has changed since the message was routed"));
    }
    identity(user)
}

/// The account that programs and files of the administrator's get.
pub fn named(name: &str) -> Result<(Identity, User), Verdict> {
    let user = found(User::from_name(name))?;
    let user = user.ok_or_else(|| Verdict::deferred(3, 5, format!("[local] alias_user: there is no account {name}")))?;
    not_root(user)
}

/// The account of a user who wants a program or file.
pub fn of_uid(uid: u32) -> Result<(Identity, User), Verdict> {
    let user = found(User::from_uid(Uid::from_raw(uid)))?;
    not_root(user.ok_or_else(|| Verdict::deferred(3, 5, format!("there is no account with uid {uid}")))?)
}

fn not_root(user: User) -> Result<(Identity, User), Verdict> {
    if user.uid.is_root() { Err(Verdict::deferred(7, 1, "no program or file of an alias is served as root")) } else { identity(user) }
}

fn found(answer: nix::Result<Option<User>>) -> Result<Option<User>, Verdict> {
    answer.map_err(|e| Verdict::deferred(3, 0, format!("system accounts: {e}")))
}

fn identity(user: User) -> Result<(Identity, User), Verdict> {
    let name = CString::new(user.name.as_str()).map_err(|_| Verdict::failed(1, 3, "no such user"))?;
    let groups = getgrouplist(&name, user.gid).map_err(|e| Verdict::deferred(3, 0, format!("system groups: {e}")))?;
    Ok((Identity { uid: user.uid, gid: user.gid, groups }, user))
}
