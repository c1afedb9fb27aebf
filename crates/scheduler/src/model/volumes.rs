//! Which volume a message is on, and how many jobs may begin from each.
//!
//! A job begins with opening its message. On a disk that hangs it would keep its agent's credit and its destination's place
//! meanwhile, so that soon nobody else got any. Hence a bound for each volume; what is over it is parked, and
//! others are served.

use super::Model;
use super::Now;
use envelope::MessageId;
use spool::VolumeNumber;
use std::collections::{HashMap, VecDeque};

/// Empty where there is only one volume.
#[derive(Debug, Default)]
pub struct Homes {
    /// Messages that are not on the postoffice itself.
    of: HashMap<MessageId, VolumeNumber>,
    rooms: Vec<Room>,
}

#[derive(Debug, Default)]
struct Room {
    /// Jobs that may begin now.
    jobs: usize,
    /// Shares passed over, with their destinations. They keep their mark `queued`, so nothing queues them twice.
    parked: VecDeque<(u32, u32)>,
}

impl Homes {
    pub fn of(&self, id: MessageId) -> VolumeNumber {
        self.of.get(&id).copied().unwrap_or_default()
    }

    /// True: no job of this message may begin now, and the share was parked; it is out of its destination's line.
    pub fn parks(&mut self, id: MessageId, share: u32, destination: u32) -> bool {
        if self.rooms.is_empty() {
            return false;
        }
        let volume = usize::from(self.of(id));
        let Some(room) = self.rooms.get_mut(volume).filter(|room| room.jobs == 0) else { return false };
        room.parked.push_back((share, destination));
        true
    }

    /// The message waits for its disk.
    pub fn keeps(&self, id: MessageId, share: u32) -> bool {
        let room = if self.rooms.is_empty() { None } else { self.rooms.get(usize::from(self.of(id))) };
        room.is_some_and(|room| room.parked.iter().any(|(parked, _)| *parked == share))
    }

    /// A job of this message begins.
    pub fn begin(&mut self, id: MessageId) {
        if self.rooms.is_empty() {
            return;
        }
        let volume = usize::from(self.of(id));
        if let Some(room) = self.rooms.get_mut(volume) {
            room.jobs = room.jobs.saturating_sub(1);
        }
    }
}

impl Model {
    /// Says where a message is, before it is added.
    pub fn lies_on(&mut self, id: MessageId, volume: VolumeNumber) {
        if volume != spool::POSTOFFICE {
            self.homes.of.insert(id, volume);
        }
    }

    pub fn volume(&self, id: MessageId) -> VolumeNumber {
        self.homes.of(id)
    }

    /// The message is gone.
    pub fn forget_volume(&mut self, id: MessageId) {
        self.homes.of.remove(&id);
    }

    /// So many jobs may begin from this volume now; what was parked for it joins its destinations again.
    pub fn set_room(&mut self, volume: VolumeNumber, jobs: usize, now: Now) {
        let at = usize::from(volume);
        if self.homes.rooms.len() <= at {
            self.homes.rooms.resize_with(at + 1, Room::default);
        }
        let Some(room) = self.homes.rooms.get_mut(at) else { return };
        room.jobs = jobs;
        let count = room.parked.len().min(jobs);
        let again: Vec<(u32, u32)> = room.parked.drain(..count).collect();
        for (key, destination) in again {
            let Some(share) = self.shares.get_mut(key) else { continue };
            if share.queued && share.destination == destination {
                share.queued = false;
                self.queue_share(key, now);
            }
        }
    }

    /// Shares wait for room on this volume.
    pub fn is_parked(&self, volume: VolumeNumber) -> bool {
        self.homes.rooms.get(usize::from(volume)).is_some_and(|room| !room.parked.is_empty())
    }
}
