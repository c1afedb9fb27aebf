//! A thread of a table: one connection, one key after the other.

use crate::{Source, Trouble};
use mio::Waker;
use settings::Table;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// A key for a thread.
#[derive(Debug)]
pub struct Job {
    pub key: String,
    /// Later, nobody waits for it.
    pub deadline: Instant,
}

/// What became of a job.
#[derive(Debug)]
pub struct Done {
    pub worker: u64,
    pub said: Result<Option<Vec<String>>, Trouble>,
    /// Connections that were tried to be made for it.
    pub connects: u64,
    /// It has one now.
    pub connected: bool,
}

/// Lives as long as its thread: the number of clones is the number of threads, and one.
#[derive(Debug, Clone, Default)]
pub struct Alive(Arc<()>);

impl Alive {
    /// Threads that have not ended.
    pub fn threads(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1)
    }
}

/// Where threads say what they have done.
#[derive(Debug, Clone)]
pub struct Desk {
    pub done: Sender<Done>,
    pub waker: Arc<Waker>,
    pub alive: Alive,
}

/// Starts one; it ends when the sender given back is dropped.
pub fn start<S: Source>(number: u64, source: Arc<S>, table: Arc<Table>, desk: Desk) -> io::Result<Sender<Job>> {
    let (jobs, to_do) = channel();
    let name = table.name.chars().take(15).collect();
    std::thread::Builder::new().name(name).stack_size(512 * 1024).spawn(move || {
        let Desk { done, waker, alive: _alive } = desk;
        let mut thread = Thread { source, table, connection: None, answered: 0, connects: 0 };
        thread.serve(number, &to_do, &done, &waker);
    })?;
    Ok(jobs)
}

struct Thread<S: Source> {
    source: Arc<S>,
    table: Arc<Table>,
    connection: Option<S::Connection>,
    /// By this connection.
    answered: u64,
    connects: u64,
}

impl<S: Source> Thread<S> {
    fn serve(&mut self, worker: u64, jobs: &Receiver<Job>, done: &Sender<Done>, waker: &Waker) {
        while let Ok(job) = jobs.recv() {
            let said = self.answer(&job);
            let connects = std::mem::take(&mut self.connects);
            if done.send(Done { worker, said, connects, connected: self.connection.is_some() }).is_err() || waker.wake().is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, job: &Job) -> Result<Option<Vec<String>>, Trouble> {
        let used = self.connection.is_some() && self.answered > 0;
        match self.ask(job) {
            // It was closed while it had nothing to do.
            Err(trouble) if trouble.broken && used && Instant::now() < job.deadline => self.ask(job),
            said => said,
        }
    }

    fn ask(&mut self, job: &Job) -> Result<Option<Vec<String>>, Trouble> {
        if Instant::now() >= job.deadline {
            return Err(Trouble::passing("its time was over before it was asked"));
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.connects = self.connects.saturating_add(1);
                self.answered = 0;
                // Without a connection there is nothing to keep, whatever the source says.
                self.source.connect(&self.table).map_err(|trouble| Trouble { broken: true, ..trouble })?
            }
        };
        let said = self.source.ask(&mut connection, &self.table, &job.key);
        if !said.as_ref().is_err_and(|trouble| trouble.broken) {
            self.connection = Some(connection);
            self.answered = self.answered.saturating_add(1);
        }
        said
    }
}
