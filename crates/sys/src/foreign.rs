//! Starting programs of others: another user's rights, a session and a process group of their own, no descriptors, no
//! blocked signals, limits; and the end of a process as a readable event.

use crate::Identity;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getpid, getppid, setgroups, setresgid, setresuid, setsid};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// How a program of others begins.
#[derive(Debug)]
pub struct Launch {
    /// Who it becomes, for good; `None`: who we are.
    pub identity: Option<Identity>,
    pub umask: u32,
    /// Its descriptor 3. Everything else above 2 is closed for it.
    pub third: Option<OwnedFd>,
    /// Descriptors it may open.
    pub open_files: u64,
}

/// Starts it, in a session and process group of its own (the group has the number of the process). It ends with the
/// calling thread, as with [`crate::spawn_bound`], unless it is a set-id program: those the kernel lets live.
pub fn spawn_foreign(mut command: Command, launch: Launch) -> io::Result<Child> {
    let parent = getpid();
    // Between fork and exec std holds a pipe that tells of a failed exec. It must not be number 3, so something else is.
    let _occupied = fcntl(File::open("/dev/null")?, FcntlArg::F_DUPFD_CLOEXEC(3)).map(owned)?;
    let third = launch.third.as_ref().map(|fd| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(4)).map(owned)).transpose()?;
    let prepare = move || {
        setsid()?;
        SigSet::empty().thread_set_mask()?;
        umask(Mode::from_bits_truncate(launch.umask));
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        setrlimit(Resource::RLIMIT_NOFILE, launch.open_files, launch.open_files)?;
        if let Some(Identity { uid, gid, groups }) = &launch.identity {
            setgroups(groups)?;
            setresgid(*gid, *gid, *gid)?;
            setresuid(*uid, *uid, *uid)?;
        }
        close_above_two(third.as_ref())?;
        // After the change of user, which would undo it.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(nix::errno::Errno::ESRCH)) }
    };
    // SAFETY: between fork and exec the closure makes only async-signal-safe system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Everything above 2 closes at exec, but for what becomes number 3.
fn close_above_two(third: Option<&OwnedFd>) -> io::Result<()> {
    // SAFETY: close_range takes numbers only; with CLOEXEC nothing is closed before exec. A kernel without it (before
    // 5.11) leaves things as they are: everything of ours is close-on-exec anyway.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    let Some(third) = third else { return Ok(()) };
    // SAFETY: both are numbers; 3 is nothing of std's (see above), and the copy is not close-on-exec.
    if unsafe { libc::dup2(third.as_raw_fd(), 3) } == 3 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Readable once the process has ended.
pub fn watch(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, i64::from(child.id()), 0) };
    RawFd::try_from(fd).ok().filter(|fd| *fd >= 0).map(owned).ok_or_else(io::Error::last_os_error)
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: only called with a descriptor that the kernel has just made for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::process::Stdio;

    fn launch(third: Option<OwnedFd>) -> Launch {
        Launch { identity: None, umask: 0o077, third, open_files: 64 }
    }

    #[test]
    fn only_descriptors_0_to_2_and_the_third_are_there() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"here\n").unwrap();
        file.rewind().unwrap();
        for (third, wanted) in [(None, "0 1 2 \n"), (Some(file.into()), "0 1 2 3 \nhere\n")] {
            let given = third.is_some();
            // A descriptor that lacks close-on-exec, as a careless library would leave it.
            let careless = nix::unistd::dup(io::stderr()).unwrap();
            let mut command = Command::new("/bin/sh");
            let script = "n=0; while [ $n -lt 60 ]; do test -e /proc/$$/fd/$n && printf '%s ' $n; n=$((n+1)); done; echo; \
                test -e /proc/$$/fd/3 && cat <&3; umask >&2; :";
            command.args(["-c", script]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let output = spawn_foreign(command, launch(third)).unwrap().wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{given}");
            assert_eq!(output.stderr, b"0077\n");
            drop(careless);
        }
    }

    #[test]
    fn signals_reach_it_and_its_end_is_seen() {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.thread_block().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null());
        let mut child = spawn_foreign(command, launch(None)).unwrap();
        let end = watch(&child).unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        nix::sys::signal::killpg(pid, Signal::SIGTERM).unwrap();
        let mut fds = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&end), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE).unwrap();
        assert!(child.try_wait().unwrap().is_some());
    }
}
