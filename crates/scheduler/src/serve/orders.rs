//! Between the model and the file threads: its actions become orders, their results come back, and marks that a sick
//! disk refused are tried again.

use super::intake::{Heard, Pass, hear};
use super::{REMEMBER_MS, Scheduler};
use crate::io::{Done, Order, Pool};
use crate::model::{Action, Now};
use envelope::MessageId;
use ipc::master::ToMaster;
use spool::{LoadError, Loaded, VolumeNumber};
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// Between two tries of what a disk refused.
const RETRY_MS: u64 = 5000;
/// Orders tried again at one go.
const RETRIES: usize = 200;

/// Marks and removals the disk refused, in order for each message. While a message is here, nothing else of it
/// reaches the disk, and the scan does not take it for a new one: else a full disk would deliver mail twice.
#[derive(Debug, Default)]
pub struct Stuck {
    orders: BTreeMap<MessageId, (VolumeNumber, VecDeque<Order>)>,
    at: u64,
}

impl Stuck {
    pub fn has(&self, id: MessageId) -> bool {
        self.orders.contains_key(&id)
    }

    pub fn refused(&mut self, volume: VolumeNumber, order: Order, error: &io::Error, now: Now) {
        let (Order::Mark { id, .. } | Order::Remove { id }) = &order else { return };
        let id = *id;
        if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) {
            // The file is not what was loaded: no later try mends that.
            daemon::event!(Error, "mark_impossible", id = id, text = error);
            return;
        }
        if self.orders.is_empty() {
            // One line a round, not one a message.
            daemon::event!(Error, "mark_refused", id = id, text = error);
            self.at = now.ms + RETRY_MS;
        }
        self.orders.entry(id).or_insert_with(|| (volume, VecDeque::new())).1.push_back(order);
    }

    /// Queues the order behind others of its message, or gives it back to be sent.
    fn hold(&mut self, id: MessageId, order: Order) -> Option<Order> {
        match self.orders.get_mut(&id) {
            Some((_, waiting)) => {
                if matches!(order, Order::Remove { .. }) {
                    waiting.clear();
                }
                waiting.push_back(order);
                None
            }
            None => Some(order),
        }
    }

    /// Some of what waits goes to the disk again.
    pub fn retry(&mut self, pool: &mut Pool, now: Now) {
        if self.orders.is_empty() || now.ms < self.at {
            return;
        }
        self.at = now.ms + RETRY_MS;
        let mut room = RETRIES;
        while room > 0 {
            let Some((_, (volume, waiting))) = self.orders.pop_first() else { return };
            room = room.saturating_sub(waiting.len());
            waiting.into_iter().for_each(|order| pool.order(volume, order));
        }
        self.at = now.ms + 100;
    }

    pub fn sleep_ms(&self, now: Now) -> u64 {
        if self.orders.is_empty() { u64::MAX } else { self.at.saturating_sub(now.ms) }
    }
}

impl Scheduler {
    /// Reads notices. True: there may be more.
    pub(super) fn hear(&mut self) -> bool {
        let Some(socket) = &self.notify else { return false };
        let mut notices = Vec::new();
        let Heard { datagrams, mut malformed, more } = hear(socket, &mut notices);
        for spool::Notice { directory, name } in notices {
            let known = match directory.filter(|directory| directory != "queue" && directory != "transport") {
                Some(volume) => self.announced(&format!("{volume}/{name}")),
                None => self.announced(&name),
            };
            malformed += u64::from(!known);
        }
        if datagrams > 0 {
            self.started.counters.add("datagrams", datagrams);
            self.started.counters.add("datagrams_malformed", malformed);
        }
        more
    }

    /// Takes what the file threads have done.
    pub(super) fn collect(&mut self, now: Now) {
        for (volume, done) in self.pool.done() {
            match done {
                Done::Loaded(id, result) => self.loaded(volume, id, result, now),
                Done::Opened { job, message } => self.opened(job, message, now),
                Done::Written => {}
                Done::Fence(client) => {
                    if let Some(client) = self.clients.get_mut(&client) {
                        client.fenced();
                    }
                }
                Done::NotWritten { order, error } => self.stuck.refused(volume, order, &error, now),
                Done::Scanned { scan, ids } => {
                    let pass = self.intakes.get_mut(usize::from(volume)).and_then(|intake| intake.scanned(scan, ids));
                    self.scanned(volume, pass);
                }
            }
        }
    }

    fn scanned(&mut self, volume: VolumeNumber, pass: Option<Pass>) {
        self.started.counters.add("scans", u64::from(pass.is_some()));
        if pass == Some(Pass::First) {
            match self.volumes.all().get(usize::from(volume)) {
                Some(volume) if !volume.name.is_empty() => daemon::event!(Info, "first_scan_done", volume = volume.name),
                _ => daemon::event!(Info, "first_scan_done"),
            }
        }
    }

    fn loaded(&mut self, volume: VolumeNumber, id: MessageId, result: Result<Box<Loaded>, LoadError>, now: Now) {
        if self.intakes.get_mut(usize::from(volume)).is_some_and(|intake| intake.loaded(id, result.is_ok())) {
            self.started.counters.add("found_by_scan", 1);
        }
        match result {
            // Ordered behind its removal, which the disk has refused meanwhile.
            Ok(_) if self.stuck.has(id) => {}
            Ok(loaded) if loaded.parsed.control.id == id => {
                let Loaded { parsed, message } = *loaded;
                if !self.model.knows(id) {
                    self.model.lies_on(id, volume);
                }
                if self.model.add(parsed, now) && self.model.knows(id) {
                    self.files.keep(id, message);
                }
            }
            Ok(_) => daemon::event!(Error, "wrong_id", id = id),
            Err(LoadError::Gone) => daemon::event!(Debug, "unknown_notice", id = id),
            Err(LoadError::NoMessage) => daemon::event!(Info, "control_without_message", id = id),
            Err(LoadError::Returned(reason)) => {
                self.started.counters.add("returned_to_router", 1);
                daemon::event!(Warning, "returned", id = id, text = reason);
                if let Some(routers) = &mut self.routers {
                    routers.notice(&self.volumes.written(volume, id.as_str()));
                }
            }
            // The scan meets it again.
            Err(LoadError::Io(e)) => daemon::event!(Error, "load_failed", id = id, text = e),
        }
    }

    /// What an earlier life knew of sites.
    pub(super) fn recall(&mut self, now: Now) {
        match self.spool.read_sites() {
            Ok(Some(text)) => {
                let sites = self.model.recall(&text, now);
                daemon::event!(Info, "sites_recalled", sites = sites);
            }
            Ok(None) => {}
            Err(e) => daemon::event!(Warning, "sites_not_read", text = e),
        }
    }

    /// Keeps what is known of sites, every minute when it has changed.
    pub(super) fn remember(&mut self, now: Now) {
        if now.ms >= self.remember_at {
            self.remember_at = now.ms + REMEMBER_MS;
            let text = self.model.memory(now);
            text.into_iter().for_each(|text| self.pool.order(spool::POSTOFFICE, Order::Remember(text)));
        }
    }

    /// At the end nobody waits for the loop.
    pub(super) fn remember_at_last(&mut self) {
        let now = self.now();
        if let Some(text) = self.model.memory(now)
            && let Err(e) = self.spool.write_sites(&text)
        {
            daemon::event!(Warning, "sites_not_written", text = e);
        }
    }

    /// Does what the model wants done.
    pub(super) fn act(&mut self, now: Now) {
        while let Some(action) = self.model.next_action() {
            match action {
                Action::Mark { id, states, diagnostics } => {
                    let order = self.stuck.hold(id, Order::Mark { id, states, diagnostics });
                    order.into_iter().for_each(|order| self.pool.order(self.model.volume(id), order));
                }
                Action::Remove { id } => {
                    self.files.take(id);
                    let order = self.stuck.hold(id, Order::Remove { id });
                    order.into_iter().for_each(|order| self.pool.order(self.model.volume(id), order));
                    self.model.forget_volume(id);
                }
                Action::WantAgent { ticket, channel } => {
                    let _ = self.started.master.send(&ToMaster::WantAgent { ticket, channel });
                }
                Action::Locate { destination, domain } => self.locate(destination, domain, now),
                Action::DrainAgent(key) => self.drain_agent(key),
            }
        }
    }
}
