//! Whose mailbox it is, and whose rights a delivery takes.

use crate::recipient::Recipient;
use crate::verdict::Verdict;
use nix::unistd::{User, getgrouplist};
use std::ffi::CString;
use sys::Identity;

/// The account of a recipient. The system decides; the attribute of the router must agree with it.
pub fn of(recipient: &Recipient) -> Result<(Identity, User), Verdict> {
    let user = match User::from_name(&recipient.user) {
        Ok(Some(user)) => user,
        Ok(None) => return Err(Verdict::failed(1, 1, "no such user")),
        Err(e) => return Err(Verdict::deferred(3, 0, format!("system accounts: {e}"))),
    };
    if user.uid.is_root() {
        return Err(Verdict::failed(7, 1, "nothing is delivered as root; give root an alias"));
    }
    if recipient.uid != Some(user.uid.as_raw()) {
        return Err(Verdict::deferred(3, 5, "the account has changed since the message was routed"));
    }
    let name = CString::new(recipient.user.as_str()).map_err(|_| Verdict::failed(1, 3, "no such user"))?;
    let groups = getgrouplist(&name, user.gid).map_err(|e| Verdict::deferred(3, 0, format!("system groups: {e}")))?;
    Ok((Identity { uid: user.uid, gid: user.gid, groups }, user))
}
