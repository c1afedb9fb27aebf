//! The thread of one volume: its orders, its files, and tables of its own.

use super::{Finished, News, Order, count_parked};
use crate::callers::TableCallers;
use crate::file::FileRouter;
use crate::hand::{Hand, Passed, Report};
use crate::parking::Pass;
use crate::service::report_faults;
use crate::vitals::Signs;
use daemon::Counters;
use mio::Waker;
use settings::Settings;
use spool::{Spool, VolumeNumber, Volumes};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

/// A thread with parked files looks for orders so often.
const ORDERS_AGAIN: Duration = Duration::from_millis(20);

/// One thread.
pub(super) struct Worker {
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
    pub fn new(
        (volumes, volume, spool): (Volumes, VolumeNumber, Arc<Spool>),
        settings: &Arc<Settings>,
        callers: TableCallers,
        counters: Counters,
        (outbox, waker): (Sender<News>, Arc<Waker>),
    ) -> Self {
        let router = FileRouter::new(settings, callers, counters.clone(), spool);
        let patience = settings.routing.deadline;
        Self { volumes, volume, router, hand: Hand::default(), signs: Signs::new(), reported: 0, counters, patience, outbox, waker }
    }

    pub fn run(mut self, inbox: &Receiver<Order>) {
        while self.turn(inbox).is_ok() {}
    }

    fn turn(&mut self, inbox: &Receiver<Order>) -> Result<(), Over> {
        match self.next(inbox)? {
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
        self.again()?;
        while self.hand.has_work() {
            self.begin()?;
        }
        Ok(())
    }

    /// The next order. While files are parked, tables are waited for too, for a moment.
    fn next(&mut self, inbox: &Receiver<Order>) -> Result<Option<Order>, Over> {
        if self.hand.is_empty() {
            return inbox.recv().map(Some).map_err(|_| Over);
        }
        match inbox.try_recv() {
            Ok(order) => return Ok(Some(order)),
            Err(TryRecvError::Disconnected) => return Err(Over),
            Err(TryRecvError::Empty) => {}
        }
        let now = Instant::now();
        let due = self.hand.due(self.patience).map_or(now, |due| due.min(now + ORDERS_AGAIN));
        self.router.tables.relations.wait(due);
        Ok(None)
    }

    /// Decides again about parked files, as far as tables have said something.
    fn again(&mut self) -> Result<(), Over> {
        let parked = self.hand.parked();
        if parked == 0 {
            return Ok(());
        }
        let now = Instant::now();
        if self.router.tables.relations.hear(now) {
            self.hand.heard();
        }
        let report = self.hand.again(now, self.patience, &mut of_volume(&self.volumes, &mut self.router));
        self.count(parked);
        self.report(report)
    }

    /// Begins with the next file.
    fn begin(&mut self) -> Result<(), Over> {
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
        self.report(report)
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
