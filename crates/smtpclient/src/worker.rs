//! The event loop: jobs from the scheduler, sessions with servers, reports back.

use crate::content::{PIECE, Reader, Supplied, Supply};
use crate::egress::{Egress, Way};
use crate::fitting;
use crate::keeper::Keeper;
use crate::lookups::Lookups;
use crate::racing;
use crate::session::{Session, Turn};
use crate::waiting::Waiting;
use crate::work::Work;
use agent::Link;
use daemon::Counters;
use mio::{Registry, Token};
use nexthop::Ourselves;
use smtp::client::{Event, Flavour};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tls::client::{Connector, Failure};

/// What sessions are shared by: never by mail that logs in as somebody else, or leaves from elsewhere.
type Lane = (Flavour, String, Way);

/// What the process works with.
#[derive(Debug)]
pub struct Worker {
    pub client: settings::Client,
    pub ourselves: Ourselves,
    pub egress: Egress,
    pub link: Link,
    pub lookups: Lookups,
    pub counters: Counters,
    pub tls: settings::Tls,
    pub policies: settings::Policies,
    pub connector: Connector,
    pub keeper: Keeper,
    /// Hosts whose TLS does not work, and until when they get plain text where that is allowed.
    pub(crate) plain: HashMap<String, Instant>,
    pub registry: Registry,
    pub reader: Reader,
    pub resolver_token: Token,
    pub link_token: Token,
    pub(crate) sessions: HashMap<usize, Session>,
    /// Attempts beside the first of a session, and whose they are.
    pub(crate) rivals: HashMap<usize, usize>,
    /// Sessions without job, by flavour, host and way out.
    pub(crate) idle: HashMap<Lane, Vec<usize>>,
    /// Hosts that offer CHUNKING and cannot do it.
    pub(crate) chunkless: HashSet<String>,
    /// What `zpost status` should show.
    pub trouble: Option<String>,
    pub(crate) troubled: bool,
    pub(crate) next_token: usize,
    /// Jobs in hand.
    pub active: usize,
    pub(crate) waiting: Waiting,
    /// Next parts of jobs of which one has just ended.
    pub parts: Vec<agent::Given>,
    /// Finished jobs whose credits have not been given back.
    pub(crate) owed: u32,
    pub draining: bool,
    /// No session's deadline is before this.
    pub next_sweep: Option<Instant>,
    pub(crate) buffer: Vec<u8>,
    pub(crate) now: Instant,
}

impl Worker {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        client: settings::Client,
        ourselves: Ourselves,
        egress: Egress,
        link: Link,
        lookups: Lookups,
        (tls, policies, connector, keeper): (settings::Tls, settings::Policies, Connector, Keeper),
        counters: Counters,
        registry: Registry,
        reader: Reader,
        tokens: (Token, Token, usize),
    ) -> Self {
        Self {
            client,
            ourselves,
            egress,
            link,
            lookups,
            tls,
            policies,
            connector,
            keeper,
            plain: HashMap::new(),
            counters,
            registry,
            reader,
            resolver_token: tokens.0,
            link_token: tokens.1,
            sessions: HashMap::new(),
            rivals: HashMap::new(),
            idle: HashMap::new(),
            chunkless: HashSet::new(),
            trouble: None,
            troubled: false,
            next_token: tokens.2,
            active: 0,
            waiting: Waiting::default(),
            parts: Vec::new(),
            owed: 0,
            draining: false,
            next_sweep: None,
            buffer: vec![0; PIECE],
            now: Instant::now(),
        }
    }

    /// Begins a turn of the loop.
    pub fn tick(&mut self) {
        self.now = Instant::now();
    }

    pub fn accept(&mut self, job: ipc::agents::Job, file: Arc<File>) {
        self.active += 1;
        self.counters.add("jobs", 1);
        // Where there are edits this reads the header, which the scheduler has just read: no wait for a disk.
        let content = match job.content(&file) {
            Ok(content) => content,
            Err(e) => return self.unreadable(&job, &e),
        };
        let way = self.egress.way(&job.channel, &job.host);
        let mut work = Work::new(job, file, content, self.client.hosts, way, self.client.convert == settings::Convert::SendAnyway);
        self.demand(&mut work);
        if let Some(work) = self.waiting.admit(work) {
            self.dispatch(work);
        }
    }

    /// Jobs that have waited begin as others end, and parts of jobs as those before them do.
    pub fn begin_waiting(&mut self) {
        while let Some((job, file)) = self.parts.pop() {
            self.accept(job, file);
        }
        while let Some(work) = self.waiting.next() {
            self.dispatch(work);
        }
    }

    /// Over an idle session where there is one, else by a new connection.
    fn dispatch(&mut self, work: Box<Work>) {
        let key = (work.flavour, work.host.clone(), work.way);
        let (sessions, asked) = (&self.sessions, work.tls.asked);
        // Where the exchangers decide about the policy, it may be stricter than what is asked by the name.
        let exact = self.policies.look_at_exchangers();
        let fits = |token: &usize| {
            let reached = sessions.get(token).map(|session| session.security.reached);
            reached.is_some_and(|reached| if exact { reached.demand == asked } else { reached.satisfies(asked) })
        };
        let token = self.idle.get_mut(&key).and_then(|pool| pool.iter().rposition(fits).map(|at| pool.remove(at)));
        self.drop_empty(&key);
        match token.and_then(|token| self.sessions.remove(&token)) {
            Some(mut session) => {
                self.counters.add("reused", 1);
                let turn = session.reuse(work, self.now);
                self.settle(session, turn);
            }
            None => self.locate(work),
        }
    }

    /// Sessions in all are bounded; an idle one gives way.
    pub(crate) fn make_room(&mut self) {
        if self.sessions.len() < self.client.sessions as usize {
            return;
        }
        let Some(token) = self.idle.values().find_map(|pool| pool.last().copied()) else { return };
        if let Some(mut session) = self.sessions.remove(&token) {
            self.forget(&session);
            session.quit(self.now);
        }
    }

    /// A session's event.
    pub fn session_ready(&mut self, event: &mio::event::Event) {
        if !self.rivals.is_empty() && self.rival_ready(event) {
            return;
        }
        let Some(mut session) = self.sessions.remove(&event.token().0) else { return };
        let ended = event.is_read_closed() || event.is_error();
        let turn = session.ready(event.is_readable() || ended, ended, &mut self.buffer, self.now);
        self.settle(session, turn);
    }

    /// What the reader thread has read.
    pub fn supplies(&mut self) {
        while let Ok(Supply { token, what }) = self.reader.supplies.try_recv() {
            let Some(mut session) = self.sessions.remove(&token) else { continue };
            let turn = match what {
                Supplied::Piece(piece) => session.supplied(piece, self.now),
                Supplied::Plan(plan) => self.planned(&mut session, plan),
            };
            self.settle(session, turn);
        }
    }

    fn planned(&self, session: &mut Session, plan: io::Result<message::Plan>) -> Turn {
        let Some(work) = session.work.as_deref_mut() else { return Turn::Wait };
        match plan {
            Ok(plan) => work.plan = Some(Arc::new(plan)),
            Err(e) => return session.lost(&format!("the message cannot be read: {e}")),
        }
        self.fit(session)
    }

    /// Goes on with content that the server does not take as it is, or has it looked at first.
    fn fit(&self, session: &mut Session) -> Turn {
        let (Some(work), Some(lacks)) = (session.work.as_deref(), session.client.lacks()) else { return Turn::Wait };
        let Some(plan) = &work.plan else {
            return match session.survey(&self.reader) {
                Ok(()) => Turn::Wait,
                Err(e) => session.lost(&format!("the message cannot be read: {e}")),
            };
        };
        match fitting::fit(plan, lacks, self.client.convert, work.size) {
            Ok(form) => session.proceed(form, self.now),
            Err(verdict) => session.client.withhold(&verdict).map_or(Turn::Wait, Turn::Event),
        }
    }

    /// Does what a session's turn asks for, until it only waits.
    pub(crate) fn settle(&mut self, mut session: Session, mut turn: Turn) {
        loop {
            if session.is_connected() && !session.rivals.is_empty() {
                self.end_race(&mut session);
            }
            if racing::is_undecided(&turn, &session)
                && let Turn::Unconnected(error) = &turn
            {
                return self.promote(session, error);
            }
            turn = match turn {
                Turn::Wait if session.content.is_some() => match session.pump(&mut self.buffer, &self.reader, self.now) {
                    Turn::Wait => return self.keep(session),
                    turn => turn,
                },
                Turn::Wait => return self.keep(session),
                Turn::Over if session.work.is_some() => return self.next_address(session, Err(io::Error::other("the session ended"))),
                Turn::Over => return self.forget(&session),
                Turn::Unconnected(error) => return self.next_address(session, Err(error)),
                Turn::Event(Event::Refused(verdict)) => return self.next_address(session, Ok(verdict)),
                Turn::Event(Event::StartTls) => self.begin_tls(&mut session),
                Turn::Secured(summary) => {
                    self.secured(&session, &summary);
                    // What came with the end of the handshake makes no new event.
                    session.ready(true, false, &mut self.buffer, self.now)
                }
                Turn::TlsFailed(failure) => return self.tls_failed(session, &failure),
                Turn::Event(Event::SendContent) => {
                    session.send_content();
                    Turn::Wait
                }
                Turn::Event(Event::Unfit(_)) => match self.fit(&mut session) {
                    Turn::Wait => return self.keep(session),
                    turn => turn,
                },
                Turn::Event(Event::Finished | Event::Ready) => return self.finished(session),
            };
        }
    }

    pub(crate) fn keep(&mut self, mut session: Session) {
        let (deadline, _) = session.deadline(&self.client, self.now);
        self.sweep_by(Some(deadline));
        self.sessions.insert(session.token, session);
    }

    /// The session is gone: no job must find it in the pool.
    pub(crate) fn forget(&mut self, session: &Session) {
        let key = (session.flavour, session.host.clone(), session.way);
        if let Some(pool) = self.idle.get_mut(&key) {
            pool.retain(|token| *token != session.token);
        }
        self.drop_empty(&key);
    }

    /// Hosts come and go by the million; a pool without sessions must not stay.
    pub(crate) fn drop_empty(&mut self, key: &Lane) {
        if self.idle.get(key).is_some_and(Vec::is_empty) {
            self.idle.remove(key);
        }
    }

    /// Ends a turn of the loop: reports leave in as few frames as may be, credits once an eighth of them has gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.counters.set("sessions_now", self.sessions.len() as u64);
        if self.owed > 0 && !self.draining && self.owed >= self.client.sessions / 8 {
            self.link.credit(std::mem::take(&mut self.owed))?;
        }
        self.keeper.flush(&self.registry);
        self.link.flush()?;
        self.link.watch(&self.registry, self.link_token)
    }

    pub(crate) fn sweep_by(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline {
            self.next_sweep = Some(self.next_sweep.map_or(deadline, |sweep| sweep.min(deadline)));
        }
    }

    /// Ends what has waited too long.
    pub fn sweep(&mut self) {
        if self.next_sweep.is_none_or(|sweep| sweep > self.now) {
            return;
        }
        self.next_sweep = self.lookups.next_deadline();
        self.sweep_by(self.keeper.next_deadline());
        let (now, client) = (self.now, self.client.clone());
        let mut earliest = None::<Instant>;
        let mut late = Vec::new();
        for (token, session) in &mut self.sessions {
            match session.deadline(&client, now) {
                (deadline, what) if deadline <= now => late.push((*token, what)),
                (deadline, _) => earliest = Some(earliest.map_or(deadline, |e| e.min(deadline))),
            }
        }
        self.sweep_by(earliest);
        for (token, what) in late {
            self.timed_out(token, what);
        }
        let overdue = self.lookups.overdue(now);
        self.answered(overdue);
        let overdue = self.keeper.overdue(now);
        self.told(overdue);
    }

    fn timed_out(&mut self, token: usize, what: &str) {
        let Some(mut session) = self.sessions.remove(&token) else { return };
        if !session.is_connected() && session.next_attempt.is_some_and(|next| next <= self.now) {
            return self.race(session);
        }
        if session.work.is_none() && session.client.is_idle() {
            self.forget(&session);
            if session.quit(self.now) {
                self.keep(session);
            }
            return;
        }
        if session.security.shaking {
            return self.tls_failed(session, &Failure::broken("timed out in the TLS handshake"));
        }
        let turn = session.lost(&format!("timed out waiting for {what}"));
        self.settle(session, turn);
    }

    /// Finishes what is in hand and takes no more.
    pub fn drain(&mut self) {
        self.draining = true;
        for token in self.idle.drain().flat_map(|(_, tokens)| tokens).collect::<Vec<_>>() {
            if let Some(mut session) = self.sessions.remove(&token) {
                session.quit(self.now);
            }
        }
    }

    /// Drained, and every report has left.
    pub fn is_done(&self) -> bool {
        self.draining && self.active == 0 && self.parts.is_empty() && self.link.channel.pending() == 0
    }
}
