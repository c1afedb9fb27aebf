//! Processes that only policy asks: resolver, policy services, next hops.

use crate::helper::{Helper, Numbered};
use crate::policy::Asker;
use crate::worker::{Callers, Worker};
use ipc::{callahead, delegate, dns};
use mio::Token;
use policy::Answer;
use settings::Settings;
use std::time::{Duration, Instant};

/// Added to the time that those we ask have themselves: they should be the ones to say that it is over.
const GRACE: Duration = Duration::from_secs(5);
/// What the resolver takes for SPF at most, several look-ups one after the other.
const SPF: Duration = Duration::from_secs(20);
/// What calling ahead takes at most.
const AHEAD: Duration = Duration::from_secs(60);

impl Numbered for dns::Told {
    fn number(&self) -> u64 {
        self.number
    }
}
impl Numbered for delegate::Told {
    fn number(&self) -> u64 {
        self.number
    }
}
impl Numbered for callahead::Told {
    fn number(&self) -> u64 {
        self.number
    }
}

pub(crate) struct Inquiries {
    pub resolver: Helper<dns::Ask, dns::Told, Asker>,
    pub delegate: Helper<delegate::Ask, delegate::Told, Asker>,
    pub ahead: Helper<callahead::Ask, callahead::Told, Asker>,
}

impl Inquiries {
    pub const RESOLVER: Token = Token(7);
    pub const DELEGATE: Token = Token(8);
    pub const AHEAD: Token = Token(9);

    pub fn new(callers: &mut Callers, settings: &Settings) -> Self {
        let services = settings.policy_services.iter().map(|service| service.timeout).max().unwrap_or_default();
        Self {
            resolver: Helper::new(Self::RESOLVER, callers.resolver.take(), settings.dns.deadline.max(SPF) + GRACE),
            delegate: Helper::new(Self::DELEGATE, callers.delegate.take(), services * 2 + GRACE),
            ahead: Helper::new(Self::AHEAD, callers.ahead.take(), AHEAD),
        }
    }

    pub fn wake(&self, now: Instant) -> Option<Instant> {
        [self.resolver.wake(now), self.delegate.wake(now), self.ahead.wake(now)].into_iter().flatten().min()
    }
}

impl Worker {
    pub(crate) fn hear_inquiries(&mut self, token: Token) {
        let mut answers: Vec<(Asker, Answer)> = Vec::new();
        let (registry, now) = (self.poll.registry(), self.now);
        match token {
            Inquiries::RESOLVER => {
                let mut told = Vec::new();
                self.inquiries.resolver.receive(registry, now, &mut told);
                answers.extend(told.into_iter().map(|(asker, _, told)| (asker, Answer::Dns(told.answer))));
            }
            Inquiries::DELEGATE => {
                let mut told = Vec::new();
                self.inquiries.delegate.receive(registry, now, &mut told);
                answers.extend(told.into_iter().map(|(asker, _, told)| (asker, Answer::Action(told.action))));
            }
            _ => {
                let mut told = Vec::new();
                self.inquiries.ahead.receive(registry, now, &mut told);
                answers.extend(told.into_iter().map(|(asker, _, told)| (asker, Answer::CallAhead(told.verdict))));
            }
        }
        for (asker, answer) in answers {
            self.answered(asker, answer);
        }
    }

    /// Questions that nobody answered in time, by whom.
    pub(crate) fn tend_inquiries(&mut self) -> [Vec<Asker>; 3] {
        let (registry, now) = (self.poll.registry(), self.now);
        let inquiries = &mut self.inquiries;
        [inquiries.resolver.tend(registry, now), inquiries.delegate.tend(registry, now), inquiries.ahead.tend(registry, now)]
    }
}
