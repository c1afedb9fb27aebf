//! A conversation with a subdaemon: opened when first needed, opened again when it broke, every question with a deadline.

use ipc::{Caller, Channel, Frame, RecvError};
use mio::{Interest, Registry, Token};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How often one question is put: a question that breaks two conversations may be what breaks them.
const TRIES: u8 = 2;
/// Wait before another attempt at a contact point that took no call.
const CALL_AGAIN: Duration = Duration::from_millis(500);

/// An answer says which question it is for.
pub(crate) trait Numbered {
    fn number(&self) -> u64;
}

impl Numbered for ipc::routing::Told {
    fn number(&self) -> u64 {
        self.number
    }
}
impl Numbered for ipc::rates::Verdict {
    fn number(&self) -> u64 {
        self.number
    }
}
impl Numbered for ipc::filter::Judged {
    fn number(&self) -> u64 {
        self.number
    }
}

/// Wait before another attempt at a socket that was full.
pub(crate) const ROOM_AGAIN: Duration = Duration::from_millis(10);

struct Asked<Out, P> {
    question: Out,
    /// What waits for the answer.
    place: P,
    tries: u8,
}

pub(crate) struct Helper<Out, In, P> {
    token: Token,
    caller: Option<Caller>,
    channel: Option<Channel<Out, In>>,
    patience: Duration,
    open: HashMap<u64, Asked<Out, P>>,
    /// In the order of asking, so also of deadlines; answered ones stay until they come to the front.
    deadlines: VecDeque<(Instant, u64)>,
    next: u64,
    call_at: Option<Instant>,
    /// Given up because they were put often enough.
    lost: Vec<P>,
}

impl<Out, In, P> Helper<Out, In, P>
where
    Out: Frame + Serialize,
    In: Frame + DeserializeOwned + Numbered,
{
    pub fn new(token: Token, caller: Option<Caller>, patience: Duration) -> Self {
        Self {
            token,
            caller,
            channel: None,
            patience,
            open: HashMap::new(),
            deadlines: VecDeque::new(),
            next: 1,
            call_at: None,
            lost: Vec::new(),
        }
    }

    /// Is there anybody to ask at all?
    pub fn exists(&self) -> bool {
        self.caller.is_some()
    }

    pub fn is_quiet(&self) -> bool {
        self.open.is_empty()
    }

    /// Puts a question; the answer or the end of patience comes later.
    pub fn ask(&mut self, make: impl FnOnce(u64) -> Out, place: P, registry: &Registry, now: Instant) {
        let number = self.next;
        self.next += 1;
        let mut asked = Asked { question: make(number), place, tries: 0 };
        self.deadlines.push_back((now + self.patience, number));
        if self.connect(registry, now) {
            asked.tries = 1;
            let sent = self.channel.as_mut().is_some_and(|channel| channel.send(&asked.question).is_ok());
            self.open.insert(number, asked);
            if !sent {
                self.broken(registry, now);
            }
        } else {
            self.open.insert(number, asked);
        }
    }

    /// Sends what wants no answer; lost when nobody listens.
    pub fn tell(&mut self, message: &Out, registry: &Registry, now: Instant) {
        if self.connect(registry, now) && self.channel.as_mut().is_some_and(|channel| channel.send(message).is_err()) {
            self.broken(registry, now);
        }
    }

    /// Opens the conversation where it is not open; true: it is.
    fn connect(&mut self, registry: &Registry, now: Instant) -> bool {
        if self.channel.is_some() {
            return true;
        }
        if self.call_at.is_some_and(|at| at > now) {
            return false;
        }
        let Some(caller) = &self.caller else { return false };
        let called = caller.call::<Out, In>().and_then(|mut channel| {
            registry.register(&mut channel, self.token, Interest::READABLE)?;
            Ok(channel)
        });
        match called {
            Ok(channel) => {
                self.channel = Some(channel);
                self.call_at = None;
                true
            }
            Err(_) => {
                self.call_at = Some(now + CALL_AGAIN);
                false
            }
        }
    }

    /// The other side is gone: calls again and puts the open questions once more.
    fn broken(&mut self, registry: &Registry, now: Instant) {
        self.lost.extend(self.open.extract_if(|_, asked| asked.tries >= TRIES).map(|(_, asked)| asked.place));
        if let Some(mut channel) = self.channel.take() {
            let _ = registry.deregister(&mut channel);
        }
        if !self.open.is_empty() {
            self.resume(registry, now);
        }
    }

    fn resume(&mut self, registry: &Registry, now: Instant) {
        if !self.connect(registry, now) {
            return;
        }
        let Some(channel) = &mut self.channel else { return };
        for asked in self.open.values_mut().filter(|asked| asked.tries < TRIES) {
            asked.tries += 1;
            if channel.send(&asked.question).is_err() {
                break;
            }
        }
    }

    /// Takes every answer that has come, with its question, into `answers`.
    pub fn receive(&mut self, registry: &Registry, now: Instant, answers: &mut Vec<(P, Out, In)>) {
        let Some(channel) = &mut self.channel else { return };
        loop {
            match channel.recv() {
                Ok(Some((answer, _))) => {
                    if let Some(asked) = self.open.remove(&answer.number()) {
                        answers.push((asked.place, asked.question, answer));
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    if !matches!(error, RecvError::Closed) {
                        daemon::event!(Warning, "helper_failed", reason = error);
                    }
                    return self.broken(registry, now);
                }
            }
        }
    }

    /// Gives up what nobody answered in time, or what broke every conversation it was put in; calls again where due.
    pub fn tend(&mut self, registry: &Registry, now: Instant) -> Vec<P> {
        if self.channel.is_none() && !self.open.is_empty() {
            self.resume(registry, now);
        }
        if self.waits_for_room() && self.channel.as_mut().is_some_and(|channel| channel.flush().is_err()) {
            self.broken(registry, now);
        }
        let mut lost = std::mem::take(&mut self.lost);
        while let Some((at, number)) = self.deadlines.front().copied() {
            if at > now && self.open.contains_key(&number) {
                break;
            }
            self.deadlines.pop_front();
            lost.extend(self.open.remove(&number).map(|asked| asked.place));
        }
        lost
    }

    /// Frames wait for room in the socket. Writable events would come with every frame that the other side takes, so
    /// there are none: the rare full socket is looked at again soon.
    fn waits_for_room(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.pending() > 0)
    }

    /// When `tend` wants to be called again.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        if !self.lost.is_empty() {
            return Some(now);
        }
        if self.waits_for_room() {
            return Some(now + ROOM_AGAIN);
        }
        if self.open.is_empty() {
            return None;
        }
        let deadline = self.deadlines.front().map(|(at, _)| *at);
        deadline.into_iter().chain(self.call_at).min()
    }
}
