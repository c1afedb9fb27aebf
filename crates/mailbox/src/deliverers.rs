//! The processes that have become users, on the side of the agent that runs as root. One serves copies of one identity,
//! waits a few seconds for more of them, and is ended then; a limited number waits at a time.

use crate::as_user::FLAG;
use crate::verdict::Verdict;
use ipc::Channel;
use ipc::deliveries::{Answer, Copy, FromDeliverer, Manner, ToDeliverer};
use status::{Class, Outcome};
use std::fs::File;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use sys::Identity;

/// How long a copy may take beside what its programs may: lock waits and a slow disk included.
const DEADLINE: Duration = Duration::from_secs(300);
/// For becoming the user.
const START: Duration = Duration::from_secs(30);
/// How long one waits for another copy.
pub const IDLE: Duration = Duration::from_secs(5);
/// How many wait at most.
const MOST_IDLE: usize = 16;
/// Copies one delivers at most: the account's groups may change.
const MOST_COPIES: u32 = 500;
/// Bytes of a place that is logged.
const MAX_PLACE: usize = 1024;

/// One process.
#[derive(Debug)]
struct Deliverer {
    identity: Identity,
    child: Child,
    conversation: Channel<ToDeliverer, FromDeliverer>,
    since: Instant,
    copies: u32,
}

impl Drop for Deliverer {
    /// It has nothing in hand, or has had its time. Not by closing the conversation alone: a user may have stopped it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All of them.
#[derive(Debug)]
pub struct Deliverers {
    manner: Manner,
    idle: Mutex<Vec<Deliverer>>,
}

impl Deliverers {
    pub const fn new(manner: Manner) -> Self {
        Self { manner, idle: Mutex::new(Vec::new()) }
    }

    /// Delivers one copy as this identity.
    pub fn deliver(&self, identity: &Identity, copy: Copy, message: &File) -> Answer {
        self.try_deliver(identity, copy, message).unwrap_or_else(|e| Verdict::of_error("cannot deliver as the user", &e).into())
    }

    fn try_deliver(&self, identity: &Identity, copy: Copy, message: &File) -> io::Result<Answer> {
        let mut deliverer = match self.take(identity) {
            Some(waiting) => waiting,
            None => Deliverer::start(start()?, identity, &self.manner)?,
        };
        let deadline = Instant::now() + DEADLINE + Duration::from_millis(self.manner.program_time);
        let answer = deliverer.ask(copy, message, deadline)?;
        deliverer.copies += 1;
        self.keep(deliverer);
        Ok(answer)
    }

    fn take(&self, identity: &Identity) -> Option<Deliverer> {
        self.sweep(Instant::now());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|one| one.identity == *identity)?;
        Some(idle.swap_remove(at))
    }

    fn keep(&self, mut deliverer: Deliverer) {
        if deliverer.copies >= MOST_COPIES {
            return;
        }
        deliverer.since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = (idle.len() >= MOST_IDLE).then(|| idle.remove(0));
        idle.push(deliverer);
        drop(idle);
        drop(oldest);
    }

    /// Ends those that have waited long enough; whether any are left.
    pub fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, left) = idle.drain(..).partition::<Vec<_>, _>(|one| now.saturating_duration_since(one.since) >= IDLE);
        *idle = left;
        let any = !idle.is_empty();
        drop(idle);
        drop(ended);
        any
    }
}

/// This program again, still root: it becomes the user by itself.
fn start() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(FLAG).env_clear().envs(std::env::var_os("TZ").map(|zone| ("TZ", zone))).current_dir("/");
    Ok(command)
}

impl Deliverer {
    fn start(mut command: Command, identity: &Identity, manner: &Manner) -> io::Result<Self> {
        let (ours, theirs) = ipc::channel::pair()?;
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = sys::spawn(command, None, true)?;
        let (identity, conversation) = (identity.clone(), Channel::new(ours)?);
        let mut deliverer = Self { identity, child, conversation, since: Instant::now(), copies: 0 };
        let Identity { uid, gid, groups } = &deliverer.identity;
        let groups = groups.iter().map(|group| group.as_raw()).collect();
        let become_user = ToDeliverer::Become { uid: uid.as_raw(), gid: gid.as_raw(), groups, manner: manner.clone() };
        deliverer.conversation.send(&become_user)?;
        match deliverer.conversation.recv_by(Instant::now() + START)? {
            (FromDeliverer::Ready, _) => Ok(deliverer),
            (FromDeliverer::Refused(why), _) => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
            (FromDeliverer::Done(_), _) => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    fn ask(&mut self, copy: Copy, message: &File, deadline: Instant) -> io::Result<Answer> {
        self.conversation.send_with(&ToDeliverer::Copy(Box::new(copy)), vec![message.try_clone()?.into()])?;
        match self.conversation.recv_by(deadline)? {
            (FromDeliverer::Done(answer), _) => sane(answer).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }
}

/// An answer that says one thing, in bounded words.
fn sane(mut answer: Answer) -> Option<Answer> {
    let class = match answer.outcome {
        Outcome::Delivered => Class::Success,
        Outcome::Deferred => Class::Transient,
        Outcome::Failed => Class::Permanent,
    };
    if answer.status.class != class || answer.addresses.len() > crate::forward::MAX_ENTRIES {
        return None;
    }
    answer.text = clean(answer.text);
    answer.warning = answer.warning.map(clean);
    answer.place = answer.place.replace(char::is_control, "?");
    answer.place.truncate(answer.place.floor_char_boundary(MAX_PLACE));
    Some(answer)
}

fn clean(text: String) -> String {
    Verdict::delivered(text).clean().text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::unistd::{Gid, Uid};

    #[test]
    fn answers_are_read_as_hostile() {
        let answer = |verdict: Verdict| Answer::from(verdict);
        assert!(sane(answer(Verdict::delivered("ok"))).is_some());
        let mut lie = answer(Verdict::delivered("ok"));
        lie.outcome = Outcome::Failed;
        assert!(sane(lie).is_none());
        let mut flood = answer(Verdict::delivered("ok"));
        flood.addresses = vec!["a@b".to_owned(); 101];
        assert!(sane(flood).is_none());
        let mut long = answer(Verdict::delivered("ok"));
        (long.text, long.place, long.warning) = ("x\n".repeat(9999), "\u{fc}".repeat(9999), Some("\0".to_owned()));
        let clean = sane(long).unwrap();
        assert!(clean.text.len() <= 512 && !clean.text.contains('\n') && clean.place.len() <= MAX_PLACE);
        assert_eq!(clean.warning.as_deref(), Some("?"));
    }

    #[test]
    fn processes_that_do_not_become_the_user_are_errors() {
        let identity = Identity { uid: Uid::from_raw(65534), gid: Gid::from_raw(65534), groups: Vec::new() };
        for script in ["exit 0", "echo junk >&0", "exec sleep 0.01"] {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(script);
            assert!(Deliverer::start(command, &identity, &crate::tests::manner()).is_err(), "{script}");
        }
    }
}
