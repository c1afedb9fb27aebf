//! `zpost` commands: answers made piece by piece as the client takes them, so that a listing of a large queue neither
//! blocks the loop nor gathers in memory.

use super::link::Link;
use crate::io::Pool;
use crate::model::{Cursor, Filter, Model, Now, Spot};
use daemon::EX_USAGE;
use envelope::MessageId;
use ipc::control::{Action, Reply, Request, Selection};
use mio::Registry;
use spool::VolumeNumber;
use std::collections::BTreeSet;
use std::io;

/// Messages looked at for one client in one turn.
const BUDGET: usize = 500;
/// Changes stop while so many file calls are under way.
const CALLS: usize = 2000;

#[derive(Debug)]
enum Work {
    Queue(Filter),
    Destinations,
    Destination {
        host: String,
        channel: Option<String>,
    },
    Why {
        id: MessageId,
        filter: Filter,
        /// `None`: not looked for yet. The next one last.
        spots: Option<Vec<Spot>>,
    },
    /// Answers that are made already, the next one last.
    Ready(Vec<Reply>),
    Change {
        action: Action,
        filter: Filter,
        dry_run: bool,
        /// Where what it has changed lies.
        volumes: BTreeSet<VolumeNumber>,
    },
    /// All is changed; the file threads of these volumes have not been asked yet when they are done.
    Changed(BTreeSet<VolumeNumber>),
    /// So many file threads have not said yet that all that was changed is written. Whoever is told that mail is held must
    /// not find it delivered because the scheduler was killed in that moment.
    Settling(usize),
    Nothing,
}

/// One command being answered.
#[derive(Debug)]
pub struct Client {
    link: Link<Reply, Request>,
    work: Work,
    cursor: Cursor,
}

/// How a turn for a client ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Waits for the client to read.
    Full,
    /// There is more to do at once.
    More,
    /// Over: close it.
    Over,
}

impl Client {
    pub fn new(link: Link<Reply, Request>, request: Request) -> Self {
        let mut client = Self { link, work: Work::Nothing, cursor: Cursor::default() };
        client.work = match request {
            Request::Queue(selection) => Work::Queue(Filter::new(selection)),
            Request::Destinations => Work::Destinations,
            Request::Destination { host, channel } => Work::Destination { host, channel },
            Request::Why { id, recipient } => match MessageId::parse(&id) {
                Ok(known) => {
                    let selection = Selection { ids: vec![id], recipient, ..Selection::default() };
                    Work::Why { id: known, filter: Filter::new(selection), spots: None }
                }
                Err(_) => Work::Ready(Vec::new()),
            },
            Request::Change { action, selection, dry_run } => {
                Work::Change { action, filter: Filter::new(selection), dry_run, volumes: BTreeSet::new() }
            }
            _ => {
                let reason = "the scheduler does not know this request".to_owned();
                let _ = client.link.channel.send(&Reply::Refused { code: EX_USAGE, reason });
                Work::Nothing
            }
        };
        client
    }

    /// One whose answer is known.
    pub fn answered(link: Link<Reply, Request>, mut replies: Vec<Reply>) -> Self {
        replies.reverse();
        Self { link, work: Work::Ready(replies), cursor: Cursor::default() }
    }

    /// The client says no more; it can only go away.
    pub fn readable(&mut self) -> Turn {
        match self.link.channel.recv() {
            Ok(None) => Turn::Full,
            Ok(Some(_)) | Err(_) => Turn::Over,
        }
    }

    /// Makes as much of the answer as the socket takes and the budget allows.
    pub fn turn(&mut self, key: u64, model: &mut Model, pool: &mut Pool, registry: &Registry, now: Now) -> Turn {
        if self.link.settle(registry).is_err() {
            return Turn::Over;
        }
        let mut budget = BUDGET;
        let turn = loop {
            if self.link.channel.pending() > 0 {
                break Turn::Full;
            }
            match &self.work {
                Work::Nothing => break Turn::Over,
                Work::Changed(volumes) => {
                    self.work = Work::Settling(volumes.iter().map(|volume| pool.fence(*volume, key)).sum());
                    break Turn::More;
                }
                Work::Settling(1..) => break Turn::Full,
                _ => {}
            }
            match self.next(model, pool, &mut budget, now) {
                Ok(Some(reply)) => {
                    if self.link.channel.send(&reply).is_err() {
                        break Turn::Over;
                    }
                }
                Ok(None) => break Turn::More,
                // What is changed becomes orders only after this turn.
                Err(()) if self.has_changed() => break Turn::More,
                Err(()) => {
                    self.work = Work::Nothing;
                    if self.link.channel.send(&Reply::End).is_err() {
                        break Turn::Over;
                    }
                }
            }
        };
        if turn == Turn::Full && self.link.settle(registry).is_err() { Turn::Over } else { turn }
    }

    /// A file thread has written all that was changed.
    pub fn fenced(&mut self) {
        if let Work::Settling(left) = &mut self.work {
            *left = left.saturating_sub(1);
        }
    }

    /// A change that is through and touched something waits for the disk from now on.
    fn has_changed(&mut self) -> bool {
        let Work::Change { volumes, .. } = &mut self.work else { return false };
        let volumes = std::mem::take(volumes);
        if volumes.is_empty() {
            return false;
        }
        self.work = Work::Changed(volumes);
        true
    }

    fn next(&mut self, model: &mut Model, pool: &Pool, budget: &mut usize, now: Now) -> Result<Option<Reply>, ()> {
        if let Work::Destination { host, channel } = &self.work {
            let portraits = model.portraits(host, channel.as_deref(), now);
            self.work = Work::Ready(portraits.into_iter().rev().map(|state| Reply::DestinationState(Box::new(state))).collect());
        }
        match &mut self.work {
            Work::Queue(filter) => model.next_listed(filter, &mut self.cursor, budget, now).map(|m| m.map(Reply::Message)),
            Work::Destinations => model.next_destination(&mut self.cursor, budget, now).map(|d| d.map(Reply::Destination)),
            Work::Change { dry_run: false, .. } if pool.outstanding() > CALLS => Ok(None),
            Work::Change { action, filter, dry_run, volumes } => {
                let touched = model.next_changed(*action, *dry_run, filter, &mut self.cursor, budget, now)?;
                if let Some((id, _)) = touched.filter(|_| !*dry_run) {
                    volumes.insert(model.volume(id));
                }
                Ok(touched.map(|(id, recipients)| Reply::Touched { id: id.to_string(), recipients }))
            }
            Work::Why { id, filter, spots } => {
                let spots = spots.get_or_insert_with(|| model.spots(*id, filter, now).into_iter().rev().collect());
                *budget = budget.saturating_sub(1);
                let spot = spots.pop().ok_or(())?;
                Ok(model.why(*id, spot, now).map(|reason| Reply::Reason(Box::new(reason))))
            }
            Work::Ready(replies) => replies.pop().map(Some).ok_or(()),
            Work::Destination { .. } | Work::Changed(_) | Work::Settling(_) | Work::Nothing => Err(()),
        }
    }

    pub fn close(mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.link.channel)
    }
}
