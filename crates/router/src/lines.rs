//! Files of several volumes: a thread for each volume, so that a disk that hangs delays neither questions nor the files
//! of the others. With one volume there are no threads.

mod worker;

use crate::callers::TableCallers;
use crate::hand::Report;
use crate::shadow::Observer;
use daemon::Counters;
use mio::Waker;
use settings::Settings;
use spool::{VolumeNumber, Volumes};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use worker::Worker;

/// What a thread is to do.
pub(crate) enum Order {
    /// Files of this volume, as the routermux names them.
    Files(Vec<String>),
    Reload(Arc<Settings>),
    /// Note decisions there, or nowhere.
    Observe(Option<Observer>),
}

/// What a thread has to say.
pub(crate) enum News {
    /// It is still at work, now with this file.
    Begun(String),
    Finished(Finished),
}

/// Some files are through, or wait.
pub(crate) struct Finished {
    pub report: Report,
    /// Written names of messages that are in `queue/` now.
    pub arrived: Vec<String>,
    /// Addresses routed for them.
    pub addresses: u64,
}

struct Line {
    volume: VolumeNumber,
    orders: Sender<Order>,
}

/// The threads.
pub(crate) struct Lines {
    volumes: Volumes,
    lines: Vec<Line>,
    news: Receiver<News>,
}

/// What every thread begins with.
pub(crate) struct Start<'a> {
    pub settings: &'a Arc<Settings>,
    pub callers: &'a TableCallers,
    pub counters: &'a Counters,
}

impl Lines {
    pub fn start(volumes: Volumes, with: &Start<'_>, waker: &Arc<Waker>) -> io::Result<Self> {
        let (outbox, news) = channel();
        let mut lines = Vec::new();
        for (volume, spool) in volumes.usable() {
            let (orders, inbox) = channel();
            // Made here: what a thread cannot have, the process says at its start.
            let callers = with.callers.try_clone()?;
            let (settings, counters, spool) = (Arc::clone(with.settings), with.counters.clone(), Arc::clone(spool));
            let (volumes, outbox, waker) = (volumes.clone(), outbox.clone(), Arc::clone(waker));
            let work = move || Worker::new((volumes, volume, spool), &settings, callers, counters, (outbox, waker)).run(&inbox);
            std::thread::Builder::new().name(format!("volume{volume}")).spawn(work)?;
            lines.push(Line { volume, orders });
        }
        Ok(Self { volumes, lines, news })
    }

    /// False: these are of no volume that is there.
    pub fn route(&self, names: Vec<String>) -> bool {
        let volume = names.first().and_then(|name| self.volumes.read(name)).map(|(volume, _)| volume);
        let line = self.lines.iter().find(|line| Some(line.volume) == volume);
        line.is_some_and(|line| line.orders.send(Order::Files(names)).is_ok())
    }

    pub fn reload(&self, settings: &Arc<Settings>) {
        for line in &self.lines {
            // A thread lives as long as its line.
            let _ = line.orders.send(Order::Reload(Arc::clone(settings)));
        }
    }

    pub fn observe(&self, observer: Option<&Observer>) {
        for line in &self.lines {
            let _ = line.orders.send(Order::Observe(observer.cloned()));
        }
    }

    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

/// Keeps the gauge of what waits, and counts what begins to.
pub(crate) fn count_parked(counters: &Counters, before: usize, after: usize) {
    if after > before {
        counters.add("pending", (after - before) as u64);
        counters.add("parked_now", (after - before) as u64);
    } else if before > after {
        counters.sub("parked_now", (before - after) as u64);
    }
}
