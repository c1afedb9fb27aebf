//! Those who ask: SMTP sessions through the contact point, `zpost route` through the master.

use crate::questions::{Asker, Settled};
use crate::service::Mux;
use ipc::control::{Reply as Answered, Request};
use ipc::routing::{Answer, Question, ToRoutermux, Told};
use ipc::{Channel, RecvError};
use mio::{Interest, Token};
use status::{Enhanced, Reply};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Answers that a caller has not taken; beyond that it is cut off.
const MAX_UNREAD: usize = 2000;
/// Conversations at a time.
const MAX_CALLERS: usize = 10_000;

/// A conversation with somebody who asks.
#[derive(Debug)]
pub(crate) enum Caller {
    Session(Channel<Told, ToRoutermux>),
    /// One request, which the master has read already.
    Command(Channel<Answered, Request>),
}

/// Frames taken of one caller before the others are heard.
const FRAMES_A_TURN: usize = 128;

/// What a caller gets instead of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lack {
    Deadline,
    Routers,
    TooMany,
}

impl Mux {
    pub(crate) fn accept(&mut self) {
        // An error is the end of the contact point, hence of the master: its own conversation tells.
        while let Ok(Some(channel)) = self.serve.accept::<Told, ToRoutermux>() {
            if let Some(token) = self.admit(Caller::Session(channel)) {
                self.caller(token);
            }
        }
    }

    fn admit(&mut self, mut caller: Caller) -> Option<Token> {
        if self.callers.len() >= MAX_CALLERS {
            return None;
        }
        let token = self.token();
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = match &mut caller {
            Caller::Session(channel) => self.poll.registry().register(channel, token, both),
            Caller::Command(channel) => self.poll.registry().register(channel, token, both),
        };
        registered.ok()?;
        self.callers.insert(token, caller);
        Some(token)
    }

    /// Something happened at a caller's conversation: take its questions, send what waits. One that asks without a pause takes
    /// turns with the others.
    pub(crate) fn caller(&mut self, token: Token) {
        for _ in 0..FRAMES_A_TURN {
            let heard = match self.callers.get_mut(&token) {
                None => return,
                Some(Caller::Session(channel)) => match channel.flush() {
                    Err(e) => Err(RecvError::Io(e)),
                    Ok(()) if channel.pending() > MAX_UNREAD => Err(RecvError::Malformed("does not take its answers")),
                    Ok(()) => channel.recv().map(|frame| frame.map(|(ask, _)| ask)),
                },
                Some(Caller::Command(channel)) => match channel.flush() {
                    Err(e) => Err(RecvError::Io(e)),
                    // Nothing more is expected: only the end is heard.
                    Ok(()) => channel.recv().map(|_| None),
                },
            };
            match heard {
                Ok(Some(ToRoutermux::Ask(ask))) => self.question((token, ask.number), ask.question),
                Ok(Some(ToRoutermux::Arrived(names))) => self.arrived(&names),
                Ok(None) => return,
                Err(_) => return self.dismiss(token),
            }
        }
        self.unread.push(token);
    }

    /// Names from another process are looked at like those from anybody.
    fn arrived(&mut self, names: &[String]) {
        self.started.counters.add("announced", names.len() as u64);
        for name in names {
            self.shelves.offer(name);
        }
    }

    fn question(&mut self, asker: Asker, question: Question) {
        self.started.counters.add("questions", 1);
        let shared = self.answers.shares(&question);
        if shared.is_some()
            && let Some(answer) = self.answers.find(&question, self.now)
        {
            let answer = answer.clone();
            self.started.counters.add("answered_again", 1);
            return self.tell(asker, answer);
        }
        let settings = &self.started.settings;
        let patience = settings.routing.answer_timeout.min(settings.server.helper_timeout);
        if !self.questions.ask(asker, question, shared, self.now, patience) {
            self.lack(asker, Lack::TooMany);
        }
    }

    /// What a router has answered. `current`: by the configuration that is in use.
    pub(crate) fn answered(&mut self, settled: Settled, answer: Answer, current: bool) {
        let Settled { askers, question, asked } = settled;
        if current {
            self.answers.keep(question, &answer, asked);
        }
        let mut askers = askers.into_iter();
        let first = askers.next();
        for asker in askers {
            self.tell(asker, answer.clone());
        }
        if let Some(first) = first {
            self.tell(first, answer);
        }
    }

    pub(crate) fn command(&mut self, request: Request, end: OwnedFd) {
        let Ok(mut channel) = Channel::<Answered, Request>::new(end) else { return };
        let question = match request {
            Request::Route { address, sender } => Question::Explain { address, sender },
            Request::Lookup { table, key } => Question::Lookup { table, key },
            _ => {
                let reason = "the routermux only answers for routes and tables".to_owned();
                let _ = channel.send(&Answered::Refused { code: 64, reason });
                return;
            }
        };
        if let Some(token) = self.admit(Caller::Command(channel)) {
            self.question((token, 0), question);
        }
    }

    pub(crate) fn dismiss(&mut self, token: Token) {
        match self.callers.remove(&token) {
            Some(Caller::Session(mut channel)) => drop(self.poll.registry().deregister(&mut channel)),
            Some(Caller::Command(mut channel)) => drop(self.poll.registry().deregister(&mut channel)),
            None => {}
        }
        self.questions.forget(token);
    }

    /// Gives a caller its answer. A command's conversation then ends with the last frame it took.
    pub(crate) fn tell(&mut self, (token, number): Asker, answer: Answer) {
        let sent: io::Result<bool> = match self.callers.get_mut(&token) {
            None => return,
            Some(Caller::Session(channel)) => channel.send(&Told { number, answer }).map(|()| true),
            Some(Caller::Command(channel)) => {
                channel.send(&Answered::Routed(answer)).and_then(|()| channel.send(&Answered::End)).map(|()| channel.pending() > 0)
            }
        };
        if !sent.unwrap_or(false) {
            self.dismiss(token);
        }
    }

    /// Answers with 451 what cannot be answered.
    pub(crate) fn lack(&mut self, asker: Asker, lack: Lack) {
        let text = match lack {
            Lack::Deadline => "Address check took too long; try again later",
            Lack::Routers => "Address check failed; try again later",
            Lack::TooMany => "Too many address checks at a time; try again later",
        };
        let reply = Reply::new(451, Enhanced::transient(3, 2), text);
        self.tell(asker, Answer::Refused { reply, steps: Vec::new() });
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        for asker in self.questions.expired(now) {
            self.lack(asker, Lack::Deadline);
        }
    }
}
