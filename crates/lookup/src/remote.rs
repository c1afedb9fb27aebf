//! Asking the processes that answer for tables.
//!
//! A question is numbered, asked once however many want to know, and has its deadline; what came of it is remembered. A
//! conversation that breaks takes its questions with it, and is opened anew for the next one, at most once a second.

use crate::TableError;
use crate::conversation::{self, Conversation, Heard};
use crate::memory::{Memory, Said};
use ipc::tables::{Answer, LONGEST_ANSWER};
use ipc::{Caller, RecvError};
use mio::{Interest, Registry, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use settings::Settings;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Questions of one `Relations` that are open; more are not asked until there is room.
const MAX_OPEN: usize = 1000;
/// Beyond the table's own timeout: its process should be the one to say that it is over.
const GRACE: Duration = Duration::from_secs(1);
/// Between two openings of a conversation.
const AGAIN: Duration = Duration::from_secs(1);

/// A question that is open.
#[derive(Debug)]
struct Question {
    partner: usize,
    table: usize,
    key: Box<str>,
    deadline: Instant,
}

/// A process, and our conversation with it.
#[derive(Debug)]
struct Partner {
    process: &'static str,
    caller: Caller,
    conversation: Option<Box<dyn Conversation>>,
    /// When it was last opened, or that was tried.
    opened: Option<Instant>,
    /// Questions that wait for it to be opened.
    waiting: Vec<u64>,
}

/// What is known of one table, and which questions about it are open.
#[derive(Debug, Default)]
struct Desk {
    memory: Memory,
    open: HashMap<Box<str>, u64>,
}

/// All processes asked, and what they have said.
#[derive(Debug)]
pub(crate) struct Remotes {
    settings: Arc<Settings>,
    partners: Vec<Partner>,
    open: HashMap<u64, Question>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// As `settings.tables`.
    desks: Vec<Desk>,
    next: u64,
    registry: Option<(Registry, Token)>,
}

impl Remotes {
    pub fn new(settings: &Arc<Settings>, callers: Vec<(&'static str, Caller)>) -> Self {
        let partner = |(process, caller)| Partner { process, caller, conversation: None, opened: None, waiting: Vec::new() };
        Self {
            partners: callers.into_iter().map(partner).collect(),
            open: HashMap::new(),
            deadlines: BTreeSet::new(),
            desks: settings.tables.iter().map(|_| Desk::default()).collect(),
            settings: Arc::clone(settings),
            next: 1,
            registry: None,
        }
    }

    /// Takes over conversations, and what is remembered of tables that are declared as before: `same` has the new index and
    /// the old one. Who waits for a question that was open asks it again.
    pub fn inherit(&mut self, mut before: Self, same: &[(usize, usize)]) {
        self.next = before.next;
        for (new, old) in same {
            if let (Some(new), Some(old)) = (self.desks.get_mut(*new), before.desks.get_mut(*old)) {
                new.memory = std::mem::take(&mut old.memory);
            }
        }
        for partner in &mut self.partners {
            if let Some(old) = before.partners.iter_mut().find(|old| old.process == partner.process) {
                partner.conversation = old.conversation.take();
                partner.opened = old.opened;
            }
        }
        self.registry = before.registry;
    }

    /// Conversations report to this registry, those that are open and those that will be.
    pub fn register(&mut self, registry: &Registry, first: Token) -> io::Result<()> {
        for (number, partner) in self.partners.iter_mut().enumerate() {
            if let Some(conversation) = &mut partner.conversation {
                // It may be registered already.
                let _ = registry.deregister(conversation.source());
                enlist(registry, conversation.as_mut(), first, number)?;
            }
        }
        self.registry = Some((registry.try_clone()?, first));
        Ok(())
    }

    /// What the table of this number has under a key. Where that is not known it is asked, and `Pending`.
    pub fn find(&mut self, index: usize, key: &str, began: Instant) -> Result<Option<Vec<String>>, TableError> {
        let now = Instant::now();
        if let Some(said) = self.known(index, key, began, now) {
            return said;
        }
        let settings = Arc::clone(&self.settings);
        let (Some(desk), Some(table)) = (self.desks.get_mut(index), settings.tables.get(index)) else { return Err(TableError::Pending) };
        if desk.open.contains_key(key) || self.open.len() >= MAX_OPEN {
            return Err(TableError::Pending);
        }
        let process = table.kind.process().unwrap_or_default();
        let Some(partner) = self.partners.iter().position(|partner| partner.process == process) else {
            return Err(TableError::Temporary(format!("there is no way to ask {process}")));
        };
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let deadline = now + table.timeout + GRACE;
        desk.open.insert(key.into(), number);
        self.open.insert(number, Question { partner, table: index, key: key.into(), deadline });
        self.deadlines.insert((deadline, number));
        self.say(partner, number, now);
        // The conversation may have broken over it.
        self.known(index, key, began, now).unwrap_or(Err(TableError::Pending))
    }

    fn known(&mut self, index: usize, key: &str, began: Instant, now: Instant) -> Option<Result<Option<Vec<String>>, TableError>> {
        let (desk, table) = (self.desks.get_mut(index)?, self.settings.tables.get(index)?);
        let said = desk.memory.find(table, key, began, now)?;
        Some(said.clone().map_err(TableError::Temporary))
    }

    /// Sends a question, or keeps it until the conversation may be opened.
    fn say(&mut self, at: usize, number: u64, now: Instant) {
        let Some(partner) = self.partners.get_mut(at) else { return };
        partner.waiting.push(number);
        self.say_waiting(at, now);
    }

    fn say_waiting(&mut self, at: usize, now: Instant) {
        let registry = self.registry.as_ref();
        let Some(partner) = self.partners.get_mut(at) else { return };
        if partner.conversation.is_none() && partner.reopens().is_none_or(|reopens| reopens <= now) {
            partner.opened = Some(now);
            partner.conversation = conversation::open(partner.process, &partner.caller).ok();
            if let (Some(conversation), Some((registry, first))) = (&mut partner.conversation, registry)
                && enlist(registry, conversation.as_mut(), *first, at).is_err()
            {
                partner.conversation = None;
            }
        }
        let Some(conversation) = &mut partner.conversation else { return };
        let mut sent = Ok(());
        for number in std::mem::take(&mut partner.waiting) {
            // One that is overdue is open no more.
            let Some(question) = self.open.get(&number) else { continue };
            let Some(table) = self.settings.tables.get(question.table) else { continue };
            sent = sent.and_then(|()| conversation.ask(number, table, &question.key));
        }
        if let Err(error) = sent {
            self.broken(at, &error.to_string(), now);
        }
    }

    /// The other side is gone, and what it was asked with it.
    fn broken(&mut self, at: usize, reason: &str, now: Instant) {
        let Some(partner) = self.partners.get_mut(at) else { return };
        partner.conversation = None;
        let process = partner.process;
        let waiting = std::mem::take(&mut partner.waiting);
        let lost: Vec<u64> =
            self.open.iter().filter(|(number, q)| q.partner == at && !waiting.contains(number)).map(|(number, _)| *number).collect();
        for number in lost {
            self.settle(number, Err(format!("{process}: {reason}")), None, now);
        }
        if let Some(partner) = self.partners.get_mut(at) {
            partner.waiting = waiting;
        }
    }

    /// What came of a question; one that is not open any more is nobody's.
    fn settle(&mut self, number: u64, said: Said, ttl: Option<Duration>, now: Instant) {
        let Some(question) = self.open.remove(&number) else { return };
        self.deadlines.remove(&(question.deadline, number));
        if let (Some(desk), Some(table)) = (self.desks.get_mut(question.table), self.settings.tables.get(question.table)) {
            desk.open.remove(&question.key);
            desk.memory.learn(table, question.key, said, ttl, now);
        }
    }

    /// Takes what has come, opens what may be opened again, gives up what is overdue; whether anything was settled.
    pub fn hear(&mut self, now: Instant) -> bool {
        let before = self.open.len();
        for at in 0..self.partners.len() {
            self.listen(at, now);
            if self.partners.get(at).is_some_and(|partner| !partner.waiting.is_empty()) {
                self.say_waiting(at, now);
            }
        }
        while let Some((_, number)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            let partner = self.open.get(&number).and_then(|question| self.partners.get(question.partner));
            let process = partner.map_or("", |partner| partner.process);
            let reason = format!("{process} has not answered in time");
            self.deadlines.pop_first();
            self.settle(number, Err(reason), None, now);
        }
        self.open.len() != before
    }

    fn listen(&mut self, at: usize, now: Instant) {
        loop {
            let Some(conversation) = self.partners.get_mut(at).and_then(|partner| partner.conversation.as_mut()) else { return };
            let heard = conversation.flush().map_err(RecvError::Io).and_then(|()| conversation.next());
            match heard {
                Ok(Some(Heard { number, answer, ttl })) => self.settle(number, checked(answer), ttl, now),
                Ok(None) => return,
                Err(error) => return self.broken(at, &error.to_string(), now),
            }
        }
    }

    /// When [`Remotes::hear`] has something to do though nothing came.
    pub fn due(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let waiting = self.partners.iter().filter(|partner| !partner.waiting.is_empty());
        waiting.filter_map(Partner::reopens).chain(deadline).min()
    }

    /// Waits for something from any of them.
    pub fn wait(&self, until: Instant) {
        let until = self.due().map_or(until, |due| due.min(until));
        let open = self.partners.iter().filter_map(|partner| partner.conversation.as_ref());
        let mut descriptors: Vec<PollFd<'_>> = open.map(|open| PollFd::new(open.descriptor(), PollFlags::POLLIN)).collect();
        let left = until.saturating_duration_since(Instant::now()).min(Duration::from_secs(60)) + Duration::from_millis(1);
        // A signal may end it early: whoever waits looks at the clock himself.
        let _ = poll(&mut descriptors, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
    }
}

impl Partner {
    /// When a broken conversation may be opened anew.
    fn reopens(&self) -> Option<Instant> {
        self.opened.filter(|_| self.conversation.is_none()).map(|opened| opened + AGAIN)
    }
}

fn enlist(registry: &Registry, conversation: &mut dyn Conversation, first: Token, number: usize) -> io::Result<()> {
    registry.register(conversation.source(), Token(first.0 + number), Interest::READABLE | Interest::WRITABLE)
}

/// An answer within its bounds, and without what could end a line of ours.
fn checked(answer: Answer) -> Said {
    match answer {
        Answer::Found(values) if values.iter().map(String::len).sum::<usize>() > LONGEST_ANSWER => {
            Err(format!("an answer over {LONGEST_ANSWER} bytes"))
        }
        Answer::Found(values) if values.iter().any(|value| value.chars().any(char::is_control)) => {
            Err("an answer with control characters".to_owned())
        }
        Answer::Found(values) => Ok(Some(values)),
        Answer::Absent => Ok(None),
        Answer::Trouble(reason) => Err(reason),
    }
}
