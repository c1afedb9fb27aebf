//! What an operator has frozen: nothing of it begins until it is thawed. What is in a job goes on.
//!
//! A freeze of channels and hosts parks destinations. One that looks at addresses puts recipients aside
//! ([`State::Frozen`]) when their turn comes: nobody walks the queue for it, and while nothing is frozen nothing is compared.

use super::destination::{Destination, Park};
use super::entry::{Course, State};
use super::listing::{bare, in_domain};
use super::{Lane, Model, Now};
use settings::Glob;
use spool::Part;

/// Shares and destinations that are let go in one turn.
const THAWED: usize = 2000;

#[derive(Debug, Default)]
pub struct Freezes {
    all: Vec<Freeze>,
    /// Shares of which members were put aside, and destinations that were parked; some are gone meanwhile.
    shares: Vec<u32>,
    places: Vec<u32>,
    /// The same, to be looked at again.
    thawing: (Vec<u32>, Vec<u32>),
}

#[derive(Debug)]
struct Freeze {
    part: Part,
    channel: Option<Glob>,
    host: Option<Glob>,
}

impl Freeze {
    fn new(part: Part) -> Result<Self, String> {
        part.check()?;
        let glob = |text: &Option<String>| text.as_deref().map(Glob::parse).transpose();
        Ok(Self { channel: glob(&part.channel)?, host: glob(&part.host)?, part })
    }

    fn is_of(&self, channel: &str, host: &str) -> bool {
        self.channel.as_ref().is_none_or(|glob| glob.matches(channel)) && self.host.as_ref().is_none_or(|glob| glob.matches(host))
    }

    fn is_about(&self, sender: &str, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let is = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| bare(wanted).eq_ignore_ascii_case(has));
        is(&self.part.sender, sender)
            && is(&self.part.recipient, address)
            && self.part.domain.as_deref().is_none_or(|d| in_domain(d, domain))
    }
}

/// The freezes of addresses that hold for one destination.
pub struct Keeper<'a>(Vec<&'a Freeze>);

impl Keeper<'_> {
    pub fn keeps(&self, sender: &str, address: &str) -> bool {
        self.0.iter().any(|freeze| freeze.is_about(sender, address))
    }
}

impl Freezes {
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Is the whole destination frozen? Then it is remembered for the thaw.
    pub fn keep_place(&mut self, lanes: &[Lane], destination: &Destination, key: u32) -> bool {
        let frozen = self.place(lanes, destination).is_some();
        if frozen {
            self.places.push(key);
        }
        frozen
    }

    fn place(&self, lanes: &[Lane], destination: &Destination) -> Option<&Freeze> {
        let channel = lanes.get(destination.lane as usize).map_or("", |lane| lane.name.as_str());
        self.all.iter().find(|freeze| !freeze.part.looks_at_addresses() && freeze.is_of(channel, &destination.host))
    }

    /// What keeps recipients of a destination back; reports about them are kept by freezes of channel `error` only.
    pub fn keeper(&self, lanes: &[Lane], destination: &Destination, course: Course) -> Option<Keeper<'_>> {
        if self.all.is_empty() || course != Course::Own {
            return None;
        }
        let channel = lanes.get(destination.lane as usize).map_or("", |lane| lane.name.as_str());
        let of_addresses = self.all.iter().filter(|freeze| freeze.part.looks_at_addresses());
        let found: Vec<_> = of_addresses.filter(|freeze| freeze.is_of(channel, &destination.host)).collect();
        (!found.is_empty()).then_some(Keeper(found))
    }
}

impl Model {
    /// Freezes a part; nothing when it is frozen already. The error says what is wrong with it.
    pub fn freeze_part(&mut self, part: Part) -> Result<(), String> {
        let freeze = Freeze::new(part)?;
        if !self.freezes.all.iter().any(|other| other.part == freeze.part) {
            self.freezes.all.push(freeze);
        }
        Ok(())
    }

    /// Thaws the part that was frozen in these words, or all. False: there is none.
    pub fn thaw_part(&mut self, part: Option<&Part>) -> bool {
        let before = self.freezes.all.len();
        self.freezes.all.retain(|freeze| part.is_some_and(|part| freeze.part != *part));
        let Freezes { shares, places, thawing, .. } = &mut self.freezes;
        // What another freeze holds is put aside again when its turn comes.
        thawing.0.append(shares);
        thawing.1.append(places);
        self.freezes.all.len() < before
    }

    /// The parts that are frozen.
    pub fn frozen_parts(&self) -> Vec<Part> {
        self.freezes.all.iter().map(|freeze| freeze.part.clone()).collect()
    }

    /// Lets some of what was thawed go. True: there is more.
    pub(super) fn thaw_some(&mut self, now: Now) -> bool {
        let (shares, places) = &mut self.freezes.thawing;
        if shares.is_empty() && places.is_empty() {
            return false;
        }
        let shares = shares.split_off(shares.len().saturating_sub(THAWED));
        let places = places.split_off(places.len().saturating_sub(THAWED));
        shares.into_iter().for_each(|key| self.thaw_share(key, now));
        for key in places {
            if let Some(destination) = self.destinations.get_mut(key)
                && destination.park == Park::Frozen
            {
                destination.park = Park::No;
                self.list(key, now);
            }
        }
        !(self.freezes.thawing.0.is_empty() && self.freezes.thawing.1.is_empty())
    }

    fn thaw_share(&mut self, key: u32, now: Now) {
        let members = self.shares.get(key).map(|share| self.members(share)).unwrap_or_default();
        for (position, state) in members {
            if state == State::Frozen {
                self.set_state(key, position, State::Ready);
            }
        }
        self.queue_share(key, now);
    }

    /// Recipients that a freeze keeps wait beside the line.
    pub(super) fn put_aside(&mut self, share: u32, frozen: &[u32]) {
        frozen.iter().for_each(|position| self.set_state(share, *position, State::Frozen));
        if !frozen.is_empty() && self.freezes.shares.last() != Some(&share) {
            self.freezes.shares.push(share);
        }
    }

    /// The freeze that keeps a recipient.
    pub(super) fn freeze_of(&self, destination: &Destination, course: Course, sender: &str, address: &str) -> Option<&Part> {
        let place = self.freezes.place(&self.lanes, destination);
        let keeper = self.freezes.keeper(&self.lanes, destination, course);
        let by_address = keeper.and_then(|keeper| keeper.0.into_iter().find(|freeze| freeze.is_about(sender, address)));
        place.or(by_address).map(|freeze| &freeze.part)
    }
}
