//! Threads that make the slow signatures.

use ipc::keys::Sign;
use mio::Waker;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use subdaemon::Asker;
use tls::keys::PrivateKey;

/// Questions that may wait: an asker has one at a time.
const MOST_WAITING: usize = 4096;

pub struct Job {
    pub asker: Asker,
    pub key: PrivateKey,
    pub question: Sign,
}

pub struct Done {
    pub asker: Asker,
    pub number: u64,
    pub signature: Result<Vec<u8>, String>,
}

pub struct Signers {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    done: Mutex<Vec<Done>>,
    waker: Arc<Waker>,
    /// Jobs whose end has not been taken yet.
    open: AtomicUsize,
}

impl Signers {
    pub fn start(threads: usize, waker: Arc<Waker>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(MOST_WAITING);
        let (queue, shared) = (Arc::new(Mutex::new(queue)), Arc::new(Shared { done: Mutex::default(), waker, open: AtomicUsize::new(0) }));
        for _ in 0..threads.clamp(1, 64) {
            let (queue, shared) = (Arc::clone(&queue), Arc::clone(&shared));
            std::thread::Builder::new().name("sign".into()).stack_size(256 * 1024).spawn(move || work(&queue, &shared))?;
        }
        Ok(Self { jobs, shared })
    }

    /// False: too many wait already.
    pub fn put(&self, job: Job) -> bool {
        // First: a thread may be done before we are.
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        let put = self.jobs.try_send(job).is_ok();
        if !put {
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        put
    }

    /// Everything that has come to an end.
    pub fn take(&self) -> Vec<Done> {
        let done = std::mem::take(&mut *self.shared.done.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.open.fetch_sub(done.len(), Ordering::Relaxed);
        done
    }

    pub fn are_idle(&self) -> bool {
        self.shared.open.load(Ordering::Relaxed) == 0
    }
}

fn work(queue: &Mutex<Receiver<Job>>, shared: &Shared) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { asker, key, question }) = next else { return };
        let signature = key.sign(question.scheme, &question.message).map_err(|refused| refused.to_string());
        shared.done.lock().unwrap_or_else(PoisonError::into_inner).push(Done { asker, number: question.number, signature });
        let _ = shared.waker.wake();
    }
}
