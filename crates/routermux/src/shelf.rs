//! The volumes of the spool, each with its own waiting files and its own thread for file calls: a disk that hangs
//! keeps neither questions waiting nor the files of the others.

use crate::files::{Files, MAX_KNOWN};
use crate::keeper::{Keeper, Order};
use crate::lanes::Lanes;
use crate::sorting::Sorter;
use mio::Waker;
use settings::Lane;
use spool::{VolumeNumber, Volumes};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Left-overs of `public/` are looked for this often.
const RECOVERY: Duration = Duration::from_secs(3600);

/// Files whose lanes are found out in one go: a millisecond of reading.
const SORTED_AT_ONCE: usize = 128;

/// One volume. Names are as [`Volumes::written`] writes them.
#[derive(Debug)]
pub struct Shelf {
    pub files: Files,
    /// `None`: the volume is missing.
    pub keeper: Option<Keeper>,
    next_scan: Instant,
    /// A scan is on its way: one at a time.
    pub scanning: bool,
    next_recovery: Instant,
}

/// All of them.
#[derive(Debug)]
pub struct Shelves {
    pub volumes: Volumes,
    pub list: Vec<Shelf>,
    waker: Arc<Waker>,
    sorter: Arc<Sorter>,
}

impl Shelves {
    pub fn start(volumes: Volumes, lanes: &[Lane], waker: &Arc<Waker>) -> io::Result<Self> {
        let mut list = Vec::new();
        let now = Instant::now();
        for volume in volumes.all() {
            let keeper = match &volume.spool {
                Ok(spool) => Some(Keeper::start(Arc::clone(spool), Arc::clone(waker))?),
                Err(reason) => {
                    daemon::event!(Error, "volume_missing", volume = volume.name, path = volume.path.display(), reason = reason);
                    None
                }
            };
            let files = Files::new(Lanes::new(lanes));
            list.push(Shelf { files, keeper, next_scan: now, scanning: false, next_recovery: now });
        }
        Ok(Self { volumes, list, waker: Arc::clone(waker), sorter: Sorter::new(lanes) })
    }

    /// Takes volumes into use that were missing.
    pub fn reopen(&mut self) {
        for (number, spool) in self.volumes.reopen() {
            let Some(shelf) = self.list.get_mut(usize::from(number)) else { continue };
            match Keeper::start(spool, Arc::clone(&self.waker)) {
                Ok(keeper) => shelf.keeper = Some(keeper),
                Err(e) => daemon::event!(Error, "no_thread", reason = e),
            }
        }
    }

    /// Takes other lanes into use.
    pub fn renew_lanes(&mut self, lanes: &[Lane]) {
        self.sorter = Sorter::new(lanes);
        for shelf in &mut self.list {
            shelf.files.lanes.renew(lanes);
        }
    }

    /// Has the volume's thread find out the lanes of the next names, unless it is at that.
    pub fn sort(&mut self, volume: usize) {
        let Some(shelf) = self.list.get_mut(volume).filter(|shelf| !shelf.files.lanes.is_sorting()) else { return };
        let Some(keeper) = &shelf.keeper else { return };
        let names = shelf.files.lanes.for_sorting(SORTED_AT_ONCE);
        if !names.is_empty() {
            let bare = names.iter().filter_map(|name| self.volumes.read(name)).map(|(_, bare)| bare.to_owned()).collect();
            keeper.order(Order::Sort { names: bare, sorter: Arc::clone(&self.sorter) });
        }
    }

    /// What a thread has found out.
    pub fn sorted(&mut self, volume: usize, names: Vec<(String, usize)>, sorter: &Arc<Sorter>) {
        let number = VolumeNumber::try_from(volume).unwrap_or(VolumeNumber::MAX);
        let current = Arc::ptr_eq(sorter, &self.sorter);
        let names = names.into_iter().map(|(name, lane)| (self.volumes.written(number, &name), current.then_some(lane))).collect();
        if let Some(shelf) = self.list.get_mut(volume) {
            shelf.files.lanes.put(names);
        }
    }

    /// How many wait in each lane, over all volumes.
    pub fn lanes(&self) -> Vec<usize> {
        let mut sums: Vec<usize> = Vec::new();
        for counts in self.list.iter().map(|shelf| shelf.files.lanes.counts()) {
            sums.resize(sums.len().max(counts.len()), 0);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
        }
        sums
    }

    /// The volume of a written name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.volumes.read(name).map(|(number, _)| usize::from(number))
    }

    pub fn of(&mut self, name: &str) -> Option<&mut Shelf> {
        let number = self.number(name)?;
        self.list.get_mut(number).filter(|shelf| shelf.keeper.is_some())
    }

    /// A name from a notice or a worker; false when it is known already or there is no room.
    pub fn offer(&mut self, name: &str) -> bool {
        self.of(name).is_some_and(|shelf| shelf.files.offer(name))
    }

    /// Names that a keeper has found.
    pub fn found(&mut self, volume: usize, names: &[String]) -> usize {
        let number = VolumeNumber::try_from(volume).unwrap_or(VolumeNumber::MAX);
        let written: Vec<String> = names.iter().map(|name| self.volumes.written(number, name)).collect();
        let Some(shelf) = self.list.get_mut(volume) else { return 0 };
        written.iter().filter(|name| shelf.files.offer(name)).count()
    }

    pub fn done(&mut self, names: &[String]) {
        let Some(first) = names.first() else { return };
        if let Some(shelf) = self.of(first) {
            shelf.files.done(names);
        }
    }

    pub fn waiting(&self) -> usize {
        self.list.iter().map(|shelf| shelf.files.waiting()).sum()
    }

    /// Those of them whose lane is known.
    pub fn sorted_now(&self) -> usize {
        self.list.iter().map(|shelf| shelf.files.lanes.sorted()).sum()
    }

    pub fn has_suspects(&self) -> bool {
        self.list.iter().any(|shelf| shelf.files.has_suspects())
    }

    pub fn suspect(&mut self) -> Option<String> {
        self.list.iter_mut().find_map(|shelf| shelf.files.suspect())
    }

    /// A router died with these in hand; see [`Files::died`].
    pub fn died(&mut self, names: Vec<String>, alone: bool) {
        let alone = alone && names.len() == 1;
        for name in names {
            let bare = self.volumes.read(&name).map(|(_, bare)| bare.to_owned());
            let Some(shelf) = self.of(&name) else { continue };
            if shelf.files.died(vec![name], alone).is_some()
                && let (Some(name), Some(keeper)) = (bare, &shelf.keeper)
            {
                let reason = "two routers died while they routed this file".to_owned();
                keeper.order(Order::SetAside { name, reason });
            }
        }
    }

    /// Scans and recoveries that are due.
    pub fn periodic(&mut self, now: Instant, scan: Duration, age: Duration, draining: bool) {
        for shelf in &mut self.list {
            let Some(keeper) = &shelf.keeper else { continue };
            if draining {
                (shelf.next_scan, shelf.next_recovery) = (now + RECOVERY, now + RECOVERY);
                continue;
            }
            // Recovery first: what it adopts, the scan after it finds.
            if shelf.next_recovery <= now {
                shelf.next_recovery = now + RECOVERY;
                keeper.order(Order::Recover { age });
            }
            if (shelf.next_scan <= now || shelf.files.wants_scan()) && !shelf.scanning {
                shelf.scanning = true;
                shelf.next_scan = now + scan;
                keeper.order(Order::Scan { limit: MAX_KNOWN });
            } else if shelf.next_scan <= now {
                shelf.next_scan = now + Duration::from_secs(1);
            }
        }
    }

    /// When something is due.
    pub fn due(&self) -> Option<Instant> {
        self.list.iter().filter(|shelf| shelf.keeper.is_some()).map(|shelf| shelf.next_scan.min(shelf.next_recovery)).min()
    }
}
