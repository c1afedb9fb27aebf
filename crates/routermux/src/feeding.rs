//! Work to the routers and results from them; their coming and going.

use crate::callers::Lack;
use crate::farm::{Batch, Router};
use crate::lanes::USUAL;
use crate::service::Mux;
use daemon::event;
use ipc::routing::{Ask, FromRouter, ToRouter};
use ipc::{Channel, RecvError};
use mio::{Interest, Token};
use std::os::fd::OwnedFd;

/// Questions sent before files get their turn.
const QUESTIONS_A_TURN: usize = 32;

impl Mux {
    /// Hands out what there is to whoever has room: some questions, then a batch of files, and again.
    pub(crate) fn feed(&mut self) {
        loop {
            let mut fed = false;
            for _ in 0..QUESTIONS_A_TURN {
                if !self.feed_question() {
                    break;
                }
                fed = true;
            }
            fed |= !self.draining && (self.feed_suspect() || self.feed_volumes());
            if !fed {
                return;
            }
        }
    }

    fn feed_question(&mut self) -> bool {
        if !self.questions.is_waiting() {
            return false;
        }
        let Some(token) = self.farm.for_question(self.shelves.has_suspects()) else { return false };
        let Some((number, question)) = self.questions.next(token) else { return false };
        let Some(router) = self.farm.routers.get_mut(&token) else { return false };
        router.busy(self.now);
        router.questions += 1;
        if let Err(e) = router.channel.send(&ToRouter::Ask(Ask { number, question })) {
            self.lose(token, &e.to_string());
        }
        true
    }

    fn feed_suspect(&mut self) -> bool {
        if !self.shelves.has_suspects() {
            return false;
        }
        let Some(token) = self.farm.idle() else { return false };
        let Some(name) = self.shelves.suspect() else { return false };
        if let Some(router) = self.farm.routers.get_mut(&token) {
            router.exclusive = true;
        }
        self.give_files(token, Batch { names: vec![name], lane: USUAL });
        true
    }

    fn feed_volumes(&mut self) -> bool {
        let mut fed = false;
        for volume in 0..self.shelves.list.len() {
            fed |= self.feed_files(volume);
        }
        fed
    }

    fn feed_files(&mut self, volume: usize) -> bool {
        let suspects = self.shelves.has_suspects();
        let Some(shelf) = self.shelves.list.get(volume).filter(|shelf| shelf.files.lanes.len() > 0) else { return false };
        if self.is_sorted(volume) {
            return self.feed_lane(volume);
        }
        let Some(token) = self.farm.for_files(volume, USUAL, suspects) else { return false };
        let share = self.farm.share(shelf.files.waiting());
        let Some(shelf) = self.shelves.list.get_mut(volume) else { return false };
        let names = shelf.files.lanes.oldest(share);
        if names.is_empty() {
            return false;
        }
        self.give_files(token, Batch { names, lane: USUAL });
        true
    }

    /// Do files go by lanes now? Only with `[[lane]]`, and where more wait than can be handed out, or a lane has routers
    /// of its own.
    fn is_sorted(&self, volume: usize) -> bool {
        if self.farm.bounds.is_empty() {
            return false;
        }
        let Some(lanes) = self.shelves.list.get(volume).map(|shelf| &shelf.files.lanes) else { return false };
        lanes.sorted() > 0
            || lanes.is_sorting()
            || self.farm.bounds.iter().any(|bound| *bound > 0)
            || lanes.unsorted() > self.farm.room(volume, self.shelves.has_suspects())
    }

    fn feed_lane(&mut self, volume: usize) -> bool {
        self.shelves.sort(volume);
        let suspects = self.shelves.has_suspects();
        let Some(lanes) = self.shelves.list.get(volume).map(|shelf| &shelf.files.lanes) else { return false };
        let share = self.farm.share(lanes.sorted());
        let turns = lanes.turns().into_iter();
        let next = turns.filter_map(|lane| Some((lane, self.farm.for_files(volume, lane, suspects)?))).next();
        let (Some((lane, token)), Some(shelf)) = (next, self.shelves.list.get_mut(volume)) else { return false };
        let names = shelf.files.lanes.take(lane, share);
        self.give_files(token, Batch { names, lane });
        true
    }

    fn give_files(&mut self, token: Token, batch: Batch) {
        let Batch { names, lane } = batch;
        self.started.counters.add("files", names.len() as u64);
        let volume = names.first().and_then(|name| self.shelves.number(name)).unwrap_or(0);
        let frame = ToRouter::Files(names);
        let Some(router) = self.farm.routers.get_mut(&token) else { return };
        router.busy(self.now);
        let sent = router.channel.send(&frame);
        if let ToRouter::Files(names) = frame {
            router.batches.push(volume, Batch { names, lane });
        }
        if let Err(e) = sent {
            self.lose(token, &e.to_string());
        }
    }

    /// A new router, or the successor of one whose end has not been seen yet.
    pub(crate) fn attach(&mut self, index: u64, pid: u32, end: OwnedFd) {
        if let Some(old) = self.farm.with_index(index) {
            self.router(old);
            self.lose(old, "replaced");
        }
        let token = self.token();
        let attached = Channel::new(end).and_then(|mut channel| {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut channel, token, both).map(|()| channel)
        });
        match attached {
            Ok(channel) => {
                self.farm.routers.insert(token, Router::new(channel, index, pid, self.generation));
                event!(Debug, "router_attached", index = index, router = pid);
            }
            Err(e) => event!(Error, "router_not_attached", index = index, error = e),
        }
    }

    /// Something happened at a router's conversation.
    pub(crate) fn router(&mut self, token: Token) {
        loop {
            let Some(router) = self.farm.routers.get_mut(&token) else { return };
            if let Err(e) = router.channel.flush() {
                return self.lose(token, &e.to_string());
            }
            match router.channel.recv() {
                Ok(None) => break,
                Ok(Some((frame, _))) => {
                    if !self.hear(token, frame) {
                        return self.lose(token, "answered what it was not asked");
                    }
                }
                Err(RecvError::Closed) => return self.lose(token, "closed"),
                Err(e) => return self.lose(token, &e.to_string()),
            }
        }
        self.close_if_retired(token);
    }

    /// False when a frame makes no sense.
    fn hear(&mut self, token: Token, frame: FromRouter) -> bool {
        let Some(router) = self.farm.routers.get_mut(&token) else { return true };
        router.heard = self.now;
        match frame {
            FromRouter::Begun(name) => router.begun = Some(name),
            FromRouter::Leaving => router.retiring = true,
            FromRouter::Done(files) => {
                let volume = files.first().and_then(|name| self.shelves.number(name)).unwrap_or(0);
                if !router.batches.done(volume, &files) {
                    return false;
                }
                (router.exclusive, router.begun) = (false, None);
                self.shelves.done(&files);
            }
            FromRouter::Parked(files) => {
                let volume = files.first().and_then(|name| self.shelves.number(name)).unwrap_or(0);
                return router.batches.park(volume, files);
            }
            FromRouter::Told(told) => {
                router.questions = router.questions.saturating_sub(1);
                let current = router.generation == self.generation;
                if let Some(settled) = self.questions.settle(told.number) {
                    self.answered(settled, told.answer, current);
                }
            }
            FromRouter::Spent { addresses, memory } => {
                let processes = &self.started.settings.processes;
                if addresses >= processes.addresses_per_router || memory >= processes.router_memory {
                    event!(Info, "router_spent", index = router.index, router = router.pid, addresses = addresses, memory = memory);
                    self.farm.retire(token);
                }
            }
        }
        true
    }

    /// Closing the conversation tells the router to go; the master starts another.
    fn close_if_retired(&mut self, token: Token) {
        if self.farm.routers.get(&token).is_some_and(|router| router.retiring && router.is_idle()) {
            self.started.counters.add("routers_replaced", 1);
            self.lose(token, "retired");
        }
    }

    /// A router is gone. Its questions wait again, its files are fed again one at a time, and a file that was alone in
    /// the hands of two routers when they died is set aside.
    fn lose(&mut self, token: Token, why: &str) {
        let Some(mut router) = self.farm.routers.remove(&token) else { return };
        let _ = self.poll.registry().deregister(&mut router.channel);
        for asker in self.questions.died(token) {
            self.lack(asker, Lack::Routers);
        }
        if router.is_idle() {
            return;
        }
        let (index, pid, questions) = (router.index, router.pid, router.questions);
        let mut names = router.batches.names();
        // The one it was at is tried first.
        if let Some(at) = router.begun.and_then(|begun| names.iter().position(|name| *name == begun)) {
            names.swap(0, at);
        }
        event!(Warning, "router_lost", index = index, router = pid, files = names.len(), questions = questions, reason = why);
        self.shelves.died(names, questions == 0);
    }
}
