//! Everything undelivered, and what to do next about it. Pure: time is passed in, files and sockets are asked for by
//! [`Action`]s; log lines are its only other effect.
//!
//! **Invariant:** every change of a recipient's state goes through [`Model::set_state`], so the counts by which shares
//! and destinations are queued are always those of the recipients.

mod agents;
mod change;
mod collecting;
mod destination;
mod dispatch;
mod entry;
mod frames;
mod freezes;
mod known;
mod line;
mod listing;
mod load;
mod memory;
mod note;
mod pace;
mod placing;
mod policy;
mod portrait;
mod reporting;
mod result;
mod retry;
mod ring;
mod site;
mod slab;
#[cfg(test)]
mod trials;
mod undecided;
mod volumes;
mod why;
mod window;

pub use dispatch::{EditsPlace, StartedJob};
pub use listing::{Cursor, Filter};
pub use reporting::Reporting;
pub use why::Spot;

use agents::{Agent, Lane};
use daemon::Counters;
use destination::Destination;
use dispatch::JobState;
use entry::{Message, NONE, Share, State};
use envelope::{Diagnostic, MessageId, RecipientState};
use note::Notes;
use placing::Placing;
use policy::Book;
use retry::{Dice, Wake};
use ring::Rings;
use site::{Site, SiteKey};
use slab::Slab;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::RandomState;

/// One moment on both clocks. Intervals use `ms`, which no clock jump touches; `wall_ms` is for what leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some moment before the model was made.
    pub ms: u64,
    /// Unix milliseconds.
    pub wall_ms: u64,
}

impl Now {
    /// The model's unit of waiting: tenths of a second, so that 32 bits last 13 years.
    pub fn tick(self) -> u32 {
        u32::try_from(self.ms / 100).unwrap_or(NONE - 1)
    }

    pub const fn wall_seconds(self) -> u64 {
        self.wall_ms / 1000
    }

    /// Unix seconds of a tick.
    pub fn wall_of(self, tick: u32) -> u64 {
        self.wall_ms.saturating_add((u64::from(tick) * 100).saturating_sub(self.ms)) / 1000
    }
}

/// What the model wants done outside.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// State bytes and diagnostics of a message.
    Mark {
        id: MessageId,
        states: Vec<(u32, RecipientState)>,
        diagnostics: Vec<Diagnostic>,
    },
    /// Every recipient is final.
    Remove {
        id: MessageId,
    },
    /// Which mail exchangers a domain has: to be answered with [`Model::located`].
    Locate {
        destination: u32,
        domain: String,
    },
    WantAgent {
        ticket: u64,
        channel: String,
    },
    /// It has been idle for long.
    DrainAgent(u64),
}

/// The queue in memory.
#[derive(Debug)]
pub struct Model {
    limits: settings::Queue,
    reporting: Reporting,
    counters: Counters,
    /// Sorted, so that a listing can stop anywhere and go on by id.
    index: BTreeMap<MessageId, u32>,
    messages: Slab<Message>,
    shares: Slab<Share>,
    destinations: Slab<Destination>,
    sites: Slab<Site>,
    site_keys: HashMap<SiteKey, u32>,
    rings: Rings,
    book: Book,
    placing: Placing,
    memory: memory::Memory,
    /// Destinations below it have the policies of the last reload.
    renew_cursor: u32,
    lanes: Vec<Lane>,
    lane_names: HashMap<String, u32>,
    /// The lane to serve first in the next turn.
    next_lane: usize,
    agents: BTreeMap<u64, Agent>,
    jobs: HashMap<u64, JobState>,
    job_number: u64,
    ticket: u64,
    notes: Notes,
    timers: BinaryHeap<Reverse<(u32, Wake)>>,
    dice: Dice,
    /// Turns a sender into the number of its flow: keyed, since senders are strangers' words.
    flows: RandomState,
    /// Where the slow walks (expiry, unused destinations) go on.
    expiry_cursor: u32,
    forget_cursor: u32,
    next_tidy: u64,
    open_recipients: u64,
    /// On which volume messages are.
    homes: volumes::Homes,
    frozen: bool,
    /// Of parts.
    freezes: freezes::Freezes,
    /// The last turn of dispatching stopped before it was through.
    unfinished: bool,
    draining: bool,
    actions: VecDeque<Action>,
}

impl Model {
    pub fn new(limits: settings::Queue, policies: settings::Policies, counters: Counters, seed: u64) -> Self {
        Self {
            limits,
            reporting: Reporting::default(),
            counters,
            index: BTreeMap::new(),
            messages: Slab::default(),
            shares: Slab::default(),
            destinations: Slab::default(),
            sites: Slab::default(),
            site_keys: HashMap::new(),
            rings: Rings::default(),
            book: Book::new(policies),
            placing: Placing::default(),
            memory: memory::Memory::default(),
            renew_cursor: NONE,
            lanes: Vec::new(),
            lane_names: HashMap::new(),
            next_lane: 0,
            agents: BTreeMap::new(),
            jobs: HashMap::new(),
            job_number: 0,
            ticket: 0,
            notes: Notes::default(),
            timers: BinaryHeap::new(),
            dice: Dice::new(seed),
            flows: RandomState::new(),
            expiry_cursor: 0,
            forget_cursor: 0,
            next_tidy: 0,
            open_recipients: 0,
            homes: volumes::Homes::default(),
            frozen: false,
            freezes: freezes::Freezes::default(),
            unfinished: false,
            draining: false,
            actions: VecDeque::new(),
        }
    }

    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn knows(&self, id: MessageId) -> bool {
        self.index.contains_key(&id)
    }

    /// New limits and policies count from the next decision on; timers that are set stay.
    pub fn reload(&mut self, limits: settings::Queue, policies: settings::Policies, now: Now) {
        self.limits = limits;
        self.book.reload(policies);
        self.renew_cursor = 0;
        self.release_rings(now);
        self.list_lanes(now);
    }

    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// No more jobs begin.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    pub fn active_jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Brings the gauges up to date.
    pub fn gauges(&self) {
        self.counters.set("messages_now", self.messages.len() as u64);
        self.counters.set("recipients_now", self.open_recipients);
        self.counters.set("active_now", self.jobs.len() as u64);
        self.counters.set("agents_now", self.agents.len() as u64);
        self.counters.set("destinations_now", self.destinations.len() as u64);
    }

    /// Moves a recipient of a share to another state and keeps every count.
    fn set_state(&mut self, share_key: u32, position: u32, state: State) {
        let Some(share) = self.shares.get_mut(share_key) else { return };
        let Some(message) = self.messages.get_mut(share.message) else { return };
        let Some(recipient) = message.recipients.get_mut(position as usize) else { return };
        let old = std::mem::replace(&mut recipient.state, state);
        if old == state {
            return;
        }
        if old == State::Ready {
            share.ready = share.ready.saturating_sub(1);
        }
        if state == State::Ready {
            share.ready += 1;
        }
        if state.is_final() && !old.is_final() {
            share.open = share.open.saturating_sub(1);
            message.open = message.open.saturating_sub(1);
            self.open_recipients = self.open_recipients.saturating_sub(1);
        }
        if let Some(destination) = self.destinations.get_mut(share.destination) {
            destination.count(old, false);
            destination.count(state, true);
        }
    }

    /// Puts a share with ready members into its destination's line, and the destination into its lane's round.
    fn queue_share(&mut self, share_key: u32, now: Now) {
        let Some(share) = self.shares.get_mut(share_key) else { return };
        let destination_key = share.destination;
        let gathers_until = share.members.gathers_until();
        if gathers_until > now.tick() {
            return self.arm_at(share_key, gathers_until);
        }
        if share.ready > 0 && !share.queued {
            share.queued = true;
            self.stand_in_line(share_key, now);
        }
        self.list(destination_key, now);
    }

    /// A destination with mail joins its site's round, once, and the site its lane's.
    fn list(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        let site_key = destination.site;
        if !destination.listed && destination.wants_turn() {
            destination.listed = true;
            match self.sites.get_mut(site_key) {
                Some(site) => site.round.push_back(key),
                None => return self.placing.push(key),
            }
        }
        self.list_site(site_key, now);
    }

    /// After changes to a message: empty shares go; reports that nobody else can join any more wait no longer; a message
    /// without open recipients goes, files and all. True when it is gone.
    fn settle(&mut self, message_key: u32, now: Now) -> bool {
        let Some(message) = self.messages.get_mut(message_key) else { return true };
        let (open, id) = (message.open, message.id);
        let (mut kept, mut trying, mut gathering) = (NONE, false, false);
        let mut next = message.shares;
        while let Some(share) = self.shares.get_mut(next) {
            let (key, sibling) = (next, share.sibling);
            next = sibling;
            if share.open > 0 {
                share.sibling = kept;
                kept = key;
                gathering |= share.members.gathers_until() > 0;
                trying |= !share.members.course().is_over();
                continue;
            }
            let destination = share.destination;
            self.shares.remove(key);
            if let Some(destination) = self.destinations.get_mut(destination) {
                destination.shares = destination.shares.saturating_sub(1);
            }
        }
        message.shares = kept;
        if open > 0 {
            if gathering && !trying {
                self.hasten(message_key, now);
            }
            return false;
        }
        self.messages.remove(message_key);
        self.index.remove(&id);
        self.actions.push_back(Action::Remove { id });
        self.counters.add("removed", 1);
        daemon::event!(Info, "removed", id = id);
        true
    }

    /// Share keys of a message.
    fn shares_of(&self, message_key: u32) -> Vec<u32> {
        let mut keys = Vec::new();
        let mut next = self.messages.get(message_key).map_or(NONE, |message| message.shares);
        while let Some(share) = self.shares.get(next) {
            keys.push(next);
            next = share.sibling;
        }
        keys
    }

    /// The members of a share that still belong to it, with their states.
    fn members(&self, share: &Share) -> Vec<(u32, State)> {
        let Some(message) = self.messages.get(share.message) else { return Vec::new() };
        let course = share.members.course();
        (0..share.members.len())
            .filter_map(|at| share.members.at(at))
            .filter_map(|position| message.recipients.get(position as usize).map(|recipient| (position, recipient)))
            .filter(|(_, recipient)| recipient.course == course && !recipient.state.is_final())
            .map(|(position, recipient)| (position, recipient.state))
            .collect()
    }
}
