//! The conversation with one agent.

use crate::words::{MAX_LINE, Said, job_line};
use ipc::agents::{Job, RecipientResult, Report};
use status::{Class, Enhanced, Outcome, Phase};
use std::collections::{BTreeMap, BTreeSet};

/// Jobs that an agent may ask for ahead.
const MOST_HUNGRY: u32 = 1000;
/// Longest text and remote name of a result, in bytes.
const TEXT: usize = 400;

/// What a line means.
#[derive(Debug)]
pub enum Event {
    /// It serves this channel (only the first line, of one that came by itself).
    Register(String),
    /// It takes so many more jobs.
    Hungry(u32),
    /// Results of recipients; `over`: the job has none left.
    Results { report: Report, over: bool },
}

/// The agent does not keep to the protocol: the conversation ends, and what it has not answered for is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// Jobs the agent has, and what it has not answered for.
#[derive(Debug, Default)]
pub struct Dialogue {
    jobs: BTreeMap<u64, Held>,
    partial: Vec<u8>,
}

#[derive(Debug)]
struct Held {
    open: BTreeSet<u32>,
    /// Milliseconds of the caller's clock.
    deadline: u64,
}

impl Dialogue {
    /// The line for a job; from now on the agent owes its results, until `deadline`.
    pub fn give(&mut self, job: &Job, offset: u64, deadline: u64) -> String {
        self.jobs.insert(job.number, Held { open: job.recipients.iter().map(|r| r.index).collect(), deadline });
        job_line(job, offset) + "\n"
    }

    /// Jobs in the agent's hands.
    pub fn held(&self) -> usize {
        self.jobs.len()
    }

    /// The earliest moment by which an answer is due.
    pub fn deadline(&self) -> Option<u64> {
        self.jobs.values().map(|held| held.deadline).min()
    }

    /// What it owes: for each job the recipients without a result. The conversation is over.
    pub fn abandon(&mut self) -> Vec<(u64, Vec<u32>)> {
        std::mem::take(&mut self.jobs).into_iter().map(|(job, held)| (job, held.open.into_iter().collect())).collect()
    }

    /// Takes what was read from a stream: whole lines become events, the rest waits.
    pub fn hear(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Fault> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            if self.partial.len().saturating_add(piece.len()) > MAX_LINE {
                return Err(Fault("a line is too long"));
            }
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                events.extend(self.line(&line)?);
            }
        }
        Ok(())
    }

    /// Takes one line (a packet).
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Event>, Fault> {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(None);
        }
        if line.len() > MAX_LINE {
            return Err(Fault("a line is too long"));
        }
        let said: Said = serde_json::from_slice(line).map_err(|_| Fault("a line that is no object of the protocol"))?;
        match said {
            Said { register: Some(channel), hungry: None, result: None, .. } => Ok(Some(Event::Register(channel))),
            Said { hungry: Some(jobs), register: None, result: None, .. } if (1..=MOST_HUNGRY).contains(&jobs) => {
                Ok(Some(Event::Hungry(jobs)))
            }
            Said { result: Some(job), register: None, hungry: None, .. } => self.result(job, &said).map(Some),
            _ => Err(Fault("a line that says nothing, or too much")),
        }
    }

    fn result(&mut self, job: u64, said: &Said) -> Result<Event, Fault> {
        let held = self.jobs.get_mut(&job).ok_or(Fault("a result for a job it does not have"))?;
        let (outcome, status) = verdict(said)?;
        let answered: Vec<u32> = match said.recipient {
            Some(index) if held.open.remove(&index) => vec![index],
            Some(_) => return Err(Fault("a result for a recipient it was not given")),
            None => std::mem::take(&mut held.open).into_iter().collect(),
        };
        let over = held.open.is_empty();
        if over {
            self.jobs.remove(&job);
        }
        let (text, remote) = (printable(said.text.as_deref().unwrap_or_default()), printable(said.remote.as_deref().unwrap_or("-")));
        let result = |index| {
            let retry_after = said.retry_after.filter(|_| outcome == Outcome::Deferred);
            RecipientResult { retry_after, ..RecipientResult::new(index, outcome, status, remote.clone(), text.clone()) }
        };
        Ok(Event::Results { report: Report::new(job, Phase::Transaction, answered.into_iter().map(result).collect()), over })
    }
}

fn verdict(said: &Said) -> Result<(Outcome, Enhanced), Fault> {
    let (outcome, class, default) = match said.outcome.as_deref() {
        Some("delivered") => (Outcome::Delivered, Class::Success, Enhanced::success(0, 0)),
        Some("deferred") => (Outcome::Deferred, Class::Transient, Enhanced::transient(0, 0)),
        Some("failed") => (Outcome::Failed, Class::Permanent, Enhanced::permanent(0, 0)),
        _ => return Err(Fault("an outcome that is none of delivered, deferred, failed")),
    };
    let Some(text) = &said.status else { return Ok((outcome, default)) };
    match text.parse::<Enhanced>() {
        Ok(status) if status.class == class => Ok((outcome, status)),
        _ => Err(Fault("a status that does not fit the outcome")),
    }
}

/// One line, without control characters, bounded.
fn printable(text: &str) -> String {
    let mut clean: String =
        text.chars().take(TEXT).map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { '?' } else { c }).collect();
    clean.truncate(clean.floor_char_boundary(TEXT));
    if clean.is_empty() { "-".to_owned() } else { clean }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
