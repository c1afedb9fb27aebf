//! keyholder: signs for the TLS connections of the suite, with private keys that nobody else has.
//!
//! **Does.** Holds the keys of `[[certificate]]` and `[tls]`, which the master has read, and answers `ipc::keys::Sign`. Keys
//! that sign within microseconds do so in the loop; RSA signatures are made by threads, one for each processor.
//!
//! **Trusts** the master. Its askers it trusts so far that they may have handshakes signed: nothing that is not the message of
//! a TLS handshake, of the side that the key belongs to, gets a signature (`tls::keys::shape`). A worker that is taken over can pass for the
//! server for as long as it is heard, and takes no key along.
//!
//! **May touch** nothing: no file, no network, no other process; its memory is locked, never dumped, and not to be looked into
//! by processes of the same user.
//!
//! **When it dies** handshakes fail after 2 s until its successor answers; sessions that are open, and those that are
//! resumed, do not need it.
//!
//! **Standards.** RFC 5246 section 7.4.3, 8422 section 5.4, 8446 section 4.4.3.

mod ring;
mod signers;

use daemon::Contacts;
use ipc::keys::{Sign, Signed};
use nix::sys::mman::{MlockAllFlags, mlockall};
use ring::Ring;
use sandbox::Needs;
use signers::{Job, Signers};
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subdaemon::{Asker, Desk, Service};

/// Workers of the generation before have so long beyond `processes.drain` for handshakes with the former keys.
const GRACE: Duration = Duration::from_secs(60);

struct Keeper {
    ring: Ring,
    /// Of the generation before, and until when.
    former: Option<(Ring, Instant)>,
    signers: Signers,
}

impl Keeper {
    fn begin(desk: &mut Desk<Signed>) -> io::Result<Self> {
        let ring = Ring::read(&mut desk.started.contacts).map_err(io::Error::other)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let wish = desk.started.settings.processes.sandbox;
        sandbox::confine(wish, &Needs { secret: true, ..Needs::nothing() })?;
        let keeper = Self { ring, former: None, signers: Signers::start(threads, desk.waker())? };
        keeper.settle(desk);
        Ok(keeper)
    }

    /// What there is to be said of the keys once they are read.
    fn settle(&self, desk: &Desk<Signed>) {
        desk.started.counters.set("keys_now", self.ring.len() as u64);
        // Not what is mapped later: beyond the limit of locked memory every allocation would fail.
        if let Err(e) = mlockall(MlockAllFlags::MCL_CURRENT) {
            daemon::event!(Debug, "memory_not_locked", reason = e);
        }
    }

    fn answer(desk: &mut Desk<Signed>, asker: Asker, number: u64, signature: Result<Vec<u8>, String>) {
        desk.started.counters.add(if signature.is_ok() { "signatures" } else { "refused" }, 1);
        if let Err(reason) = &signature {
            daemon::event!(Warning, "not_signed", reason = reason);
        }
        desk.answer(asker, Signed { number, signature });
    }
}

impl Service for Keeper {
    type In = Sign;
    type Out = Signed;

    fn heed(&mut self, asker: Asker, frame: Sign, desk: &mut Desk<Signed>) {
        let former = self.former.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(ring, _)| ring);
        let Some(key) = self.ring.find(&frame).or_else(|| former?.find(&frame)) else {
            return Self::answer(desk, asker, frame.number, Err("no such key".to_owned()));
        };
        if key.is_quick() {
            let signature = key.sign(frame.scheme, &frame.message).map_err(|refused| refused.to_string());
            return Self::answer(desk, asker, frame.number, signature);
        }
        let number = frame.number;
        if !self.signers.put(Job { asker, key: key.clone(), question: frame }) {
            Self::answer(desk, asker, number, Err("too much to sign at once".to_owned()));
        }
    }

    fn work(&mut self, now: Instant, desk: &mut Desk<Signed>) {
        for done in self.signers.take() {
            Self::answer(desk, done.asker, done.number, done.signature);
        }
        self.former.take_if(|(_, until)| *until <= now);
    }

    fn wake(&self) -> Option<Instant> {
        self.former.as_ref().map(|(_, until)| *until)
    }

    fn reload(&mut self, mut contacts: Contacts, desk: &mut Desk<Signed>) -> Result<(), String> {
        let until = Instant::now() + desk.started.settings.processes.drain + GRACE;
        let fresh = Ring::read(&mut contacts)?;
        self.former = Some((std::mem::replace(&mut self.ring, fresh), until));
        self.settle(desk);
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.signers.are_idle()
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    subdaemon::run("keyholder", Keeper::begin)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
