//! The event loop: jobs from the scheduler, sessions with servers, reports back.

use crate::candidates::{self, Candidate, Dead, Ourselves};
use crate::content::{Content, PIECE, Reader, Supply};
use crate::destination::Destination;
use crate::lookups::{self, Lookups};
use crate::session::{Session, Turn};
use crate::socket::Socket;
use crate::work::Work;
use agent::Link;
use daemon::Counters;
use ipc::agents::Report;
use ipc::dns::{Answer, Question, Trouble};
use mio::{Interest, Registry, Token};
use smtp::client::{Event, Flavour, Verdict};
use status::{Enhanced, Outcome, Phase};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::time::Instant;

/// What the process works with.
#[derive(Debug)]
pub struct Worker {
    pub client: settings::Client,
    pub ourselves: Ourselves,
    pub link: Link,
    pub lookups: Lookups,
    pub counters: Counters,
    pub registry: Registry,
    pub reader: Reader,
    pub resolver_token: Token,
    pub link_token: Token,
    /// The link is registered for writing too.
    link_full: bool,
    pub(crate) sessions: HashMap<usize, Session>,
    /// Sessions without job, by flavour and host.
    idle: HashMap<(Flavour, String), Vec<usize>>,
    next_token: usize,
    /// Jobs in hand.
    pub active: usize,
    /// Finished jobs whose credits have not been given back.
    owed: u32,
    pub draining: bool,
    /// No session's deadline is before this.
    pub next_sweep: Option<Instant>,
    buffer: Vec<u8>,
    now: Instant,
}

impl Worker {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        client: settings::Client,
        ourselves: Ourselves,
        link: Link,
        lookups: Lookups,
        counters: Counters,
        registry: Registry,
        reader: Reader,
        tokens: (Token, Token, usize),
    ) -> Self {
        Self {
            client,
            ourselves,
            link,
            lookups,
            counters,
            registry,
            reader,
            resolver_token: tokens.0,
            link_token: tokens.1,
            link_full: false,
            sessions: HashMap::new(),
            idle: HashMap::new(),
            next_token: tokens.2,
            active: 0,
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

    pub fn accept(&mut self, job: ipc::agents::Job, file: File) {
        self.active += 1;
        self.counters.add("jobs", 1);
        let work = Work::new(job, file, self.client.hosts);
        self.dispatch(work);
    }

    /// Over an idle session where there is one, else by a new connection.
    fn dispatch(&mut self, work: Box<Work>) {
        let key = (work.flavour, work.host.clone());
        let token = self.idle.get_mut(&key).and_then(Vec::pop);
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

    fn locate(&mut self, mut work: Box<Work>) {
        let (question, port) = match Destination::parse(&work.host, work.flavour, self.client.port) {
            Err(why) => {
                let verdict = Verdict::failed(Enhanced::permanent(1, 2), format!("{}: {why}", work.host));
                return self.dead(work, Phase::Lookup, verdict);
            }
            Ok(Destination::Socket(path)) => {
                work.candidates = VecDeque::from([Candidate::Socket(path)]);
                return self.connect(work);
            }
            Ok(Destination::Address(address)) => {
                let name = address.ip().to_string();
                let found = candidates::host(&name, &[address.ip()], address.port(), &self.ourselves);
                return self.found(work, found);
            }
            Ok(Destination::Exchangers { domain, port }) => (Question::MailHosts { domain }, port),
            Ok(Destination::Host { name, port }) => (Question::Addresses { host: name }, port),
        };
        if let Err((work, verdict)) = self.lookups.ask(work, question, port, &self.registry, self.resolver_token) {
            self.dead(work, Phase::Lookup, verdict);
        }
        self.sweep_by(self.lookups.next_deadline());
    }

    /// The resolver's event.
    pub fn resolver_ready(&mut self) {
        let answered = self.lookups.receive(&self.registry, self.resolver_token);
        self.answered(answered);
    }

    fn answered(&mut self, answered: Vec<lookups::Answered>) {
        for (waiting, answer) in answered {
            let (name, port) = (question_name(&waiting.question), waiting.port);
            let trouble = match answer {
                Ok(Answer::MailHosts(hosts)) => {
                    let found = candidates::exchangers(&hosts, port, &self.ourselves);
                    self.found(waiting.work, found);
                    continue;
                }
                Ok(Answer::Addresses(ips)) => {
                    let found = candidates::host(name, &ips, port, &self.ourselves);
                    self.found(waiting.work, found);
                    continue;
                }
                Ok(_) => Trouble::Temporary("the resolver answered another question".to_owned()),
                Err(trouble) => trouble,
            };
            let verdict = lookups::verdict(name, &trouble);
            self.dead(waiting.work, Phase::Lookup, verdict);
        }
    }

    fn found(&mut self, mut work: Box<Work>, found: Result<VecDeque<Candidate>, Dead>) {
        let verdict = match found {
            Ok(candidates) => {
                work.candidates = candidates;
                return self.connect(work);
            }
            Err(Dead::Loop) => Verdict::failed(Enhanced::permanent(4, 6), format!("mail for {} loops back to this host", work.host)),
            Err(Dead::NoAddress) => Verdict::deferred(Enhanced::transient(4, 4), format!("no mail host of {} has an address", work.host)),
        };
        self.dead(work, Phase::Lookup, verdict);
    }

    /// Connects to the next address that lets itself be tried.
    fn connect(&mut self, mut work: Box<Work>) {
        while work.tries > 0
            && let Some(candidate) = work.candidates.pop_front()
        {
            self.make_room();
            self.counters.add("connections", 1);
            match self.open(&candidate, work) {
                Ok(()) => return,
                Err((back, e)) => {
                    work = back;
                    self.unconnected(&mut work, &candidate.to_string(), &e);
                }
            }
        }
        self.finish(work.unreached());
    }

    fn open(&mut self, candidate: &Candidate, mut work: Box<Work>) -> Result<(), (Box<Work>, io::Error)> {
        let socket = match Socket::connect(candidate) {
            Ok(socket) => socket,
            Err(e) => return Err((work, e)),
        };
        work.tries -= 1;
        let token = self.next_token;
        self.next_token += 1;
        let mut session = Session::new(token, socket, candidate, work, self.client.hello.clone(), self.now);
        if let Err(e) = session.register(&self.registry) {
            let mut work = session.work.take();
            if let Some(work) = &mut work {
                work.transaction = session.client.take_transaction();
            }
            return work.map_or(Ok(()), |work| Err((work, e)));
        }
        self.keep(session);
        Ok(())
    }

    fn unconnected(&self, work: &mut Work, remote: &str, error: &io::Error) {
        self.counters.add("connect_failures", 1);
        let verdict = Verdict::deferred(Enhanced::transient(4, 1), format!("cannot connect to {remote}: {error}"));
        work.trouble(Phase::Connect, verdict, remote.to_owned());
    }

    /// Sessions in all are bounded; an idle one gives way.
    fn make_room(&mut self) {
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
        let Some(mut session) = self.sessions.remove(&event.token().0) else { return };
        let ended = event.is_read_closed() || event.is_error();
        let turn = session.ready(event.is_readable() || ended, ended, &mut self.buffer, self.now);
        self.settle(session, turn);
    }

    /// What the reader thread has read.
    pub fn supplies(&mut self) {
        while let Ok(Supply { token, piece }) = self.reader.supplies.try_recv() {
            if let Some(mut session) = self.sessions.remove(&token) {
                let turn = session.supplied(piece);
                self.settle(session, turn);
            }
        }
    }

    /// Does what a session's turn asks for, until it only waits.
    fn settle(&mut self, mut session: Session, mut turn: Turn) {
        loop {
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
                Turn::Event(Event::SendContent) => {
                    session.content = session.work.as_deref().map(Content::new);
                    Turn::Wait
                }
                Turn::Event(Event::Finished | Event::Ready) => return self.finished(session),
            };
        }
    }

    fn keep(&mut self, mut session: Session) {
        let (deadline, _) = session.deadline(&self.client, self.now);
        self.sweep_by(Some(deadline));
        self.sessions.insert(session.token, session);
    }

    /// The session is gone: no job must find it in the pool.
    fn forget(&mut self, session: &Session) {
        let key = (session.flavour, session.host.clone());
        if let Some(pool) = self.idle.get_mut(&key) {
            pool.retain(|token| *token != session.token);
        }
        self.drop_empty(&key);
    }

    /// Hosts come and go by the million; a pool without sessions must not stay.
    fn drop_empty(&mut self, key: &(Flavour, String)) {
        if self.idle.get(key).is_some_and(Vec::is_empty) {
            self.idle.remove(key);
        }
    }

    /// No transaction began here. A reused session that died is replaced once; else the next address is tried.
    fn next_address(&mut self, mut session: Session, why: Result<Verdict, io::Error>) {
        let Some(mut work) = session.work.take() else { return self.forget(&session) };
        work.transaction = session.client.take_transaction();
        if work.transaction.is_none() {
            return self.dead(work, Phase::Transaction, Verdict::deferred(Enhanced::transient(4, 2), "the session ended"));
        }
        if session.served > 0 && !work.redialled {
            work.redialled = true;
            return self.locate(work);
        }
        match why {
            Ok(verdict) => work.trouble(Phase::Connect, verdict, session.remote.clone()),
            Err(error) => self.unconnected(&mut work, &session.remote, &error),
        }
        self.connect(work);
    }

    /// A transaction is over: report it, keep the session for the next job or end it.
    fn finished(&mut self, mut session: Session) {
        if let Some(work) = session.work.take() {
            session.served += 1;
            let verdicts = session.client.take_verdicts();
            if verdicts.iter().any(|v| v.outcome == Outcome::Delivered) {
                self.counters.add("bytes", work.size);
            }
            daemon::event!(Debug, "transaction", id = work.message, host = work.host, remote = session.remote, rcpts = verdicts.len());
            self.finish(work.report(Phase::Transaction, verdicts, &session.remote));
        }
        session.content = None;
        if session.client.is_idle() && !session.ended && !self.draining && session.served < self.client.messages_per_session {
            self.idle.entry((session.flavour, session.host.clone())).or_default().push(session.token);
            return self.keep(session);
        }
        if session.quit(self.now) {
            self.keep(session);
        }
    }

    fn dead(&mut self, mut work: Box<Work>, phase: Phase, verdict: Verdict) {
        work.trouble(phase, verdict, "-".to_owned());
        self.finish(work.unreached());
    }

    /// A job is over.
    fn finish(&mut self, report: Report) {
        self.active = self.active.saturating_sub(1);
        self.owed += 1;
        for result in &report.results {
            self.counters.add(counter(result.outcome), 1);
        }
        self.link.report(report);
    }

    /// Ends a turn of the loop: reports leave in as few frames as may be, credits once an eighth of them has gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.counters.set("sessions_now", self.sessions.len() as u64);
        if self.owed > 0 && !self.draining && self.owed >= self.client.sessions / 8 {
            self.link.credit(std::mem::take(&mut self.owed))?;
        }
        self.link.flush()?;
        // A socket between processes says "writable" whenever the other side has read: not worth a wake-up unless we wait.
        let full = self.link.channel.pending() > 0;
        if full != self.link_full {
            let interest = if full { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            self.registry.reregister(&mut self.link.channel, self.link_token, interest)?;
            self.link_full = full;
        }
        Ok(())
    }

    fn sweep_by(&mut self, deadline: Option<Instant>) {
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
    }

    fn timed_out(&mut self, token: usize, what: &str) {
        let Some(mut session) = self.sessions.remove(&token) else { return };
        if session.work.is_none() && session.client.is_idle() {
            self.forget(&session);
            if session.quit(self.now) {
                self.keep(session);
            }
            return;
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
        self.draining && self.active == 0 && self.link.channel.pending() == 0
    }
}

fn question_name(question: &Question) -> &str {
    match question {
        Question::MailHosts { domain } => domain,
        Question::Addresses { host } => host,
        _ => "",
    }
}

const fn counter(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Deferred => "deferred",
        Outcome::Failed => "failed",
    }
}
