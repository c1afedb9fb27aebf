//! The file calls, on threads: a slow disk never stops the loop. Calls for one message stay in order, because a
//! message always has the same thread.

use envelope::{Diagnostic, MessageId, RecipientState};
use mio::Waker;
use spool::{LoadError, Loaded, Spool, TransportScan};
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Results that a thread gathers before it hands them over.
const BATCH: usize = 16;
/// Finished marks and removals that wait for another reason to wake the loop.
const QUIET: usize = 256;

/// One thing to do with files.
#[derive(Debug)]
pub enum Order {
    Load(MessageId),
    Open {
        job: u64,
        id: MessageId,
    },
    Mark {
        id: MessageId,
        states: Vec<(u32, RecipientState)>,
        diagnostics: Vec<Diagnostic>,
    },
    Remove {
        id: MessageId,
    },
    Scan(TransportScan),
    /// What is known of sites, to be kept.
    Remember(String),
}

/// How it went.
#[derive(Debug)]
pub enum Done {
    Loaded(MessageId, Result<Box<Loaded>, LoadError>),
    Opened {
        job: u64,
        file: io::Result<File>,
    },
    /// A mark or a removal.
    Written,
    /// A mark or a removal that failed, to be tried again.
    NotWritten {
        order: Order,
        error: io::Error,
    },
    Scanned {
        scan: TransportScan,
        ids: io::Result<Option<Vec<MessageId>>>,
    },
}

impl Order {
    const fn id(&self) -> Option<MessageId> {
        match self {
            Self::Load(id) | Self::Open { id, .. } | Self::Mark { id, .. } | Self::Remove { id } => Some(*id),
            Self::Scan(_) | Self::Remember(_) => None,
        }
    }

    fn perform(self, spool: &Spool) -> Done {
        match self {
            Self::Load(id) => Done::Loaded(id, spool.load(id).map(Box::new)),
            Self::Open { job, id } => Done::Opened { job, file: spool.open_message(id) },
            Self::Mark { id, states, diagnostics } => match spool.mark(id, &states, &diagnostics) {
                Ok(()) => Done::Written,
                // Removed from outside: nothing is left to mark.
                Err(e) if e.kind() == io::ErrorKind::NotFound => Done::Written,
                Err(error) => Done::NotWritten { order: Self::Mark { id, states, diagnostics }, error },
            },
            Self::Remove { id } => match spool.remove(id) {
                Ok(()) => Done::Written,
                Err(error) => Done::NotWritten { order: Self::Remove { id }, error },
            },
            Self::Remember(text) => {
                if let Err(e) = spool.write_sites(&text) {
                    daemon::event!(Warning, "sites_not_written", text = e);
                }
                Done::Written
            }
            Self::Scan(mut scan) => {
                let ids = spool.scan_step(&mut scan);
                Done::Scanned { scan, ids }
            }
        }
    }
}

#[derive(Debug)]
struct Shard {
    sender: Sender<Vec<Order>>,
    batch: Vec<Order>,
}

/// Results on their way to the loop.
#[derive(Debug, Default)]
struct Results {
    done: Vec<Done>,
    /// The loop knows that there are some.
    woken: bool,
}

/// The threads. Orders gather until [`Pool::flush`]; the caller bounds them by looking at [`Pool::outstanding`].
#[derive(Debug)]
pub struct Pool {
    shards: Vec<Shard>,
    done: Arc<Mutex<Results>>,
    outstanding: usize,
}

impl Pool {
    pub fn start(spool: &Arc<Spool>, threads: u16, waker: &Arc<Waker>) -> io::Result<Self> {
        let done = Arc::new(Mutex::new(Results::default()));
        let mut shards = Vec::new();
        for number in 0..threads.max(1) {
            let (sender, receiver) = channel();
            let (spool, done, waker) = (Arc::clone(spool), Arc::clone(&done), Arc::clone(waker));
            std::thread::Builder::new().name(format!("io{number}")).spawn(move || work(&receiver, &spool, &done, &waker))?;
            shards.push(Shard { sender, batch: Vec::new() });
        }
        Ok(Self { shards, done, outstanding: 0 })
    }

    /// Orders without result so far.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub fn order(&mut self, order: Order) {
        let threads = self.shards.len().max(1);
        let at = order.id().map_or(0, |id| usize::from(id.hash())) % threads;
        if let Some(shard) = self.shards.get_mut(at) {
            shard.batch.push(order);
            self.outstanding += 1;
        }
    }

    /// Hands the gathered orders to the threads: one wake-up each.
    pub fn flush(&mut self) {
        for shard in &mut self.shards {
            if !shard.batch.is_empty() {
                // The threads live as long as the pool; a dead one is a panic, which ends the process.
                let _ = shard.sender.send(std::mem::take(&mut shard.batch));
            }
        }
    }

    /// Everything that is done by now.
    pub fn done(&mut self) -> Vec<Done> {
        let mut results = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        results.woken = false;
        let done = std::mem::take(&mut results.done);
        drop(results);
        self.outstanding = self.outstanding.saturating_sub(done.len());
        done
    }
}

fn work(receiver: &Receiver<Vec<Order>>, spool: &Spool, done: &Mutex<Results>, waker: &Waker) {
    let mut results = Vec::new();
    while let Ok(orders) = receiver.recv() {
        for order in orders {
            results.push(order.perform(spool));
            if results.len() >= BATCH {
                hand_over(&mut results, done, waker);
            }
        }
        hand_over(&mut results, done, waker);
    }
}

/// Wakes the loop once however many results come before it looks, and not at all for a few marks and removals: nobody
/// waits for those.
fn hand_over(results: &mut Vec<Done>, done: &Mutex<Results>, waker: &Waker) {
    if results.is_empty() {
        return;
    }
    let news = results.iter().any(|result| !matches!(result, Done::Written));
    let mut shared = done.lock().unwrap_or_else(PoisonError::into_inner);
    shared.done.append(results);
    let wake = !shared.woken && (news || shared.done.len() >= QUIET);
    shared.woken |= wake;
    drop(shared);
    if wake {
        let _ = waker.wake();
    }
}
