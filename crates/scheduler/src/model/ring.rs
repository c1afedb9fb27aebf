//! Rings: the limit that all destinations of one clause have together (ZMailer's maxring).

use super::destination::Park;
use super::{Model, Now};
use std::collections::{HashMap, VecDeque};

/// The jobs of the destinations under one clause, by its line.
#[derive(Debug, Default)]
pub struct Rings(HashMap<usize, Ring>);

#[derive(Debug, Default)]
struct Ring {
    active: u32,
    most: u32,
    /// Destinations that wait for a place.
    waiting: VecDeque<u32>,
}

impl Rings {
    /// Is there no place for a job? Then the destination waits for one.
    pub fn full(&mut self, ring: Option<(usize, u32)>, destination: u32) -> bool {
        let Some((line, most)) = ring else { return false };
        let Some(ring) = self.0.get_mut(&line).filter(|ring| ring.active >= most) else { return false };
        ring.most = most;
        ring.waiting.push_back(destination);
        true
    }

    /// Jobs now, and how many there may be.
    pub fn state(&self, ring: Option<(usize, u32)>) -> (u32, u32) {
        let Some((line, most)) = ring else { return (0, 0) };
        (self.0.get(&line).map_or(0, |ring| ring.active), most)
    }

    pub fn enter(&mut self, line: usize) {
        self.0.entry(line).or_default().active += 1;
    }

    /// A place is free: whose turn it is.
    fn leave(&mut self, line: usize) -> Option<u32> {
        let ring = self.0.get_mut(&line)?;
        ring.active = ring.active.saturating_sub(1);
        let next = ring.waiting.pop_front();
        if ring.active == 0 && ring.waiting.is_empty() {
            self.0.remove(&line);
        }
        next
    }

    /// All that wait, whatever for: the limits have changed.
    fn release(&mut self) -> Vec<u32> {
        self.0.values_mut().flat_map(|ring| ring.waiting.drain(..)).collect()
    }

    /// Those that wait although there is a place: whoever was given it could not use it.
    fn overlooked(&mut self) -> Vec<u32> {
        let take = |ring: &mut Ring| {
            let free = ring.most.saturating_sub(ring.active) as usize;
            ring.waiting.drain(..free.min(ring.waiting.len())).collect::<Vec<_>>()
        };
        self.0.values_mut().flat_map(take).collect()
    }
}

impl Model {
    pub(super) fn leave_ring(&mut self, line: Option<usize>, now: Now) {
        if let Some(key) = line.and_then(|line| self.rings.leave(line)) {
            self.unpark_ring(key, now);
        }
    }

    /// Once a second.
    pub(super) fn tidy_rings(&mut self, now: Now) {
        for key in self.rings.overlooked() {
            self.unpark_ring(key, now);
        }
    }

    pub(super) fn release_rings(&mut self, now: Now) {
        for key in self.rings.release() {
            self.unpark_ring(key, now);
        }
    }

    fn unpark_ring(&mut self, key: u32, now: Now) {
        if let Some(destination) = self.destinations.get_mut(key)
            && destination.park == Park::Ring
        {
            destination.park = Park::No;
            self.list(key, now);
        }
    }
}
