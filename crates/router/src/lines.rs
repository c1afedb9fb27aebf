//! Files of several volumes: a thread for each volume, so that a disk that hangs delays neither questions nor the files
//! of the others. With one volume there are no threads.

use crate::file::FileRouter;
use crate::service::report_faults;
use daemon::Counters;
use mio::Waker;
use settings::Settings;
use spool::{Spool, VolumeNumber, Volumes};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

enum Order {
    /// Files of this volume, as the routermux names them.
    Files(Vec<String>),
    Reload(Arc<Settings>),
}

/// A batch is through.
pub(crate) struct Finished {
    pub files: Vec<String>,
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
    finished: Receiver<Finished>,
}

impl Lines {
    pub fn start(volumes: Volumes, settings: &Arc<Settings>, counters: &Counters, waker: &Arc<Waker>) -> io::Result<Self> {
        let (outbox, finished) = channel();
        let mut lines = Vec::new();
        for (volume, spool) in volumes.usable() {
            let (orders, inbox) = channel();
            let line = (volumes.clone(), volume, Arc::clone(spool), Arc::clone(settings), counters.clone());
            let (outbox, waker) = (outbox.clone(), Arc::clone(waker));
            std::thread::Builder::new().name(format!("volume{volume}")).spawn(move || work(line, &inbox, &outbox, &waker))?;
            lines.push(Line { volume, orders });
        }
        Ok(Self { volumes, lines, finished })
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

    pub fn finished(&self) -> Option<Finished> {
        self.finished.try_recv().ok()
    }
}

type Start = (Volumes, VolumeNumber, Arc<Spool>, Arc<Settings>, Counters);

fn work((volumes, volume, spool, settings, counters): Start, inbox: &Receiver<Order>, outbox: &Sender<Finished>, waker: &Waker) {
    let mut router = FileRouter::new(&settings, counters, spool);
    for order in inbox {
        let files = match order {
            Order::Files(files) => files,
            Order::Reload(settings) => {
                router.reload(&settings);
                report_faults(&mut router);
                continue;
            }
        };
        let before = router.addresses;
        for (_, name) in files.iter().filter_map(|name| volumes.read(name)) {
            router.route_file(name);
        }
        let arrived = router.arrived.drain(..).map(|id| volumes.written(volume, &id)).collect();
        let finished = Finished { files, arrived, addresses: router.addresses.saturating_sub(before) };
        if outbox.send(finished).is_err() || waker.wake().is_err() {
            return;
        }
    }
}
