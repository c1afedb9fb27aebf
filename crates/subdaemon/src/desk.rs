//! What a service has before it.

use daemon::Started;
use mio::{Registry, Token, Waker};
use std::sync::Arc;

/// A caller's conversation; never used again after it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asker(pub(crate) usize);

impl Asker {
    /// The asker of a number, for services that keep their askers so.
    pub const fn numbered(number: usize) -> Self {
        Self(number)
    }

    pub const fn number(self) -> usize {
        self.0
    }
}

/// The service's side of the frame.
#[derive(Debug)]
pub struct Desk<Out> {
    pub started: Started,
    registry: Registry,
    waker: Arc<Waker>,
    answers: Vec<(Asker, Out)>,
    next: usize,
    pub(crate) retired: bool,
}

impl<Out> Desk<Out> {
    pub(crate) fn new(started: Started, registry: Registry, waker: Arc<Waker>, first: usize) -> Self {
        Self { started, registry, waker, answers: Vec::new(), next: first, retired: false }
    }

    /// Says an answer; lost when the caller has gone.
    pub fn answer(&mut self, asker: Asker, answer: Out) {
        self.answers.push((asker, answer));
    }

    /// Answers said so far, taken.
    pub fn take_answers(&mut self) -> Vec<(Asker, Out)> {
        std::mem::take(&mut self.answers)
    }

    /// Where the service registers sockets of its own.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A token for such a socket, never given twice.
    pub fn token(&mut self) -> Token {
        let token = Token(self.next);
        self.next = self.next.wrapping_add(1);
        token
    }

    /// The first of so many tokens in a row, for the service alone.
    pub fn tokens(&mut self, count: usize) -> Token {
        let first = Token(self.next);
        self.next = self.next.wrapping_add(count);
        first
    }

    /// Ends this process once it is idle, as a drain does: the master starts a successor, for whom new callers wait at the
    /// contact point. For what a process in its sandbox can no longer get.
    pub const fn retire(&mut self) {
        self.retired = true;
    }

    /// Wakes the loop from a thread: [`crate::Service::work`] comes next.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}
