//! Signals as readable events (signalfd), so that no handler ever runs inside other code.

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT: drain and exit 0.
    Drain,
    /// SIGHUP.
    Reload,
    /// SIGCHLD (only the master and agents with children look at it).
    Child,
    /// SIGUSR2: re-execute (the master only).
    Upgrade,
}

/// The signals of this process. Make it before the first thread: threads inherit the mask.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    pub fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Number::SIGTERM, Number::SIGINT, Number::SIGHUP, Number::SIGCHLD, Number::SIGUSR2] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next signal; ask until `None`.
    #[expect(clippy::should_implement_trait, reason = "an iterator has an end; this only has pauses")]
    pub fn next(&mut self) -> Option<Signal> {
        loop {
            let info = self.0.read_signal().ok().flatten()?;
            match i32::try_from(info.ssi_signo).ok().and_then(|n| Number::try_from(n).ok()) {
                Some(Number::SIGTERM | Number::SIGINT) => return Some(Signal::Drain),
                Some(Number::SIGHUP) => return Some(Signal::Reload),
                Some(Number::SIGCHLD) => return Some(Signal::Child),
                Some(Number::SIGUSR2) => return Some(Signal::Upgrade),
                _ => {}
            }
        }
    }
}

impl Source for Signals {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_fd().as_raw_fd()).deregister(registry)
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
