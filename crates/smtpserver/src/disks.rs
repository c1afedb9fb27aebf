//! The volumes of the spool, as a worker that makes files sees them: which one takes the next message.
//!
//! The rule: of the volumes with room whose last write did not fail, the one with the fewest operations in flight for its
//! weight; among equals they take turns by weight. A slow disk has its operations in flight for longer, so it gets fewer; a volume of weight 0 gets what no other takes
//! only if it is the postoffice. Each volume has threads of its own: those of a disk that hangs hang alone.

use crate::gone::Gone;
use crate::sync::{Done, Job, Threads};
use mio::Waker;
use settings::Settings;
use spool::{POSTOFFICE, VolumeNumber, Volumes};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A volume that refused a write is left alone for so long, as long as another one takes mail.
const REST: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Disk {
    number: VolumeNumber,
    weight: u32,
    /// Bytes that may be written.
    free: u64,
    failed: Option<Instant>,
    threads: Threads,
}

#[derive(Debug)]
pub(crate) struct Disks {
    pub volumes: Volumes,
    /// Usable ones, the postoffice first.
    disks: Vec<Disk>,
    pub gone: Arc<Gone>,
    /// Messages placed so far: among equals the weights decide whose turn it is.
    placed: u64,
}

impl Disks {
    pub fn open(settings: &Settings, waker: &Arc<Waker>) -> io::Result<Self> {
        let volumes = Volumes::open(&settings.paths.postoffice, settings.volume_roots())?;
        for volume in volumes.all() {
            if let Err(reason) = &volume.spool {
                daemon::event!(Error, "volume_missing", volume = volume.name, path = volume.path.display(), reason = reason);
            }
        }
        let mut disks = Vec::new();
        let gone = Arc::<Gone>::default();
        for (number, spool) in volumes.usable() {
            let threads = Threads::new(Arc::clone(spool), settings.processes.sync_threads, Arc::clone(waker), Arc::clone(&gone));
            disks.push(Disk { number, weight: 1, free: spool.free().map_or(0, |(bytes, _)| bytes), failed: None, threads });
        }
        let mut all = Self { volumes, disks, gone, placed: 0 };
        all.weigh(settings);
        Ok(all)
    }

    /// Takes the weights of these settings.
    pub fn weigh(&mut self, settings: &Settings) {
        for disk in &mut self.disks {
            disk.weight = settings.volume_weights().nth(usize::from(disk.number)).unwrap_or(0);
        }
    }

    /// The volume for the next message; `None`: none has this much room.
    pub fn choose(&self, room: u64, now: Instant) -> Option<VolumeNumber> {
        if let [only] = self.disks.as_slice() {
            return (only.free >= room).then_some(only.number);
        }
        let with_room = || self.disks.iter().filter(move |disk| disk.free >= room);
        let well = |disk: &&Disk| disk.failed.is_none_or(|at| now.saturating_duration_since(at) >= REST);
        let turn = self.turn();
        let rank = |disk: &&Disk| (disk.load(), disk.number != turn);
        let best = with_room().filter(|disk| disk.weight > 0).filter(well).min_by_key(rank);
        let best = best.or_else(|| with_room().filter(|disk| disk.weight > 0).min_by_key(rank));
        best.or_else(|| with_room().find(|disk| disk.number == POSTOFFICE)).map(|disk| disk.number)
    }

    /// Whose turn it is where all are equal.
    fn turn(&self) -> VolumeNumber {
        let total: u64 = self.disks.iter().map(|disk| u64::from(disk.weight)).sum();
        let mut at = self.placed % total.max(1);
        for disk in &self.disks {
            let weight = u64::from(disk.weight);
            if at < weight {
                return disk.number;
            }
            at -= weight;
        }
        POSTOFFICE
    }

    /// A message begins on the volume chosen for it.
    pub fn placed(&mut self) {
        self.placed = self.placed.wrapping_add(1);
    }

    pub fn put(&mut self, volume: VolumeNumber, job: Job) {
        if let Some(disk) = self.disk(volume) {
            disk.threads.put(job);
        }
    }

    /// Asks every disk how much room it has.
    pub fn measure(&mut self) {
        self.disks.iter_mut().for_each(|disk| disk.threads.put(Job::Measure));
    }

    pub fn measured(&mut self, volume: VolumeNumber, free: u64) {
        if let Some(disk) = self.disk(volume) {
            disk.free = free;
        }
    }

    pub fn failed(&mut self, volume: VolumeNumber, now: Instant) {
        if let Some(disk) = self.disk(volume) {
            disk.failed = Some(now);
        }
    }

    /// Hands the jobs of this turn to the threads.
    pub fn flush(&mut self) {
        self.disks.iter_mut().for_each(|disk| disk.threads.flush());
    }

    /// Everything that has come to an end.
    pub fn take(&mut self) -> Vec<(VolumeNumber, Done)> {
        let ended = |disk: &mut Disk| disk.threads.take().into_iter().map(|done| (disk.number, done)).collect::<Vec<_>>();
        self.disks.iter_mut().flat_map(ended).collect()
    }

    /// Microseconds that mail takes to the slowest disk.
    pub fn latency(&self) -> u64 {
        self.disks.iter().map(|disk| disk.threads.latency()).max().unwrap_or(0)
    }

    pub fn in_flight(&self) -> usize {
        self.disks.iter().map(|disk| disk.threads.in_flight).sum()
    }

    fn disk(&mut self, volume: VolumeNumber) -> Option<&mut Disk> {
        self.disks.iter_mut().find(|disk| disk.number == volume)
    }
}

impl Disk {
    /// Operations in flight for its weight, in millionths.
    fn load(&self) -> u64 {
        (self.threads.in_flight as u64).saturating_mul(1_000_000) / u64::from(self.weight.max(1))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn disks(weights: [u32; 3]) -> (tempfile::TempDir, Disks) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let owners = spool::Owners::default();
        spool::Spool::create(&root.join("p"), &owners).unwrap();
        for name in ["a", "b"] {
            std::fs::create_dir(root.join(name)).unwrap();
            spool::Spool::create_volume(&root.join("p"), name, &root.join(name), &owners).unwrap();
        }
        let text = format!(
            "[paths]\npostoffice = \"{0}/p\"\nweight = {1}\n[identity]\nhostname = \"mx.example\"\n\
             [[volume]]\nname = \"a\"\npath = \"{0}/a\"\nweight = {2}\n[[volume]]\nname = \"b\"\npath = \"{0}/b\"\nweight = {3}\n\
             [[volume]]\nname = \"gone\"\npath = \"{0}/gone\"\n",
            root.display(),
            weights[0],
            weights[1],
            weights[2]
        );
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let disks = Disks::open(&settings::parse(&text, "test").unwrap(), &waker).unwrap();
        (folder, disks)
    }

    /// Messages go in and none comes back.
    fn taken(disks: &mut Disks, messages: usize) -> [usize; 3] {
        let mut taken = [0; 3];
        for _ in 0..messages {
            let volume = disks.choose(0, Instant::now()).unwrap();
            taken[usize::from(volume)] += 1;
            disks.put(volume, Job::Measure);
        }
        taken
    }

    #[test]
    fn what_is_in_flight_follows_the_weights() {
        assert_eq!(taken(&mut disks([1, 1, 1]).1, 30), [10, 10, 10]);
        assert_eq!(taken(&mut disks([1, 2, 0]).1, 30), [10, 20, 0]);
        assert_eq!(taken(&mut disks([0, 0, 0]).1, 3), [3, 0, 0], "the postoffice is the last resort");
    }

    #[test]
    fn a_draft_is_in_flight_until_it_is_gone() {
        let (folder, mut disks) = disks([1, 1, 1]);
        let spool = Arc::new(spool::Spool::open(&folder.path().join("p")).unwrap());
        let id = envelope::IdSource::new(1).next(1);
        let draft = spool::Submitter::new(spool).draft(id, &envelope::Envelope::default()).unwrap();
        let file = folder.path().join("p/public").join(id.as_str());
        assert!(file.exists());
        disks.put(POSTOFFICE, Job::Discard(draft));
        assert_eq!(disks.in_flight(), 1, "a worker that drains now would leave it behind");
        disks.flush();
        while disks.in_flight() > 0 {
            disks.take();
            std::thread::yield_now();
        }
        assert!(!file.exists());
    }

    #[test]
    fn one_message_at_a_time_takes_turns() {
        let (_folder, mut disks) = disks([1, 2, 1]);
        let mut taken = [0; 3];
        for _ in 0..40 {
            taken[usize::from(disks.choose(0, Instant::now()).unwrap())] += 1;
            disks.placed();
        }
        assert_eq!(taken, [10, 20, 10]);
    }

    #[test]
    fn a_full_or_failing_disk_is_passed_over() {
        let (_folder, mut disks) = disks([1, 1, 1]);
        let now = Instant::now();
        disks.measured(0, 10);
        disks.measured(1, 1000);
        disks.measured(2, 1000);
        assert_eq!(disks.choose(100, now), Some(1));
        disks.failed(1, now);
        assert_eq!(disks.choose(100, now), Some(2));
        disks.failed(2, now);
        assert_eq!(disks.choose(100, now), Some(1), "better one that failed than none");
        assert_eq!(disks.choose(10_000, now), None);
        assert_eq!(disks.choose(1, now + REST), Some(0));
    }
}
