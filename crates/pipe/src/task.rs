//! A job at work: its runs one after another, a result for every recipient.

use crate::accounts::Runner;
use crate::content::{Flags, Shaped, front};
use crate::words::{Message, Recipient, expand};
use ipc::agents::{Job, RecipientResult, Report};
use program::{Ended, Order, Running};
use settings::Pipe;
use status::{Enhanced, Outcome, Phase};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of the header looked at for the Message-ID.
const HEADER: u64 = 32 * 1024;
/// Longest Message-ID that programs get.
const MESSAGE_ID: usize = 998;

/// What a run came to before the program began, or at its end.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub outcome: Outcome,
    pub status: Enhanced,
    pub text: String,
}

#[derive(Debug)]
pub struct Task {
    pub job: Job,
    file: Arc<File>,
    message_id: String,
    /// Positions of recipients in the job; each element is one run.
    waiting: VecDeque<Vec<usize>>,
    /// The run under way.
    current: Vec<usize>,
    results: Vec<RecipientResult>,
}

impl Task {
    pub fn new(job: Job, file: Arc<File>, many: bool) -> Self {
        let all = 0..job.recipients.len();
        let waiting = if many { std::iter::once(all.collect()).collect() } else { all.map(|at| vec![at]).collect() };
        let message_id = message_id(&file, &job).unwrap_or_default();
        Self { job, file, message_id, waiting, current: Vec::new(), results: Vec::new() }
    }

    /// Takes the next run up; false when there is none.
    pub fn advance(&mut self) -> bool {
        match self.waiting.pop_front() {
            Some(run) if !run.is_empty() => {
                self.current = run;
                true
            }
            _ => false,
        }
    }

    /// Starts the program for the run taken up.
    pub fn start(&self, pipe: &Pipe, runner: &Runner, settings: &settings::Settings, now: Instant) -> Result<Running, Verdict> {
        let recipients: Vec<_> = self.current.iter().filter_map(|at| self.job.recipients.get(*at)).collect();
        let detail = &settings.local.detail;
        let named: Vec<_> = recipients.iter().map(|r| Recipient::new(&r.user, r.original.as_deref(), detail)).collect();
        let message = Message { sender: &self.job.sender, host: &self.job.host, id: &self.job.message, message_id: &self.message_id };
        let words = expand(&pipe.program, &message, &named).map_err(|e| Verdict {
            outcome: Outcome::Failed,
            status: Enhanced::permanent(1, 3),
            text: e.to_string(),
        })?;
        let program = words.first().map(Path::new).unwrap_or(Path::new(""));
        program::check_program(program, Some(runner.uid)).map_err(|e| deferred(5, e.0))?;
        let flags = Flags::parse(&pipe.flags);
        let front = front(flags, &self.job.sender, &named, &settings.identity.hostname, daemon::clock::unix_seconds());
        let file = self.file.try_clone().map_err(|e| deferred(0, e.to_string()))?;
        let content = self.job.content(&file).map_err(|e| deferred(0, e.to_string()))?;
        let input = Shaped::new(file, content, front, flags);
        let order = Order {
            words,
            environment: program::environment(&self.job, recipients.first().copied(), &runner.account, &self.message_id),
            folder: folder(pipe, runner),
            identity: runner.identity.clone(),
            umask: pipe.umask,
            timeout: pipe.timeout,
            max_output: pipe.max_output,
        };
        Running::start(order, Box::new(input), now).map_err(|e| verdict(&Ended::not_started(&e)))
    }

    /// The same result for every recipient of the run under way.
    pub fn settle(&mut self, pipe: &str, verdict: &Verdict) {
        for at in std::mem::take(&mut self.current) {
            let Some(recipient) = self.job.recipients.get(at) else { continue };
            daemon::event!(
                Debug,
                "piped",
                id = self.job.message,
                to = recipient.user,
                pipe = pipe,
                status = verdict.status,
                text = verdict.text
            );
            let remote = format!("pipe {pipe}");
            self.results.push(RecipientResult::new(recipient.index, verdict.outcome, verdict.status, remote, verdict.text.clone()));
        }
    }

    pub fn into_report(self) -> Report {
        Report::new(self.job.number, Phase::Transaction, self.results)
    }
}

/// The home of the user where it can be entered, else the root: a program that needs no folder must not wait for one.
fn folder(pipe: &Pipe, runner: &Runner) -> std::path::PathBuf {
    match &pipe.folder {
        Some(folder) => folder.clone(),
        None if Path::new(&runner.account.home).is_dir() => runner.account.home.clone().into(),
        None => "/".into(),
    }
}

pub fn deferred(detail: u16, text: String) -> Verdict {
    Verdict {
        outcome: Outcome::Deferred,
        status: Enhanced::transient(3, detail),
        text: text.chars().filter(|c| !c.is_control()).take(400).collect(),
    }
}

pub fn verdict(ended: &Ended) -> Verdict {
    let program::Judgement { outcome, status, text } = ended.judgement();
    Verdict { outcome, status, text }
}

fn message_id(file: &File, job: &Job) -> io::Result<String> {
    let mut head = vec![0; usize::try_from(job.size.min(HEADER)).unwrap_or_default()];
    let length = job.content(file)?.read_at(file, &mut head, 0)?;
    let field = message::fields(head.get(..length).unwrap_or_default()).find(|field| field.is("Message-ID"));
    Ok(field.map(|field| field.text().chars().filter(|c| !c.is_control()).take(MESSAGE_ID).collect()).unwrap_or_default())
}
