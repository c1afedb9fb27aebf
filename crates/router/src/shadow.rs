//! A new configuration beside the one that works: what it would say otherwise of the mail that comes.
//!
//! Messages and questions are noted as they are answered, in a short queue that drops what it has no room for, and decided
//! again, by both configurations, when there is nothing else to do. So nobody waits for the new one, and both are asked at the
//! same time. What differs is logged and counted; nothing of it goes anywhere.

use crate::callers::TableCallers;
use crate::decision::{Want, route};
use crate::parking::{Pass, Wait};
use crate::rules::Rules;
use crate::scripted::{Facts, policy};
use crate::sender_form::formed_sender;
use crate::tables::SystemTables;
use crate::verdict::{Routed, Verdict};
use address::{Address, Path};
use daemon::{Counters, event};
use ipc::routing::Question;
use settings::Settings;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Noted and not yet decided again.
const MOST_NOTED: usize = 256;
/// Of those, waiting for tables.
const MOST_WAITING: usize = 64;
/// A message with more recipients is not noted.
const MOST_RECIPIENTS: usize = 500;
/// Work at one time, while nothing else is to do.
const SLICE: Duration = Duration::from_millis(2);
/// Tables are listened to so often.
const AGAIN: Duration = Duration::from_millis(50);
/// Lines a second at most; the counter has them all.
const LINES_A_SECOND: u32 = 10;
/// Bytes of one side of a line.
const LONGEST: usize = 200;

/// Where decisions are noted.
pub(crate) type Observer = SyncSender<Noted>;

/// One decision that was made.
#[derive(Debug)]
pub(crate) struct Noted {
    /// As the envelope has it.
    sender: Path,
    recipients: Vec<Address>,
    /// `None`: a question at RCPT.
    facts: Option<Facts>,
}

impl Noted {
    pub fn message(sender: &Path, recipients: &[envelope::EnvelopeRecipient], facts: Facts) -> Option<Self> {
        let addresses = || recipients.iter().map(|recipient| recipient.address.clone()).collect();
        (recipients.len() <= MOST_RECIPIENTS).then(|| Self { sender: sender.clone(), recipients: addresses(), facts: Some(facts) })
    }

    pub fn question(question: &Question) -> Option<Self> {
        let Question::Verify { address, sender } = question else { return None };
        let sender = Address::parse(sender).map_or(Path::Null, Path::Mailbox);
        Some(Self { sender, recipients: vec![Address::parse(address).ok()?], facts: None })
    }
}

/// The new configuration.
pub(crate) struct Shadow {
    rules: Rules,
    tables: SystemTables,
    patience: Duration,
    observer: Observer,
    noted: Receiver<Noted>,
    waiting: VecDeque<(Noted, Wait)>,
    counters: Counters,
    compared: u64,
    differing: u64,
    unknown: u64,
    /// The second that lines are counted in.
    second: Instant,
    lines: u32,
}

impl Shadow {
    pub fn new(settings: &Arc<Settings>, callers: &TableCallers, counters: Counters) -> Self {
        let (observer, noted) = sync_channel(MOST_NOTED);
        let mut tables = SystemTables::new(settings, callers);
        tables.quiet = true;
        Self {
            rules: Rules::new(settings),
            tables,
            patience: settings.routing.deadline,
            observer,
            noted,
            waiting: VecDeque::new(),
            counters,
            compared: 0,
            differing: 0,
            unknown: 0,
            second: Instant::now(),
            lines: 0,
        }
    }

    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Decides again what was noted, for a moment. When to come back, where something is left.
    pub fn turn(&mut self, rules: &Rules, tables: &mut SystemTables) -> Option<Instant> {
        let end = Instant::now() + SLICE;
        let was = std::mem::replace(&mut tables.quiet, true);
        self.again(rules, tables);
        while Instant::now() < end && self.waiting.len() < MOST_WAITING {
            let Ok(noted) = self.noted.try_recv() else { break };
            let pass = Pass::first(Instant::now());
            if !self.compare(&noted, pass, rules, tables) {
                self.waiting.push_back((noted, Wait::since(pass.began)));
            }
        }
        tables.quiet = was;
        let now = Instant::now();
        if now >= end { Some(now) } else { (!self.waiting.is_empty()).then_some(now + AGAIN) }
    }

    /// What waited for tables.
    fn again(&mut self, rules: &Rules, tables: &mut SystemTables) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        self.tables.relations.hear(now);
        for (noted, mut wait) in std::mem::take(&mut self.waiting) {
            // Whoever of the two has been answered: trying costs little, and is bounded by the wait's own pauses.
            wait.heard();
            match wait.pass(now, self.patience) {
                Some(pass) if self.compare(&noted, pass, rules, tables) => {}
                Some(pass) if pass.last => self.unknown += 1,
                Some(_) => {
                    wait.again(now);
                    self.waiting.push_back((noted, wait));
                }
                None => self.waiting.push_back((noted, wait)),
            }
        }
    }

    /// False: a table has not answered yet.
    fn compare(&mut self, noted: &Noted, pass: Pass, rules: &Rules, tables: &mut SystemTables) -> bool {
        let old = decided(noted, pass, rules, tables);
        let new = decided(noted, pass, &self.rules, &mut self.tables);
        let (Some(old), Some(new)) = (old, new) else { return false };
        self.compared += 1;
        self.counters.add("shadow_compared", 1);
        for ((what, old), (_, new)) in old.iter().zip(&new).filter(|((_, old), (_, new))| old != new) {
            self.say(noted, what, old, new);
        }
        true
    }

    fn say(&mut self, noted: &Noted, what: &str, old: &str, new: &str) {
        self.differing += 1;
        self.counters.add("shadow_differs", 1);
        if self.second.elapsed() >= Duration::from_secs(1) {
            (self.second, self.lines) = (Instant::now(), 0);
        }
        self.lines += 1;
        if self.lines <= LINES_A_SECOND {
            let (asked, from) = (if noted.facts.is_some() { "message" } else { "question" }, shown(&noted.sender));
            event!(Warning, "shadow_differs", address = what, from = from, asked = asked, old = cut(old), new = cut(new));
        }
    }

    /// For the log, at its end.
    pub fn report(&self) {
        event!(Info, "shadow_ended", compared = self.compared, differs = self.differing, unknown = self.unknown);
    }
}

/// What becomes of each address, the sender first; `None`: a table has not answered yet.
fn decided(noted: &Noted, pass: Pass, rules: &Rules, tables: &mut SystemTables) -> Option<Vec<(String, String)>> {
    // What is not known in time is counted, and no difference.
    tables.in_pass(Pass { last: false, ..pass });
    let Some(facts) = &noted.facts else { return of_question(noted, rules, tables) };
    if let Some(script) = &mut tables.script {
        script.facts = facts.clone();
    }
    let form = match formed_sender(&noted.sender, rules, tables) {
        Ok(form) => form,
        Err(Verdict::Pending) => return None,
        Err(verdict) => return Some(vec![("sender".to_owned(), unknown_sender(noted, verdict))]),
    };
    let sender = form.as_ref().unwrap_or(&noted.sender);
    let mut all = vec![("sender".to_owned(), shown(sender).to_owned())];
    for recipient in &noted.recipients {
        let outcomes = route(recipient, sender, Want::Recipients, rules, tables).outcomes;
        if outcomes.iter().any(|outcome| outcome.verdict == Verdict::Pending) {
            return None;
        }
        let mut ways: Vec<String> = outcomes.into_iter().map(|outcome| way(outcome.into_quad())).collect();
        ways.sort_unstable();
        ways.dedup();
        all.push((recipient.to_string(), ways.join("; ")));
    }
    Some(all)
}

fn of_question(noted: &Noted, rules: &Rules, tables: &mut SystemTables) -> Option<Vec<(String, String)>> {
    let recipient = noted.recipients.first()?;
    let form = match formed_sender(&noted.sender, rules, tables) {
        Ok(form) => form,
        Err(Verdict::Pending) => return None,
        Err(verdict) => return Some(vec![(recipient.to_string(), unknown_sender(noted, verdict))]),
    };
    let sender = form.as_ref().unwrap_or(&noted.sender);
    let outcomes = route(recipient, sender, Want::First, rules, tables).outcomes;
    let said = match outcomes.iter().find(|outcome| matches!(outcome.verdict, Verdict::Deliver(_))) {
        Some(taken) => match policy(recipient, sender, rules, tables) {
            Ok(None) => way(taken.clone().into_quad()),
            Ok(Some(reply)) => format!("{} {}", reply.code, reply.text),
            Err(Verdict::Pending) => return None,
            Err(verdict) => way(Routed::plain(recipient.as_str(), verdict).into_quad()),
        },
        None if outcomes.iter().any(|outcome| outcome.verdict == Verdict::Pending) => return None,
        None => outcomes.first().map_or_else(String::new, |outcome| way(outcome.clone().into_quad())),
    };
    Some(vec![(recipient.to_string(), said)])
}

/// All recipients wait together.
fn unknown_sender(noted: &Noted, verdict: Verdict) -> String {
    way(Routed::plain(shown(&noted.sender), verdict).into_quad())
}

fn way(quad: envelope::Quad) -> String {
    let envelope::Quad { channel, host, user, attributes } = quad;
    if attributes == "-" { format!("{channel} {host} {user}") } else { format!("{channel} {host} {user} {attributes}") }
}

fn shown(sender: &Path) -> &str {
    sender.address().map_or("<>", Address::as_str)
}

fn cut(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
