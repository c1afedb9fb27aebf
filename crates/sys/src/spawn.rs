//! Spawning a program as another user: setgroups, setgid, setuid between fork and exec.

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Who a child process becomes, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub uid: Uid,
    pub gid: Gid,
    /// Supplementary groups, looked up beforehand: nothing between fork and exec may read files.
    pub groups: Vec<Gid>,
}

/// Spawns `command`; with an identity the child takes it before exec (groups, then group, then user, all three ids
/// of each, so there is no way back). `new_session` detaches it from the terminal.
pub fn spawn(mut command: Command, identity: Option<Identity>, new_session: bool) -> io::Result<Child> {
    if identity.is_some() || new_session {
        let prepare = move || {
            if new_session {
                nix::unistd::setsid()?;
            }
            if let Some(Identity { uid, gid, groups }) = &identity {
                setgroups(groups)?;
                setresgid(*gid, *gid, *gid)?;
                setresuid(*uid, *uid, *uid)?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes only async-signal-safe system calls and allocates nothing.
        unsafe { command.pre_exec(prepare) };
    }
    command.spawn()
}
