//! What the routermux hears of a router's life: how much it has routed, how much memory it has come to, and that it is
//! still at work.

use ipc::Channel;
use ipc::routing::{FromRouter, ToRouter};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use settings::Processes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Addresses between two reports.
const STEP: u64 = 1000;
/// A file that begins after so much work without a word is named.
const QUIET: Duration = Duration::from_secs(5);

/// What was said, and when to say more.
#[derive(Debug)]
pub(crate) struct Vitals {
    /// `None`: this system has no such file; memory counts as nothing.
    statm: Option<File>,
    step: u64,
    next: u64,
}

/// Signs of life between the ends of batches.
#[derive(Debug)]
pub(crate) struct Signs(Instant);

impl Vitals {
    pub fn new(processes: &Processes) -> Self {
        let step = processes.addresses_per_router.min(STEP);
        Self { statm: File::open("/proc/self/statm").ok(), step, next: step }
    }

    /// Reports when another thousand addresses have been routed.
    pub fn report(&mut self, addresses: u64, jobs: &mut Channel<FromRouter, ToRouter>) -> io::Result<()> {
        if addresses < self.next {
            return Ok(());
        }
        self.next = addresses.saturating_add(self.step);
        jobs.send(&FromRouter::Spent { addresses, memory: self.memory() })
    }

    /// Bytes of memory that are this process's own: mapped tables belong to the page cache.
    fn memory(&self) -> u64 {
        let mut text = [0; 256];
        let read = self.statm.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let mut pages = text.get(..read).unwrap_or_default().split(|b| *b == b' ').skip(1).map(number);
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| u64::try_from(size).ok());
        resident.saturating_sub(shared).saturating_mul(page.unwrap_or(4096))
    }
}

impl Signs {
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Work begins after idleness, of which nobody expects to hear.
    pub fn rested(&mut self) {
        self.0 = Instant::now();
    }

    /// A file begins: true when it is time to name it.
    pub fn begins(&mut self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.0) >= QUIET;
        if quiet {
            self.0 = now;
        }
        quiet
    }
}

fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// No message may take the host's memory: what asks for more than twice `[processes] router_memory` is refused it, which
/// ends the process, and the routermux knows what it had in hand.
pub(crate) fn limit_memory(processes: &Processes) {
    let wanted = processes.router_memory.saturating_mul(2);
    let limited = getrlimit(Resource::RLIMIT_DATA).and_then(|(_, hard)| {
        let most = wanted.min(hard);
        setrlimit(Resource::RLIMIT_DATA, most, most)
    });
    if let Err(e) = limited {
        daemon::event!(Warning, "no_memory_limit", reason = e);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn every_thousand_addresses_are_reported_with_the_memory() {
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let (mut jobs, mut mux) = (Channel::new(ours).unwrap(), Channel::<ToRouter, FromRouter>::new(theirs).unwrap());
        let mut vitals = Vitals { statm: File::open("/proc/self/statm").ok(), step: 1000, next: 1000 };
        for addresses in [1, 999, 1000, 1001, 1999, 2500] {
            vitals.report(addresses, &mut jobs).unwrap();
        }
        for expected in [1000, 2500] {
            match mux.recv().unwrap().unwrap().0 {
                FromRouter::Spent { addresses, memory } => assert!(addresses == expected && memory > 100_000, "{addresses} {memory}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(mux.recv().unwrap().is_none());
    }

    #[test]
    fn memory_that_is_taken_shows() {
        let vitals = Vitals { statm: File::open("/proc/self/statm").ok(), step: 1, next: 1 };
        let before = vitals.memory();
        let taken = vec![7_u8; 64 << 20];
        assert!(vitals.memory() > before + (48 << 20));
        drop(taken);
    }
}
