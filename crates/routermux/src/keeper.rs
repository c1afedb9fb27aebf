//! The thread that makes the blocking calls on one volume of the spool, so that no disk keeps a question waiting.

use crate::sorting::Sorter;
use mio::Waker;
use spool::{Recovered, Spool};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What the thread is to do.
#[derive(Debug)]
pub enum Order {
    /// List `router/`.
    Scan {
        limit: usize,
    },
    /// Adopt or remove what was left in `public/`.
    Recover {
        age: Duration,
    },
    SetAside {
        name: String,
        reason: String,
    },
    /// Find out the lanes of these files.
    Sort {
        names: Vec<String>,
        sorter: Arc<Sorter>,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum News {
    Scanned(io::Result<Vec<String>>),
    Recovered(io::Result<Recovered>),
    SetAside {
        name: String,
        reason: String,
        result: io::Result<()>,
    },
    /// Names with their lanes, by these rules.
    Sorted {
        names: Vec<(String, usize)>,
        sorter: Arc<Sorter>,
    },
}

/// The event loop's side.
#[derive(Debug)]
pub struct Keeper {
    orders: Sender<Order>,
    news: Receiver<News>,
}

impl Keeper {
    /// Starts the thread; it ends when the keeper is dropped.
    pub fn start(spool: Arc<Spool>, waker: Arc<Waker>) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let (outbox, news) = channel();
        std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            for order in inbox {
                if outbox.send(carry_out(&spool, order)).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { orders, news })
    }

    /// The thread lives as long as the keeper; a panic of it aborts the process.
    pub fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }
}

fn carry_out(spool: &Spool, order: Order) -> News {
    match order {
        Order::Scan { limit } => News::Scanned(spool.scan_input(limit)),
        Order::Recover { age } => News::Recovered(spool.recover_public(age)),
        Order::SetAside { name, reason } => {
            let result = spool.set_aside(&name, &reason);
            News::SetAside { name, reason, result }
        }
        Order::Sort { names, sorter } => {
            let look = |name: String| {
                let lane = sorter.lane(spool, &name);
                (name, lane)
            };
            News::Sorted { names: names.into_iter().map(look).collect(), sorter }
        }
    }
}
