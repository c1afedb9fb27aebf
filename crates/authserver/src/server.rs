//! Exchanges of all workers: what the clients say, what back-ends answer, what comes of it.

use crate::backends::Backends;
use crate::confinement;
use crate::dovecot::{Link, Request, Verdict};
use crate::exchange::{Exchange, Leader, ours};
use crate::failures::Limits;
use crate::inquiry::{Inquiry, Next};
use crate::memory::Memory;
use crate::outcome::End;
use crate::pool::Answers;
use crate::teller::Teller;
use crate::{Answer, Found};
use ipc::auth::{AuthPeer, FromAuth, Refused, Said, Secret, ToAuth};
use mio::event::Event;
use sandbox::Granted;
use sasl::ScramSecret;
use sasl::server::{Surroundings, Turn, Why};
use settings::{Auth, Backend};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use subdaemon::{Asker, Desk, Service};

pub type Out = Desk<FromAuth>;
pub type Key = (Asker, u64);

/// Exchanges at a time, of all workers.
const MOST: usize = 50_000;
/// Added to the patience with back-ends: they should be the ones to say that it is over.
const GRACE: Duration = Duration::from_secs(3);
pub struct Server {
    pub(crate) auth: Auth,
    pub(crate) backends: Backends,
    dovecot: Link,
    answers: Answers,
    answered: Receiver<(u64, Answer)>,
    exchanges: HashMap<Key, Exchange>,
    /// Questions that are out.
    pub(crate) tickets: HashMap<u64, Key>,
    next_ticket: u64,
    pub(crate) failures: Memory,
    pub(crate) teller: Teller,
    /// For decoys: chosen at start, so a restart changes what unknown users look like; a file's users never change so.
    decoy_key: [u8; 32],
    random: Random,
    granted: Option<Vec<Granted>>,
    pub(crate) now: Instant,
}

impl Server {
    pub fn new(desk: &mut Out) -> io::Result<Self> {
        let auth = desk.started.settings.auth.clone();
        let (sender, answered) = channel();
        let answers = Answers { sender, waker: desk.waker() };
        let random = Random::open()?;
        let folder = desk.started.settings.paths.postoffice.join("authserver");
        let failures = Memory::open(&folder, &Limits::of(&auth));
        let granted = confinement::granted(&auth);
        confinement::confine(desk.started.settings.processes.sandbox, granted.as_deref(), folder)?;
        Ok(Self {
            backends: Backends::new(&auth, &answers)?,
            dovecot: Link::new(auth.dovecot_socket.clone(), auth.timeout, desk.token()),
            answers,
            answered,
            exchanges: HashMap::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            failures,
            teller: Teller::new(desk.started.contacts.caller("ratetracker")),
            decoy_key: random.bytes()?,
            random,
            granted,
            now: Instant::now(),
            auth,
        })
    }

    fn begin(&mut self, key: Key, mechanism: &str, initial: Option<&Secret>, peer: AuthPeer, desk: &mut Out) {
        desk.started.counters.add("exchanges", 1);
        let exchange = |leader| Exchange::new(leader, mechanism.to_owned(), peer.clone());
        let refusal = if self.exchanges.len() >= MOST {
            Some((Refused::Temporary, "too many exchanges at a time"))
        } else if !self.auth.mechanisms.iter().any(|offered| offered == mechanism) {
            Some((Refused::Mechanism, "mechanism not offered"))
        } else if !peer.tls && !self.auth.without_tls {
            Some((Refused::Encryption, "not encrypted"))
        } else if self.failures.is_locked(peer.address, None, self.now) {
            Some((Refused::Locked, "locked out"))
        } else {
            None
        };
        if let Some((refused, reason)) = refusal {
            let exchange = exchange(Leader::Dovecot(0));
            return self.finish(key, exchange, End::Refused(refused, reason.to_owned()), desk);
        }
        let initial = initial.map(|secret| secret.0.as_slice());
        if let Some(method) = ours(mechanism, &self.auth.backends) {
            let offers_plus = !peer.bindings.is_empty() && self.auth.mechanisms.iter().any(|offered| offered == "SCRAM-SHA-256-PLUS");
            let Ok(nonce) = self.random.bytes::<18>() else {
                let exchange = exchange(Leader::Dovecot(0));
                return self.finish(key, exchange, End::Refused(Refused::Temporary, "no random numbers".to_owned()), desk);
            };
            let around = Surroundings { bindings: peer.bindings.clone(), offers_plus, nonce: data_encoding::BASE64.encode(&nonce) };
            let (server, turn) = sasl::server::Server::begin(method, around, initial);
            let exchange = exchange(Leader::Ours(Box::new(server)));
            self.turn(key, exchange, turn, desk);
        } else {
            let request = Request {
                mechanism: mechanism.to_owned(),
                initial: initial.map(<[u8]>::to_vec),
                peer: peer.address,
                local: peer.local,
                tls: peer.tls,
            };
            let mut exchange = exchange(Leader::Dovecot(0));
            let ticket = self.ticket(key, &mut exchange);
            exchange.leader = Leader::Dovecot(self.dovecot.begin(ticket, request, desk.registry(), self.now));
            self.exchanges.insert(key, exchange);
        }
    }

    fn respond(&mut self, key: Key, response: &[u8], desk: &mut Out) {
        // A worker that knows an exchange which we do not: we were started anew meanwhile.
        let Some(mut exchange) = self.exchanges.remove(&key) else {
            let said = Said::Refused { user: None, reason: Refused::Temporary, delay: Duration::ZERO };
            return desk.answer(key.0, FromAuth { number: key.1, said });
        };
        match &mut exchange.leader {
            Leader::Ours(server) => {
                let turn = server.hear(response);
                self.turn(key, exchange, turn, desk);
            }
            Leader::Dovecot(number) => {
                let number = *number;
                // Dovecot's login keeps its ticket; only the wait begins anew.
                self.tickets.extend(exchange.ticket.map(|ticket| (ticket, key)));
                exchange.deadline = self.patience();
                self.exchanges.insert(key, exchange);
                self.dovecot.respond(number, response, desk.registry(), self.now);
            }
        }
    }

    /// What the mechanism wants next.
    fn turn(&mut self, key: Key, mut exchange: Exchange, turn: Turn, desk: &mut Out) {
        if let Leader::Ours(server) = &exchange.leader {
            exchange.user = server.user().map(str::to_owned);
        }
        match turn {
            Turn::Challenge(message) => {
                self.exchanges.insert(key, exchange);
                desk.answer(key.0, FromAuth { number: key.1, said: Said::Challenge(message) });
            }
            Turn::Need(_) if self.failures.is_locked(exchange.peer.address, exchange.user.as_deref(), self.now) => {
                self.finish(key, exchange, End::Refused(Refused::Locked, "locked out".to_owned()), desk);
            }
            Turn::Need(need) => {
                let mut inquiry = Inquiry::new(need, &self.auth.backends);
                let next = inquiry.next();
                exchange.inquiry = Some(inquiry);
                self.go_on(key, exchange, next, desk);
            }
            Turn::Accepted(user) => {
                let found = exchange.found.take().unwrap_or(Found::user(user));
                self.finish(key, exchange, End::Accepted(found), desk);
            }
            Turn::Refused(Why::Malformed) => {
                self.finish(key, exchange, End::Refused(Refused::Malformed, Why::Malformed.to_string()), desk);
            }
            Turn::Refused(why) => self.finish(key, exchange, End::Refused(Refused::Credentials, why.to_string()), desk),
        }
    }

    /// What the back-ends have come to.
    fn go_on(&mut self, key: Key, mut exchange: Exchange, mut next: Next, desk: &mut Out) {
        while let Next::Ask(backend) = next {
            if self.ask(key, &mut exchange, backend, desk) {
                self.exchanges.insert(key, exchange);
                return;
            }
            let Some(inquiry) = &mut exchange.inquiry else { return };
            next = inquiry.heard(Answer::Temporary(format!("{backend:?}: too many questions wait")));
        }
        exchange.inquiry = None;
        exchange.deadline = None;
        let Leader::Ours(server) = &mut exchange.leader else { return };
        let turn = match next {
            Next::Accepted(found) => {
                let user = found.user.clone();
                exchange.found = Some(found);
                server.decided(Some(user))
            }
            Next::Keys(keys, found) => {
                exchange.found = Some(found);
                server.secret(*keys)
            }
            Next::Undecided(reason) => return self.finish(key, exchange, End::Refused(Refused::Temporary, reason), desk),
            Next::Nobody | Next::Ask(_) => match server.user().map(str::to_lowercase) {
                Some(user) if exchange.mechanism.starts_with("SCRAM") => server.secret(ScramSecret::decoy(&self.decoy_key, &user)),
                _ => server.decided(None),
            },
        };
        self.turn(key, exchange, turn, desk);
    }

    /// False: it takes no more questions.
    fn ask(&mut self, key: Key, exchange: &mut Exchange, backend: Backend, desk: &mut Out) -> bool {
        let ticket = self.ticket(key, exchange);
        let Some(inquiry) = &exchange.inquiry else { return false };
        if backend == Backend::Dovecot {
            let sasl::server::Need::Password { user, password } = &inquiry.need else { return false };
            let request = Request {
                mechanism: "PLAIN".to_owned(),
                initial: Some(format!("\0{user}\0{password}").into_bytes()),
                peer: exchange.peer.address,
                local: exchange.peer.local,
                tls: exchange.peer.tls,
            };
            self.dovecot.begin(ticket, request, desk.registry(), self.now);
            return true;
        }
        self.backends.ask(backend, ticket, &inquiry.need, &exchange.peer, inquiry.is_last())
    }

    fn ticket(&mut self, key: Key, exchange: &mut Exchange) -> u64 {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        if let Some(old) = exchange.ticket.replace(self.next_ticket) {
            self.tickets.remove(&old);
        }
        self.tickets.insert(self.next_ticket, key);
        exchange.deadline = self.patience();
        self.next_ticket
    }

    fn patience(&self) -> Option<Instant> {
        self.now.checked_add(self.auth.timeout.saturating_add(GRACE))
    }

    /// The exchange that waits for the answer with this ticket.
    fn waiting(&mut self, ticket: u64) -> Option<(Key, Exchange)> {
        let key = self.tickets.remove(&ticket)?;
        let exchange = self.exchanges.remove(&key)?;
        if exchange.ticket == Some(ticket) {
            return Some((key, exchange));
        }
        self.exchanges.insert(key, exchange);
        None
    }

    fn answered(&mut self, ticket: u64, answer: Answer, desk: &mut Out) {
        let Some((key, mut exchange)) = self.waiting(ticket) else { return };
        let Some(inquiry) = &mut exchange.inquiry else { return };
        let next = inquiry.heard(answer);
        self.go_on(key, exchange, next, desk);
    }

    fn dovecot_said(&mut self, ticket: u64, verdict: Verdict, desk: &mut Out) {
        let Some((key, mut exchange)) = self.waiting(ticket) else { return };
        if exchange.inquiry.is_some() {
            self.tickets.insert(ticket, key);
            self.exchanges.insert(key, exchange);
            let answer = match verdict {
                Verdict::Accepted { user } => Answer::Accepted(Found::user(user)),
                Verdict::Refused { .. } => Answer::Unknown,
                Verdict::Challenge(_) => Answer::Temporary("dovecot: a challenge to PLAIN".to_owned()),
                Verdict::Temporary(reason) => Answer::Temporary(reason),
                Verdict::Mechanism => Answer::Temporary("dovecot: does not know PLAIN".to_owned()),
            };
            return self.answered(ticket, answer, desk);
        }
        let end = match verdict {
            Verdict::Challenge(message) => {
                exchange.deadline = None;
                self.exchanges.insert(key, exchange);
                return desk.answer(key.0, FromAuth { number: key.1, said: Said::Challenge(message) });
            }
            Verdict::Accepted { user } => End::Accepted(Found::user(user)),
            Verdict::Refused { user } => {
                exchange.user = user;
                End::Refused(Refused::Credentials, Why::Credentials.to_string())
            }
            Verdict::Temporary(reason) => End::Refused(Refused::Temporary, reason),
            Verdict::Mechanism => End::Refused(Refused::Mechanism, "dovecot does not know this mechanism".to_owned()),
        };
        self.finish(key, exchange, end, desk);
    }

    fn drop_exchange(&mut self, key: Key, registry: &mio::Registry) {
        let Some(exchange) = self.exchanges.remove(&key) else { return };
        if let Some(ticket) = exchange.ticket {
            self.tickets.remove(&ticket);
        }
        if let Leader::Dovecot(number) = exchange.leader {
            self.dovecot.cancel(number, registry);
        }
    }

    fn overdue(&mut self, desk: &mut Out) {
        let over: Vec<Key> =
            self.exchanges.iter().filter(|(_, e)| e.deadline.is_some_and(|at| at <= self.now)).map(|(key, _)| *key).collect();
        for key in over {
            if let Some(exchange) = self.exchanges.remove(&key) {
                self.finish(key, exchange, End::Refused(Refused::Temporary, "no back-end answered in time".to_owned()), desk);
            }
        }
    }
}

impl Service for Server {
    type In = ToAuth;
    type Out = FromAuth;

    fn heed(&mut self, asker: Asker, frame: ToAuth, desk: &mut Out) {
        self.now = Instant::now();
        match frame {
            ToAuth::Begin { number, mechanism, initial, peer } => {
                self.drop_exchange((asker, number), desk.registry());
                self.begin((asker, number), &mechanism, initial.as_ref(), peer, desk);
            }
            ToAuth::Respond { number, response } => self.respond((asker, number), &response.0, desk),
            ToAuth::Cancel { number } => self.drop_exchange((asker, number), desk.registry()),
        }
    }

    fn gone(&mut self, asker: Asker) {
        self.exchanges.retain(|(owner, _), _| *owner != asker);
        self.tickets.retain(|_, (owner, _)| *owner != asker);
    }

    fn event(&mut self, event: &Event, desk: &mut Out) {
        if event.token() == self.dovecot.token() {
            self.dovecot.event(desk.registry());
        }
    }

    fn work(&mut self, now: Instant, desk: &mut Out) {
        self.now = now;
        while let Ok((ticket, answer)) = self.answered.try_recv() {
            self.answered(ticket, answer, desk);
        }
        for (ticket, verdict) in self.dovecot.take(now, desk.registry()) {
            self.dovecot_said(ticket, verdict, desk);
        }
        self.overdue(desk);
        self.failures.work(&Limits::of(&self.auth), now);
    }

    fn wake(&self) -> Option<Instant> {
        let waiting = self.exchanges.values().filter_map(|exchange| exchange.deadline).min();
        self.dovecot.wake().into_iter().chain(waiting).chain(self.failures.wake()).min()
    }

    fn reload(&mut self, _contacts: daemon::Contacts, desk: &mut Out) -> Result<(), String> {
        let auth = desk.started.settings.auth.clone();
        if !confinement::covers(self.granted.as_deref(), confinement::granted(&auth).as_deref()) {
            // It may not read what is new, or has no walls for want of which it was PAM that was asked: a successor does.
            desk.retire();
            return Ok(());
        }
        if auth != self.auth {
            self.backends = Backends::new(&auth, &self.answers).map_err(|e| e.to_string())?;
            let token = desk.token();
            self.dovecot = Link::new(auth.dovecot_socket.clone(), auth.timeout, token);
            self.auth = auth;
        }
        Ok(())
    }

    /// Exchanges that wait for a client are not waited for: the client comes again.
    fn is_idle(&self) -> bool {
        self.exchanges.values().all(|exchange| exchange.deadline.is_none())
    }

    fn end(&mut self, _desk: &mut Out) {
        self.failures.finish(&Limits::of(&self.auth));
    }
}

/// The kernel's random numbers; opened before the sandbox is entered.
struct Random(File);

impl Random {
    fn open() -> io::Result<Self> {
        Ok(Self(File::open("/dev/urandom")?))
    }

    fn bytes<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        (&self.0).read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
