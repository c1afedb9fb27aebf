//! Spawning a program as another user: setgroups, setgid, setuid between fork and exec.

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, getpid, getppid, setgroups, setresgid, setresuid};
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

/// Spawns `command` bound to the calling thread: however that ends (SIGKILL too), the kernel kills the child. For
/// programs of others, which would otherwise outlive the suite.
pub fn spawn_bound(mut command: Command) -> io::Result<Child> {
    let parent = getpid();
    let prepare = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the call: then no signal will come.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(nix::errno::Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec the closure makes only async-signal-safe system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Stdio;

    #[test]
    fn a_bound_child_dies_with_its_parent() {
        let (mut ours, theirs) = io::pipe().unwrap();
        let spawner = std::thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("1000").stdin(Stdio::null()).stdout(theirs);
            spawn_bound(command).unwrap()
        });
        let mut child = spawner.join().unwrap();
        // The end of its output: nobody holds it any more.
        ours.read_to_end(&mut Vec::new()).unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
