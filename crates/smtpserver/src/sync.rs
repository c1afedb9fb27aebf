//! The threads that write and sync messages. They share nothing with the loop but two queues
//! and the marks of [`Gone`].

use crate::context::Client;
use crate::ending::Apart;
use crate::gone::Gone;
use envelope::{Envelope, MessageId};
use mio::Waker;
use spool::{Draft, Spool, Submitter};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Jobs that one thread takes at a time.
const BATCH: usize = 16;

/// Which session something is for. The number makes a stale key harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub slot: usize,
    pub number: u64,
}

/// What the log says of an accepted message, and whom to tell.
#[derive(Debug)]
pub(crate) struct Meta {
    pub key: Key,
    pub id: MessageId,
    pub volume: spool::VolumeNumber,
    pub from: String,
    pub client: Client,
    /// Who has logged in.
    pub user: Option<String>,
    pub size: u64,
    pub nrcpt: usize,
    pub proto: &'static str,
    /// Policy wants it set aside, for this reason.
    pub freeze: Option<Box<str>>,
    /// Left for the filter to read, or to be set aside: not yet committed.
    pub stage: bool,
    /// The tracker knows of the message, of its recipients.
    pub counted: (bool, bool),
    /// The filter's verdict is not for all recipients.
    pub apart: Option<Box<Apart>>,
}

/// A draft, or what is needed to begin one.
#[derive(Debug)]
pub(crate) enum Opening {
    New(Box<Envelope>),
    Open(Draft),
}

#[derive(Debug)]
pub(crate) enum Job {
    /// A small message, whole. `stage`: leave it for the filter to read, unsynced and not yet complete.
    Submit {
        meta: Box<Meta>,
        envelope: Box<Envelope>,
        content: Vec<u8>,
        stage: bool,
    },
    /// A piece of a large one.
    Append {
        key: Key,
        id: MessageId,
        opening: Opening,
        piece: Vec<u8>,
    },
    /// Its last piece.
    Finish {
        meta: Box<Meta>,
        draft: Draft,
        piece: Vec<u8>,
        stage: bool,
    },
    Commit {
        meta: Box<Meta>,
        draft: Draft,
    },
    /// For some of its recipients: see [`Apart`].
    Narrow {
        meta: Box<Meta>,
        draft: Draft,
    },
    Freeze {
        meta: Box<Meta>,
        draft: Draft,
        reason: String,
    },
    Discard(Draft),
    /// How much room has the disk?
    Measure,
}

#[derive(Debug)]
pub(crate) enum Done {
    Committed {
        meta: Box<Meta>,
        result: io::Result<()>,
        frozen: bool,
        buffer: Vec<u8>,
    },
    Staged {
        meta: Box<Meta>,
        result: io::Result<Draft>,
        buffer: Vec<u8>,
    },
    Appended {
        key: Key,
        id: MessageId,
        result: io::Result<Draft>,
        buffer: Vec<u8>,
    },
    Measured(u64),
    /// Told of, because a worker that drains must not leave before its drafts are gone.
    Discarded,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wanted: Condvar,
    done: Mutex<Vec<Done>>,
    waker: Arc<Waker>,
    spool: Arc<Spool>,
    gone: Arc<Gone>,
    /// What a batch took lately, in microseconds: moves by an eighth with each.
    latency: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Threads {
    shared: Arc<Shared>,
    most: usize,
    /// Jobs of this turn.
    waiting: Vec<Job>,
    /// Jobs whose end has not been taken yet.
    pub in_flight: usize,
}

impl Threads {
    /// Threads are made when there is work for them, up to `most`.
    pub fn new(spool: Arc<Spool>, most: u16, waker: Arc<Waker>, gone: Arc<Gone>) -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            wanted: Condvar::new(),
            done: Mutex::default(),
            waker,
            spool,
            gone,
            latency: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), most: usize::from(most.max(1)), waiting: Vec::new(), in_flight: 0 }
    }

    /// Queues a job; [`Threads::flush`] hands it over.
    pub fn put(&mut self, job: Job) {
        self.in_flight += 1;
        self.waiting.push(job);
    }

    /// Hands the jobs of this turn to the threads, with no more wake-ups than batches.
    pub fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.jobs.extend(self.waiting.drain(..));
        let wanted = queue.jobs.len().div_ceil(BATCH);
        for _ in queue.idle..wanted.min(queue.idle + self.most.saturating_sub(queue.threads)) {
            let shared = Arc::clone(&self.shared);
            match std::thread::Builder::new().name("sync".into()).stack_size(256 * 1024).spawn(move || work(&shared)) {
                Ok(_) => queue.threads += 1,
                // The threads there are go on; without any, the sessions wait until their time is over.
                Err(e) => daemon::event!(Error, "no_thread", reason = e),
            }
        }
        let wake = wanted.min(queue.idle);
        drop(queue);
        for _ in 0..wake {
            self.shared.wanted.notify_one();
        }
    }

    /// Microseconds from the moment a thread takes a batch to the end of its last sync, averaged.
    pub fn latency(&self) -> u64 {
        self.shared.latency.load(Ordering::Relaxed)
    }

    /// Everything that has come to an end.
    pub fn take(&mut self) -> Vec<Done> {
        let done = std::mem::take(&mut *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner));
        self.in_flight = self.in_flight.saturating_sub(done.len());
        done
    }
}

fn work(shared: &Shared) {
    let mut submitter = Submitter::new(Arc::clone(&shared.spool));
    let mut jobs = Vec::with_capacity(BATCH);
    let mut ended = Vec::with_capacity(BATCH);
    loop {
        next(shared, &mut jobs);
        let begin = Instant::now();
        perform_all(&mut jobs, &mut ended, shared, &mut submitter);
        if ended.iter().any(|done| matches!(done, Done::Committed { .. })) {
            // Between threads one of two readings may get lost: it is an average.
            let (took, before) = (begin.elapsed().as_micros(), shared.latency.load(Ordering::Relaxed));
            let average = (u128::from(before) * 7 + took) / 8;
            shared.latency.store(u64::try_from(average).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        let mut finished = shared.done.lock().unwrap_or_else(PoisonError::into_inner);
        // The loop takes all at once: only the first of a batch needs to wake it.
        let wake = finished.is_empty();
        finished.append(&mut ended);
        drop(finished);
        if wake {
            let _ = shared.waker.wake();
        }
    }
}

/// Waits for work and takes a batch of it.
fn next(shared: &Shared, jobs: &mut Vec<Job>) {
    let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
    while queue.jobs.is_empty() {
        queue.idle += 1;
        queue = shared.wanted.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.idle -= 1;
    }
    let count = queue.jobs.len().min(BATCH);
    jobs.extend(queue.jobs.drain(..count));
}

/// Small messages are written first, all of the batch, and their pages sent on their way to the disk; then each is
/// synced. So the journal commit that the first one waits for serves the others too.
fn perform_all(jobs: &mut Vec<Job>, ended: &mut Vec<Done>, shared: &Shared, submitter: &mut Submitter) {
    let several = jobs.len() > 1;
    let mut written = Vec::new();
    for job in jobs.drain(..) {
        match job {
            Job::Submit { meta, envelope, content, stage: false } => {
                let draft = submitter.stage(meta.id, &envelope, &content);
                if let (true, Ok(draft)) = (several, &draft) {
                    draft.start_writeback();
                }
                written.push((meta, content, draft));
            }
            other => ended.push(perform(other, shared, submitter)),
        }
    }
    for (meta, buffer, draft) in written {
        let result = draft.and_then(|draft| commit(draft, &meta, shared));
        ended.push(Done::Committed { meta, result, frozen: false, buffer });
    }
}

fn perform(job: Job, shared: &Shared, submitter: &mut Submitter) -> Done {
    match job {
        Job::Submit { meta, envelope, content, .. } => {
            let result = submitter.draft(meta.id, &envelope).and_then(|draft| append(draft, &content)).and_then(flushed);
            Done::Staged { meta, result, buffer: content }
        }
        Job::Append { key, id, opening, piece } => {
            let draft = match opening {
                Opening::New(envelope) => submitter.draft(id, &envelope),
                Opening::Open(draft) => Ok(draft),
            };
            Done::Appended { key, id, result: draft.and_then(|draft| append(draft, &piece)), buffer: piece }
        }
        Job::Finish { meta, draft, piece, stage } => {
            let whole = append(draft, &piece);
            if stage {
                let result = whole.and_then(flushed);
                return Done::Staged { meta, result, buffer: piece };
            }
            Done::Committed { result: whole.and_then(|draft| commit(draft, &meta, shared)), meta, frozen: false, buffer: piece }
        }
        Job::Commit { meta, draft } => Done::Committed { result: commit(draft, &meta, shared), meta, frozen: false, buffer: Vec::new() },
        Job::Narrow { meta, mut draft } => {
            let narrowed = match &meta.apart {
                Some(apart) => draft.narrow(&apart.envelope),
                None => Ok(()),
            };
            let result = narrowed.and_then(|()| commit(draft, &meta, shared));
            Done::Committed { meta, result, frozen: false, buffer: Vec::new() }
        }
        Job::Freeze { meta, draft, reason } => {
            Done::Committed { meta, result: draft.freeze(&reason).map(drop), frozen: true, buffer: Vec::new() }
        }
        Job::Discard(draft) => {
            drop(draft);
            Done::Discarded
        }
        Job::Measure => Done::Measured(shared.spool.free().map_or(0, |(bytes, inodes)| if inodes == 0 { 0 } else { bytes })),
    }
}

/// Unless the client has left meanwhile.
fn commit(draft: Draft, meta: &Meta, shared: &Shared) -> io::Result<()> {
    draft.commit_unless(|| shared.gone.has(meta.key.number)).map(drop)
}

fn append(mut draft: Draft, piece: &[u8]) -> io::Result<Draft> {
    draft.write(piece)?;
    Ok(draft)
}

/// Readable for the filter, yet not complete: what was not judged must not survive a crash.
fn flushed(mut draft: Draft) -> io::Result<Draft> {
    draft.flush()?;
    Ok(draft)
}
