//! The process that has become a user: this program executed anew by the agent that runs as root.
//!
//! It is told whom to become before it touches anything, becomes that user for good and proves it to itself
//! ([`sys::become_user`]), and then delivers one copy after another until the agent closes the conversation. The change
//! happens after exec and not before, so that the kernel keeps the process out of reach of the user's debuggers: it
//! holds messages open whose envelopes name others. The user can still stop or end it; that defers the copy in hand.

use crate::local;
use crate::verdict::Verdict;
use ipc::deliveries::{FromDeliverer, Manner, ToDeliverer};
use ipc::{Channel, RecvError};
use nix::unistd::{Gid, Uid};
use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::Identity;

/// The hidden argument.
pub const FLAG: &str = "--deliver";
/// An agent that says nothing for so long has forgotten this process.
const PATIENCE: Duration = Duration::from_secs(3600);

type Conversation = Channel<FromDeliverer, ToDeliverer>;

/// The whole process.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(daemon::EX_SOFTWARE),
    }
}

fn serve() -> io::Result<()> {
    let mut agent = Conversation::new(sys::take_standard_input()?)?;
    let (frame, _) = agent.recv_by(Instant::now() + PATIENCE)?;
    let ToDeliverer::Become { uid, gid, groups, manner } = frame else { return Err(io::Error::from(io::ErrorKind::InvalidData)) };
    let groups = groups.into_iter().map(Gid::from_raw).collect();
    if let Err(e) = sys::become_user(&Identity { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups }) {
        return agent.send(&FromDeliverer::Refused(e.to_string()));
    }
    // Mail is for its owner's eyes, whatever the agent was started with.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    crate::service::survive_file_size_limit();
    agent.send(&FromDeliverer::Ready)?;
    deliver_all(&mut agent, &manner)
}

fn deliver_all(agent: &mut Conversation, manner: &Manner) -> io::Result<()> {
    loop {
        match agent.recv_by(Instant::now() + PATIENCE) {
            Ok((ToDeliverer::Copy(copy), descriptors)) => {
                let answer = match descriptors.into_iter().next() {
                    Some(message) => local::deliver(&copy, manner, &File::from(message)),
                    None => Verdict::deferred(3, 5, "a copy came without its message").into(),
                };
                agent.send(&FromDeliverer::Done(answer))?;
            }
            Ok(_) => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            Err(RecvError::Closed) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}
