//! Files of several volumes: a thread for each volume, so that a disk that hangs delays neither questions nor the files
//! of the others. With one volume there are no threads.

use crate::callers::TableCallers;
use crate::file::FileRouter;
use crate::hand::{Hand, Passed, Report};
use crate::parking::Pass;
use crate::service::report_faults;
use crate::shadow::Observer;
use crate::vitals::Signs;
use daemon::Counters;
use mio::Waker;
use settings::Settings;
use spool::{VolumeNumber, Volumes};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// A thread with parked files looks for orders so often.
const ORDERS_AGAIN: Duration = Duration::from_millis(20);

enum Order {
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
            let work = move || {
                let router = FileRouter::new(&settings, callers, counters.clone(), spool);
                let patience = settings.routing.deadline;
                Worker {
                    volumes,
                    volume,
                    router,
                    hand: Hand::default(),
                    signs: Signs::new(),
                    reported: 0,
                    counters,
                    patience,
                    outbox,
                    waker,
                }
                .run(&inbox)
            };
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

/// One thread.
struct Worker {
    volumes: Volumes,
    volume: VolumeNumber,
    router: FileRouter,
    hand: Hand,
    signs: Signs,
    /// Addresses reported so far.
    reported: u64,
    counters: Counters,
    patience: Duration,
    outbox: Sender<News>,
    waker: Arc<Waker>,
}

/// The process ends.
struct Over;

impl Worker {
    fn run(mut self, inbox: &Receiver<Order>) {
        while self.turn(inbox).is_ok() {}
    }

    fn turn(&mut self, inbox: &Receiver<Order>) -> Result<(), Over> {
        let order = if self.hand.is_empty() { Some(inbox.recv().map_err(|_| Over)?) } else { self.wait(inbox)? };
        match order {
            Some(Order::Files(files)) => {
                if !self.hand.has_work() {
                    self.signs.rested();
                }
                self.hand.take(files);
            }
            Some(Order::Reload(settings)) => {
                self.router.reload(&settings);
                self.patience = settings.routing.deadline;
                self.hand.heard();
                report_faults(&mut self.router);
            }
            Some(Order::Observe(observer)) => self.router.observer = observer,
            None => {}
        }
        while self.hand.has_work() {
            let parked = self.hand.parked();
            let (signs, outbox, waker) = (&mut self.signs, &self.outbox, &self.waker);
            let mut route = of_volume(&self.volumes, &mut self.router);
            let report = self.hand.next(&mut |name, pass| {
                if signs.begins(pass.began) {
                    let _ = outbox.send(News::Begun(name.to_owned()));
                    let _ = waker.wake();
                }
                route(name, pass)
            });
            drop(route);
            self.count(parked);
            self.report(report)?;
        }
        Ok(())
    }

    /// Parked files, until there is an order.
    fn wait(&mut self, inbox: &Receiver<Order>) -> Result<Option<Order>, Over> {
        let now = Instant::now();
        let due = self.hand.due(self.patience).map_or(now, |due| due.min(now + ORDERS_AGAIN));
        self.router.tables.relations.wait(due);
        let now = Instant::now();
        if self.router.tables.relations.hear(now) {
            self.hand.heard();
        }
        let parked = self.hand.parked();
        let report = self.hand.again(now, self.patience, &mut of_volume(&self.volumes, &mut self.router));
        self.count(parked);
        self.report(report)?;
        match inbox.try_recv() {
            Ok(order) => Ok(Some(order)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Over),
        }
    }

    fn count(&self, before: usize) {
        count_parked(&self.counters, before, self.hand.parked());
    }

    fn report(&mut self, report: Option<Report>) -> Result<(), Over> {
        let Some(report) = report else { return Ok(()) };
        let arrived = self.router.arrived.drain(..).map(|id| self.volumes.written(self.volume, &id)).collect();
        let addresses = self.router.addresses.saturating_sub(self.reported);
        self.reported = self.router.addresses;
        let finished = Finished { report, arrived, addresses };
        self.outbox.send(News::Finished(finished)).map_err(|_| Over)?;
        self.waker.wake().map_err(|_| Over)
    }
}

/// Routes files by the names that the routermux gives them.
fn of_volume<'a>(volumes: &'a Volumes, router: &'a mut FileRouter) -> impl FnMut(&str, Pass) -> Passed {
    move |name, pass| volumes.read(name).map_or(Passed::Through, |(_, bare)| router.route_file(bare, pass))
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
