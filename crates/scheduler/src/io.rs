//! The file calls, on threads: a slow disk never stops the loop, and with several volumes stops only its own messages.
//! Calls for one message stay in order, because a message always has the same thread.

use crate::copies::{Copies, IDLE};
use crate::model::EditsPlace;
use envelope::{Diagnostic, Edits, MessageId, RecipientState};
use mio::Waker;
use spool::{LoadError, Loaded, Spool, TransportScan, VolumeNumber, Volumes};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Results that a thread gathers before it hands them over.
const BATCH: usize = 16;
/// Finished marks and removals that wait for another reason to wake the loop.
const QUIET: usize = 256;
/// A volume whose calls take longer than this is slow. An honest disk that is busy syncing takes some milliseconds.
const SLOW_US: u32 = 50_000;
/// One call counts for no more than this, so that a disk that hung once is trusted again soon.
const LONGEST_US: u32 = 1_000_000;
/// A volume that has not answered for so long is slow too, whatever its mean.
const HANGING: Duration = Duration::from_millis(200);

/// One thing to do with files.
#[derive(Debug)]
pub enum Order {
    Load(MessageId),
    Open {
        job: u64,
        id: MessageId,
        edits: Option<EditsPlace>,
        /// The agent knows nothing of edits: it gets a copy.
        copy: bool,
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
    /// Says that all before it is done; for this client.
    Fence(u64),
}

/// How it went.
#[derive(Debug)]
pub enum Done {
    Loaded(MessageId, Result<Box<Loaded>, LoadError>),
    Opened {
        job: u64,
        message: io::Result<Opened>,
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
    /// One thread has done all that was ordered before.
    Fence(u64),
}

impl Order {
    const fn id(&self) -> Option<MessageId> {
        match self {
            Self::Load(id) | Self::Open { id, .. } | Self::Mark { id, .. } | Self::Remove { id } => Some(*id),
            Self::Scan(_) | Self::Remember(_) | Self::Fence(_) => None,
        }
    }

    fn perform(self, spool: &Spool, copies: &mut Copies) -> Done {
        match self {
            Self::Load(id) => Done::Loaded(id, spool.load(id).map(Box::new)),
            Self::Open { job, id, edits, copy } => Done::Opened { job, message: open(spool, id, edits, copy.then_some(copies)) },
            Self::Mark { id, states, diagnostics } => match spool.mark(id, &states, &diagnostics) {
                Ok(()) => Done::Written,
                // Removed from outside: nothing is left to mark.
                Err(e) if e.kind() == io::ErrorKind::NotFound => Done::Written,
                Err(error) => Done::NotWritten { order: Self::Mark { id, states, diagnostics }, error },
            },
            Self::Remove { id } => {
                copies.forget(id);
                match spool.remove(id) {
                    Ok(()) => Done::Written,
                    Err(error) => Done::NotWritten { order: Self::Remove { id }, error },
                }
            }
            Self::Remember(text) => {
                if let Err(e) = spool.write_sites(&text) {
                    daemon::event!(Warning, "sites_not_written", text = e);
                }
                Done::Written
            }
            Self::Fence(client) => Done::Fence(client),
            Self::Scan(mut scan) => {
                let ids = spool.scan_step(&mut scan);
                Done::Scanned { scan, ids }
            }
        }
    }
}

/// A message as a job takes it.
#[derive(Debug)]
pub struct Opened {
    pub file: File,
    pub edits: Edits,
    /// The file is a copy that begins with the header, edited already.
    pub copied: bool,
}

impl Opened {
    pub fn plain(file: File) -> Self {
        Self { file, edits: Edits::default(), copied: false }
    }
}

/// Opens a message, with the edits of its header where there are some. Then the header is read too: the agent, which may have
/// a loop to serve, finds it in memory.
fn open(spool: &Spool, id: MessageId, edits: Option<EditsPlace>, mut copies: Option<&mut Copies>) -> io::Result<Opened> {
    let file = spool.open_message(id)?;
    let Some(place) = edits else { return Ok(Opened::plain(file)) };
    if let Some(file) = copies.as_mut().and_then(|copies| copies.find(id, place)) {
        return Ok(Opened { file, edits: Edits::default(), copied: true });
    }
    let edits = spool.edits(id, place.first, place.bytes)?;
    // A damaged control file may say anything of the length.
    if edits.end() > file.metadata()?.len().saturating_sub(place.header) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the header edits reach beyond the message"));
    }
    let mut header = vec![0; usize::try_from(edits.end()).map_err(io::Error::other)?];
    file.read_exact_at(&mut header, place.header)?;
    let Some(copies) = copies else { return Ok(Opened { file, edits, copied: false }) };
    let file = copies.make(spool, id, place, &edits, &header, &file)?;
    Ok(Opened { file, edits: Edits::default(), copied: true })
}

/// The next orders; `None`: the pool is gone. While copies are kept they are looked at now and then.
fn next(receiver: &Receiver<Vec<Order>>, copies: &mut Copies) -> Option<Vec<Order>> {
    loop {
        copies.tidy();
        if copies.is_empty() {
            return receiver.recv().ok();
        }
        match receiver.recv_timeout(IDLE) {
            Ok(orders) => return Some(orders),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
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
    done: Vec<(VolumeNumber, Done)>,
    /// The loop knows that there are some.
    woken: bool,
}

/// One volume: threads of its own, so that a disk that hangs stops nobody else's calls.
#[derive(Debug)]
struct Disk {
    number: VolumeNumber,
    shards: Vec<Shard>,
    outstanding: usize,
    /// Jobs that wait for their message to be opened.
    opening: usize,
    /// What one call takes by now, in microseconds (a running mean); measured where there are several volumes.
    pace: Arc<AtomicU32>,
    /// When a call last came back, or the first of those under way began.
    heard: Instant,
}

/// The threads. Orders gather until [`Pool::flush`]; the caller bounds them by looking at [`Pool::outstanding`].
#[derive(Debug)]
pub struct Pool {
    disks: Vec<Disk>,
    done: Arc<Mutex<Results>>,
    waker: Arc<Waker>,
    outstanding: usize,
    /// Volumes are configured, there or not.
    several: bool,
}

/// Orders to one volume.
#[derive(Debug)]
pub struct Lane<'p> {
    pool: &'p mut Pool,
    volume: VolumeNumber,
}

impl Lane<'_> {
    pub fn order(&mut self, order: Order) {
        self.pool.order(self.volume, order);
    }
}

impl Pool {
    /// `threads` for each volume.
    pub fn start(volumes: &Volumes, threads: u16, waker: &Arc<Waker>) -> io::Result<Self> {
        let several = volumes.all().len() > 1;
        let mut pool = Self { disks: Vec::new(), done: Arc::default(), waker: Arc::clone(waker), outstanding: 0, several };
        for (number, spool) in volumes.usable() {
            pool.add(number, spool, threads)?;
        }
        Ok(pool)
    }

    /// One more volume.
    pub fn add(&mut self, number: VolumeNumber, spool: &Arc<Spool>, threads: u16) -> io::Result<()> {
        let pace = Arc::new(AtomicU32::new(0));
        let mut shards = Vec::new();
        for thread in 0..threads.max(1) {
            let (sender, receiver) = channel();
            let worker = Worker {
                number,
                spool: Arc::clone(spool),
                done: Arc::clone(&self.done),
                waker: Arc::clone(&self.waker),
                pace: self.several.then(|| Arc::clone(&pace)),
            };
            std::thread::Builder::new().name(format!("io{number}.{thread}")).spawn(move || worker.work(&receiver))?;
            shards.push(Shard { sender, batch: Vec::new() });
        }
        self.disks.push(Disk { number, shards, outstanding: 0, opening: 0, pace, heard: Instant::now() });
        Ok(())
    }

    pub fn of(&mut self, volume: VolumeNumber) -> Lane<'_> {
        Lane { pool: self, volume }
    }

    /// Orders without result so far.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Jobs that may begin from a volume: few of a slow one, for each keeps an agent waiting; else up to `calls` calls.
    pub fn room(&self, volume: VolumeNumber, calls: usize) -> usize {
        let Some(disk) = self.disks.iter().find(|disk| disk.number == volume) else { return 0 };
        if self.several && disk.is_slow() { disk.shards.len().saturating_sub(disk.opening) } else { calls.saturating_sub(disk.outstanding) }
    }

    /// Some volume has fewer than `calls` calls under way.
    pub fn has_room(&self, calls: usize) -> bool {
        self.disks.iter().any(|disk| self.room(disk.number, calls) > 0)
    }

    pub fn order(&mut self, volume: VolumeNumber, order: Order) {
        let Some(disk) = self.disks.iter_mut().find(|disk| disk.number == volume) else { return };
        let at = order.id().map_or(0, |id| usize::from(id.hash())) % disk.shards.len().max(1);
        disk.put(at, order);
        self.outstanding += 1;
    }

    /// Asks every thread of a volume to say when all that is ordered by now is done; so many will.
    pub fn fence(&mut self, volume: VolumeNumber, client: u64) -> usize {
        let Some(disk) = self.disks.iter_mut().find(|disk| disk.number == volume) else { return 0 };
        let threads = disk.shards.len();
        (0..threads).for_each(|at| disk.put(at, Order::Fence(client)));
        self.outstanding += threads;
        threads
    }

    /// Hands the gathered orders to the threads: one wake-up each.
    pub fn flush(&mut self) {
        for shard in self.disks.iter_mut().flat_map(|disk| &mut disk.shards) {
            if !shard.batch.is_empty() {
                // The threads live as long as the pool; a dead one is a panic, which ends the process.
                let _ = shard.sender.send(std::mem::take(&mut shard.batch));
            }
        }
    }

    /// Everything that is done by now.
    pub fn done(&mut self) -> Vec<(VolumeNumber, Done)> {
        let mut results = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        results.woken = false;
        let done = std::mem::take(&mut results.done);
        drop(results);
        self.outstanding = self.outstanding.saturating_sub(done.len());
        for (volume, result) in &done {
            if let Some(disk) = self.disks.iter_mut().find(|disk| disk.number == *volume) {
                disk.outstanding = disk.outstanding.saturating_sub(1);
                disk.opening = disk.opening.saturating_sub(usize::from(matches!(result, Done::Opened { .. })));
            }
        }
        if !done.is_empty() && self.several {
            let now = Instant::now();
            let heard = |disk: &&mut Disk| done.iter().any(|(volume, _)| *volume == disk.number);
            self.disks.iter_mut().filter(heard).for_each(|disk| disk.heard = now);
        }
        done
    }
}

impl Disk {
    /// One of its threads gets an order.
    fn put(&mut self, at: usize, order: Order) {
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        if let Some(shard) = self.shards.get_mut(at) {
            self.opening += usize::from(matches!(order, Order::Open { .. }));
            shard.batch.push(order);
            self.outstanding += 1;
        }
    }

    fn is_slow(&self) -> bool {
        self.pace.load(Relaxed) > SLOW_US || (self.outstanding > 0 && self.heard.elapsed() > HANGING)
    }
}

/// One thread.
struct Worker {
    number: VolumeNumber,
    spool: Arc<Spool>,
    done: Arc<Mutex<Results>>,
    waker: Arc<Waker>,
    pace: Option<Arc<AtomicU32>>,
}

impl Worker {
    fn work(&self, receiver: &Receiver<Vec<Order>>) {
        let (mut results, mut copies) = (Vec::new(), Copies::default());
        while let Some(orders) = next(receiver, &mut copies) {
            for order in orders {
                results.push((self.number, self.perform(order, &mut copies)));
                if results.len() >= BATCH {
                    self.hand_over(&mut results);
                }
            }
            self.hand_over(&mut results);
        }
    }

    fn perform(&self, order: Order, copies: &mut Copies) -> Done {
        let Some(pace) = &self.pace else { return order.perform(&self.spool, copies) };
        let begin = Instant::now();
        let done = order.perform(&self.spool, copies);
        let took = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX).min(LONGEST_US);
        let mean = pace.load(Relaxed);
        // Two threads may overwrite each other's step; the next one mends it.
        pace.store(mean - mean / 8 + took / 8, Relaxed);
        done
    }

    /// Wakes the loop once however many results come before it looks, and not at all for a few marks and removals:
    /// nobody waits for those.
    fn hand_over(&self, results: &mut Vec<(VolumeNumber, Done)>) {
        if results.is_empty() {
            return;
        }
        let news = results.iter().any(|(_, result)| !matches!(result, Done::Written));
        let mut shared = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        shared.done.append(results);
        let wake = !shared.woken && (news || shared.done.len() >= QUIET);
        shared.woken |= wake;
        drop(shared);
        if wake {
            let _ = self.waker.wake();
        }
    }
}
