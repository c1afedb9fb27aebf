//! Questions, what is known, and the sessions that find out. No poll of its own: events and the time come in.

use crate::cache::Key;
use crate::domains;
use crate::hop::{Hop, Name, Place};
use crate::lookups::Lookups;
use crate::memory::Memory;
use crate::session::Session;
use daemon::Counters;
use ipc::callahead::{Ask, Told, Verdict};
use mio::{Registry, Token};
use nexthop::Ourselves;
use settings::Settings;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subdaemon::Asker;

/// Recipients that are being asked about.
const MOST_IN_HAND: usize = 10_000;
/// A next hop that cannot be reached is left alone for this time at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Waiter {
    asker: Asker,
    number: u64,
    deadline: Instant,
}

#[derive(Debug)]
pub struct Prober {
    pub(crate) settings: Arc<Settings>,
    pub(crate) ourselves: Ourselves,
    pub(crate) memory: Memory,
    /// Who waits for what; nobody, where a known answer is asked for anew.
    asked: HashMap<Key, Vec<Waiter>>,
    pub(crate) hops: HashMap<Name, Hop>,
    pub(crate) sessions: HashMap<Token, Session>,
    pub(crate) lookups: Lookups,
    answers: Vec<(Asker, Told)>,
    pub(crate) counters: Counters,
}

impl Prober {
    pub fn new(settings: &Arc<Settings>, memory: Memory, lookups: Lookups, counters: Counters) -> Self {
        Self {
            settings: Arc::clone(settings),
            ourselves: Ourselves::new(settings),
            memory,
            asked: HashMap::new(),
            hops: HashMap::new(),
            sessions: HashMap::new(),
            lookups,
            answers: Vec::new(),
            counters,
        }
    }

    /// Other settings from now on. What next hops have said they have said.
    pub fn reload(&mut self, settings: &Arc<Settings>) {
        self.settings = Arc::clone(settings);
        self.ourselves = Ourselves::new(settings);
        self.memory.resize(settings.call_ahead.entries);
    }

    pub fn take_answers(&mut self) -> Vec<(Asker, Told)> {
        std::mem::take(&mut self.answers)
    }

    /// Nobody waits.
    pub fn is_idle(&self) -> bool {
        self.asked.values().all(Vec::is_empty)
    }

    pub fn forget(&mut self, asker: Asker) {
        self.asked.values_mut().for_each(|waiters| waiters.retain(|waiter| waiter.asker != asker));
    }

    /// A question: answered from what is known, or in hand from now on.
    pub fn ask(&mut self, asker: Asker, ask: Ask, now: Instant) {
        self.counters.add("questions", 1);
        let Ask { number, recipient, host, channel } = ask;
        // Nothing may be asked, and nothing remembered, about recipients that are not ours to ask about: whoever could
        // have us ask would find out with our voice what others' servers take.
        if !domains::covers(&self.settings.call_ahead.domains, &recipient) {
            return self.say(asker, number, Verdict::Unknown("its domain is not among those asked about".to_owned()));
        }
        let key = Key { hop: Name { channel, host }, recipient };
        if let Some(known) = self.memory.find(&key, now) {
            self.counters.add("cache_hits", 1);
            if known.refresh && !self.asked.contains_key(&key) {
                self.begin(key, Vec::new());
            }
            return self.say(asker, number, known.verdict);
        }
        let waiter = Waiter { asker, number, deadline: now + self.settings.call_ahead.timeout };
        let full = self.asked.len() >= MOST_IN_HAND;
        match self.asked.get_mut(&key) {
            Some(waiters) => waiters.push(waiter),
            None if full => self.say(asker, number, Verdict::Unknown("too many questions".to_owned())),
            None => self.begin(key, vec![waiter]),
        }
    }

    fn begin(&mut self, key: Key, waiters: Vec<Waiter>) {
        self.hops.entry(key.hop.clone()).or_default().waiting.push_back(key.recipient.clone());
        self.asked.insert(key, waiters);
    }

    pub(crate) fn say(&mut self, asker: Asker, number: u64, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Taken => "taken",
            Verdict::Refused(_) => "refused",
            Verdict::Unknown(_) => "unknown",
        };
        self.counters.add(counter, 1);
        self.answers.push((asker, Told { number, verdict }));
    }

    /// A socket can go on.
    pub fn event(&mut self, token: Token, now: Instant) {
        if token == self.lookups.token() {
            let answered = self.lookups.receive();
            return answered.into_iter().for_each(|answered| self.located(answered, now));
        }
        if let Some(session) = self.sessions.get_mut(&token) {
            let step = session.advance();
            self.stepped(token, step, now);
        }
    }

    /// Ends what has lasted too long and begins what can begin.
    pub fn work(&mut self, now: Instant, registry: &Registry, token: &mut impl FnMut() -> Token) {
        for answered in self.lookups.overdue(now) {
            self.located(answered, now);
        }
        self.give_up(now);
        let late: Vec<Token> = self.sessions.iter().filter(|(_, session)| session.deadline <= now).map(|(token, _)| *token).collect();
        for token in late {
            self.broken(token, "no answer in time", now);
        }
        self.hops.retain(|_, hop| !hop.is_idle(now));
        let wanting: Vec<Name> = self.hops.iter().filter(|(_, hop)| !hop.waiting.is_empty()).map(|(name, _)| name.clone()).collect();
        for name in wanting {
            self.serve(&name, now, registry, token);
        }
        self.memory.work(now);
        self.counters.set("cached_now", self.memory.len() as u64);
    }

    /// When [`Prober::work`] is wanted at the latest.
    pub fn wake(&self) -> Option<Instant> {
        let waiters = self.asked.values().flatten().map(|waiter| waiter.deadline);
        let sessions = self.sessions.values().map(|session| session.deadline);
        waiters.chain(sessions).chain(self.lookups.wake()).chain(self.memory.wake()).min()
    }

    /// Who has waited long enough hears so; what they asked is asked on.
    fn give_up(&mut self, now: Instant) {
        let mut late = Vec::new();
        for waiters in self.asked.values_mut() {
            late.extend(waiters.extract_if(.., |waiter| waiter.deadline <= now));
        }
        for Waiter { asker, number, .. } in late {
            self.say(asker, number, Verdict::Unknown("the next hop did not answer in time".to_owned()));
        }
    }

    /// The next hop cannot be asked: it is left alone, and who waits hears why.
    pub(crate) fn pause(&mut self, name: &Name, why: &str, now: Instant) {
        let until = now + self.settings.call_ahead.unknown_ttl.min(LONGEST_PAUSE);
        daemon::event!(Info, "next_hop_unreachable", channel = name.channel, host = name.host, reason = why);
        if let Some(hop) = self.hops.get_mut(name) {
            // Its addresses may be others by then.
            hop.place = Place::Unknown;
            hop.paused = Some((why.to_owned(), until));
        }
        self.none_asked(name, why, now);
    }

    pub(crate) fn none_asked(&mut self, name: &Name, why: &str, now: Instant) {
        let waiting = self.hops.get_mut(name).map(|hop| std::mem::take(&mut hop.waiting)).unwrap_or_default();
        for recipient in waiting {
            self.settle(name, recipient, Verdict::Unknown(why.to_owned()), now);
        }
    }

    /// A verdict: remembered, and told to all who wait for it.
    pub(crate) fn settle(&mut self, name: &Name, recipient: String, verdict: Verdict, now: Instant) {
        let terms = &self.settings.call_ahead;
        let ttl = match verdict {
            Verdict::Taken => terms.taken_ttl,
            Verdict::Refused(_) => terms.refused_ttl,
            Verdict::Unknown(_) => terms.unknown_ttl,
        };
        let key = Key { hop: name.clone(), recipient };
        let waiters = self.asked.remove(&key).unwrap_or_default();
        self.memory.insert(key, verdict.clone(), ttl, now);
        for Waiter { asker, number, .. } in waiters {
            self.say(asker, number, verdict.clone());
        }
    }
}
