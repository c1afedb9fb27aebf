//! The threads that may wait: for DNS, for HTTPS servers, for the disk.

use crate::discovery::{Target, policy_id, report_targets};
use crate::fetch::Fetcher;
use crate::keeper::Seen;
use crate::mail::Outbox;
use crate::names::Names;
use crate::report::Report;
use crate::tally::Day;
use settings::Settings;
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Threads, and those of them that may be busy with reports: policies are waited for, reports are not.
const THREADS: usize = 12;
const FOR_REPORTS: usize = 4;

/// What a thread does.
#[derive(Debug)]
pub enum Job {
    Look { domain: String, known: Option<String> },
    Report { day: Day, report: Report },
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    Looked { domain: String, seen: Seen },
    Reported { day: Day, report: Report, sent: Sent },
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Ids of mails with their addresses; addresses it was posted to.
    Out { mails: Vec<(String, String)>, posts: Vec<String> },
    /// The domain asks for none.
    NotWanted,
    /// Nobody took it; later.
    Failed(String),
}

/// What threads work with; another after a reload.
#[derive(Debug)]
pub struct Tools {
    pub names: Arc<Names>,
    pub fetcher: Fetcher,
    pub settings: Arc<Settings>,
    /// One for all: in the sandbox it cannot be opened again.
    pub outbox: Arc<Mutex<Outbox>>,
}

#[derive(Debug, Default)]
struct Queues {
    looks: VecDeque<Job>,
    reports: VecDeque<Job>,
    reporting: usize,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    wake: Condvar,
    tools: Mutex<Arc<Tools>>,
}

/// The threads and what waits for them.
#[derive(Debug)]
pub struct Pool(Arc<Shared>);

impl Pool {
    /// `tell`: called after each result, to wake who receives.
    pub fn start(tools: Tools, results: &Sender<Done>, tell: impl Fn() + Send + Clone + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { queues: Mutex::default(), wake: Condvar::new(), tools: Mutex::new(Arc::new(tools)) });
        for _ in 0..THREADS {
            let (shared, results, tell) = (Arc::clone(&shared), results.clone(), tell.clone());
            std::thread::Builder::new().name("fetch".into()).spawn(move || {
                while results.send(shared.work()).is_ok() {
                    tell();
                }
            })?;
        }
        Ok(Self(shared))
    }

    pub fn give(&self, job: Job) {
        let mut queues = lock(&self.0.queues);
        if matches!(job, Job::Look { .. }) {
            queues.looks.push_back(job)
        } else {
            queues.reports.push_back(job)
        }
        drop(queues);
        self.0.wake.notify_one();
    }

    pub fn tools(&self) -> Arc<Tools> {
        Arc::clone(&lock(&self.0.tools))
    }

    pub fn replace(&self, tools: Tools) {
        *lock(&self.0.tools) = Arc::new(tools);
    }
}

impl Shared {
    /// Waits for a job and does it.
    fn work(&self) -> Done {
        let job = self.next();
        let tools = Arc::clone(&lock(&self.tools));
        match job {
            Job::Look { domain, known } => {
                let seen = look(&tools, &domain, known.as_deref());
                Done::Looked { domain, seen }
            }
            Job::Report { day, report } => {
                let sent = send(&tools, &report);
                lock(&self.queues).reporting -= 1;
                self.wake.notify_one();
                Done::Reported { day, report, sent }
            }
        }
    }

    fn next(&self) -> Job {
        let mut queues = lock(&self.queues);
        loop {
            if let Some(job) = queues.looks.pop_front() {
                return job;
            }
            if queues.reporting < FOR_REPORTS
                && let Some(job) = queues.reports.pop_front()
            {
                queues.reporting += 1;
                return job;
            }
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread that panicked took the process with it; poison is impossible.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(tools: &Tools, domain: &str, known: Option<&str>) -> Seen {
    let texts = match tools.names.texts(format!("_mta-sts.{domain}")) {
        Ok(texts) => texts,
        Err(text) => return Seen::NoAnswer(text),
    };
    match policy_id(&texts) {
        None => Seen::NoRecord,
        Some(id) if known == Some(id.as_str()) => Seen::Same,
        Some(id) => tools.fetcher.policy(domain, &id).map_or_else(Seen::Failed, Seen::Fetched),
    }
}

fn send(tools: &Tools, report: &Report) -> Sent {
    let texts = match tools.names.texts(format!("_smtp._tls.{}", report.domain)) {
        Ok(texts) => texts,
        Err(text) => return Sent::Failed(text),
    };
    let targets = report_targets(&texts);
    if targets.is_empty() {
        return Sent::NotWanted;
    }
    let settings = &tools.settings;
    let compressed = match report.compressed(&settings.identity.hostname, &settings.tls_report.contact) {
        Ok(compressed) => compressed,
        Err(e) => return Sent::Failed(e.to_string()),
    };
    let (mut mails, mut posts, mut trouble) = (Vec::new(), Vec::new(), String::new());
    for target in targets {
        match target {
            Target::Mail(to) => match lock(&tools.outbox).send(settings, report, &compressed, &to) {
                Ok(id) => mails.push((id, to.as_str().to_owned())),
                Err(e) => trouble = e.to_string(),
            },
            Target::Post { host, port, url } => match tools.fetcher.post(&url, port, &compressed) {
                Ok(()) => posts.push(host),
                Err(e) => trouble = e,
            },
        }
    }
    if mails.is_empty() && posts.is_empty() { Sent::Failed(trouble) } else { Sent::Out { mails, posts } }
}
