//! Delivery as the recipient: this program executed anew with the recipient's rights.
//!
//! The child gets the message as standard input and everything else as arguments, and says one line:
//! `delivered|deferred|failed STATUS TEXT`. It runs as a user who may meddle with it, so the line is read as hostile.

use crate::delivery::{Copy, Mailbox};
use crate::original::Original;
use crate::recipient::Recipient;
use crate::verdict::Verdict;
use ipc::agents::Job;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{User, getgrouplist};
use status::{Class, Enhanced, Outcome};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use sys::Identity;

/// The hidden argument.
pub const FLAG: &str = "--deliver";
/// How long a child may take, lock waits and a slow disk included.
const DEADLINE: Duration = Duration::from_secs(300);
/// Bytes of the child's line at most.
const MAX_LINE: usize = 1024;

/// Whose rights a delivery takes. The system's account decides; the attribute must agree with it.
pub fn identity(recipient: &Recipient) -> Result<(Identity, User), Verdict> {
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

/// Delivers one copy through a child with this identity.
pub fn deliver(identity: Identity, mailbox: &Mailbox, job: &Job, address: &str, hostname: &str, file: &File) -> Verdict {
    run(command(mailbox, job, address, hostname), Some(identity), file, DEADLINE)
        .unwrap_or_else(|e| Verdict::of_error("cannot deliver as the user", &e))
        .clean()
}

fn command(mailbox: &Mailbox, job: &Job, address: &str, hostname: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(FLAG).arg(mailbox.word()).arg(mailbox.path()).arg(address).arg(&job.sender).arg(hostname);
    command.arg(job.body_offset.to_string()).arg(job.size.to_string());
    command.env_clear().current_dir("/");
    Ok(command)
}

/// Runs a child and reads its line.
pub fn run(command: io::Result<Command>, identity: Option<Identity>, file: &File, deadline: Duration) -> io::Result<Verdict> {
    let mut command = command?;
    command.stdin(Stdio::from(file.try_clone()?)).stdout(Stdio::piped());
    let mut child = sys::spawn(command, identity, true)?;
    let line = child.stdout.take().map_or(Ok(Vec::new()), |out| read_line(out, Instant::now() + deadline));
    // It has said what it did, or has had its time.
    let _ = child.kill();
    child.wait()?;
    Ok(verdict(&line?).unwrap_or_else(|| Verdict::deferred(3, 0, "the delivery as the user ended without a result")))
}

fn read_line(mut out: ChildStdout, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < MAX_LINE {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(out.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        let mut piece = [0; MAX_LINE];
        match out.read(&mut piece)? {
            0 => break,
            length => line.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    Ok(line)
}

fn verdict(line: &[u8]) -> Option<Verdict> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (word, rest) = line.split_once(' ')?;
    let (status, text) = Enhanced::split(rest)?;
    let (outcome, class) = match word {
        "delivered" => (Outcome::Delivered, Class::Success),
        "deferred" => (Outcome::Deferred, Class::Transient),
        "failed" => (Outcome::Failed, Class::Permanent),
        _ => return None,
    };
    (status.class == class).then(|| Verdict { outcome, status, text: text.to_owned() })
}

fn line(verdict: Verdict) -> String {
    let Verdict { outcome, status, text } = verdict.clean();
    let word = match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Deferred => "deferred",
        Outcome::Failed => "failed",
    };
    format!("{word} {status} {text}\n")
}

/// The child's side: `maildir|mbox PATH ADDRESS SENDER HOSTNAME OFFSET SIZE`.
pub fn child(arguments: &[String]) -> ExitCode {
    crate::service::survive_file_size_limit();
    let verdict = match arguments {
        [kind, path, address, sender, hostname, offset, size] => {
            let mailbox = Mailbox::from_word(kind, PathBuf::from(path));
            match (mailbox, offset.parse(), size.parse()) {
                (Some(mailbox), Ok(offset), Ok(size)) => receive(&mailbox, address, sender, hostname, offset, size),
                _ => Verdict::deferred(3, 5, "wrong arguments"),
            }
        }
        _ => Verdict::deferred(3, 5, "wrong number of arguments"),
    };
    print!("{}", line(verdict));
    ExitCode::SUCCESS
}

fn receive(mailbox: &Mailbox, address: &str, sender: &str, hostname: &str, offset: u64, size: u64) -> Verdict {
    if nix::unistd::geteuid().is_root() {
        return Verdict::failed(7, 1, "nothing is delivered as root");
    }
    let opened = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let result = opened.and_then(|file| {
        let original = Original::open(&file, offset, size)?;
        let now = daemon::clock::unix_seconds();
        Ok(mailbox.deliver(&Copy { original: &original, sender, address, hostname, now }))
    });
    result.unwrap_or_else(|e| Verdict::of_error("the message", &e))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_round_trip_and_foreign_ones_are_nothing() {
        for verdict in [Verdict::delivered("ok"), Verdict::deferred(2, 2, "full"), Verdict::failed(4, 6, "")] {
            assert_eq!(super::verdict(line(verdict.clone()).as_bytes()), Some(verdict));
        }
        for bytes in [&b""[..], b"\n", b"delivered 2.0.0 no end", b"delivered 4.0.0 x\n", b"yes 2.0.0 x\n", b"failed x\n", b"\xff\n"] {
            assert_eq!(verdict(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn children_that_misbehave_defer() {
        let message = tempfile::tempfile().unwrap();
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(script);
            run(Ok(command), None, &message, Duration::from_millis(300))
        };
        assert_eq!(shell("echo failed 5.4.6 loop; exec sleep 100").unwrap(), Verdict::failed(4, 6, "loop"));
        assert_eq!(shell("exit 3").unwrap().outcome, Outcome::Deferred);
        assert_eq!(shell("yes | tr -d '\\n'").unwrap().outcome, Outcome::Deferred);
        assert_eq!(shell("exec sleep 100").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
