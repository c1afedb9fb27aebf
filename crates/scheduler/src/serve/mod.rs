//! The event loop: brings what happened to the model and does what the model says.

mod arrivals;
mod clients;
mod etrn;
mod feeding;
mod freezing;
mod intake;
mod link;
mod locating;
mod lock;
mod orders;
mod outsiders;
#[cfg(test)]
mod trial;

use crate::io::Pool;
use crate::model::{Model, Now, Reporting};
use clients::{Client, Turn};
use daemon::Started;
use envelope::MessageId;
use feeding::{AgentLink, Files};
use intake::Intake;
use ipc::arrivals::{Arrived, Nothing};
use ipc::control::Reply;
use ipc::master::{ToChild, ToMaster};
use ipc::{Channel, ContactPoint, RecvError};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::fcntl::Flock;
use spool::Volumes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const NOTIFY: Token = Token(2);
const LISTENER: Token = Token(3);
const WAKER: Token = Token(4);
const CONTACT: Token = Token(5);
const RESOLVER: Token = Token(6);
/// Agents and clients come after it.
const FIRST: usize = 16;

/// How long a predecessor may take to let go of the spool.
const PREDECESSOR: Duration = Duration::from_secs(30);
/// File calls under way at which no more jobs begin.
const CALLS: usize = 2048;
/// Jobs begun in one turn.
const JOBS: usize = 512;
/// Commands answered at once.
const CLIENTS: usize = 64;
/// Milliseconds after which what is known of sites is written again, when it has changed.
const REMEMBER_MS: u64 = 60_000;

/// The process.
#[derive(Debug)]
pub struct Scheduler {
    started: Started,
    poll: Poll,
    model: Model,
    pool: Pool,
    locator: locating::Locator,
    spool: Arc<spool::Spool>,
    /// When what is known of sites is written next.
    remember_at: u64,
    volumes: Volumes,
    /// One for each volume, in order.
    intakes: Vec<Intake>,
    notify: Option<UnixDatagram>,
    listener: Option<UnixListener>,
    /// Who may come by it.
    guests: outsiders::Guests,
    contact: Option<ContactPoint>,
    /// Routers, which say what has arrived.
    routers_heard: HashMap<u64, Channel<Nothing, Arrived>>,
    agents: BTreeMap<u64, AgentLink>,
    clients: HashMap<u64, Client>,
    files: Files,
    /// Jobs that wait for their message's file, with their agents.
    opening: HashMap<u64, u64>,
    stuck: orders::Stuck,
    etrns: etrn::Etrns,
    routers: Option<spool::Notifier>,
    base: Instant,
    last_token: usize,
    drain_deadline: Option<Instant>,
    /// More datagrams or answers wait than one turn takes.
    busy: bool,
    /// A notice may wait in the socket.
    notified: bool,
    heartbeat: u64,
    _lock: Flock<File>,
}

/// How the process ends.
type End = ExitCode;

/// Starts, and runs until drained or orphaned.
pub fn run(mut started: Started) -> ExitCode {
    let mut early = VecDeque::new();
    let lock = match wait_for_lock(&mut started, &mut early) {
        Ok(lock) => lock,
        Err(end) => return end,
    };
    match Scheduler::new(started, lock) {
        Ok(mut scheduler) => scheduler.serve(early),
        Err(e) => {
            daemon::event!(Error, "start_failed", text = e);
            daemon::log::flush();
            ExitCode::from(daemon::EX_OSERR)
        }
    }
}

type Frame = (ToChild, Vec<OwnedFd>);

/// The lock of the postoffice; frames that come meanwhile are kept for later.
fn wait_for_lock(started: &mut Started, early: &mut VecDeque<Frame>) -> Result<Flock<File>, End> {
    let deadline = Instant::now() + PREDECESSOR;
    loop {
        let trouble = match lock::take(&started.settings.paths.postoffice) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) if Instant::now() < deadline => None,
            Ok(None) => Some("another scheduler serves this postoffice".to_owned()),
            Err(e) => Some(format!("cannot lock the postoffice: {e}")),
        };
        if let Some(trouble) = trouble {
            daemon::event!(Error, "start_failed", text = trouble);
            let _ = started.master.send(&ToMaster::Failing(trouble));
            daemon::log::flush();
            return Err(ExitCode::from(daemon::EX_TEMPFAIL));
        }
        match started.master.recv_by(Instant::now() + Duration::from_millis(50)) {
            Ok((ToChild::Drain, _)) => return Err(ExitCode::SUCCESS),
            Ok(frame) => early.push_back(frame),
            Err(RecvError::Io(e)) if e.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => return Err(orphaned()),
        }
        while let Some(signal) = started.signals.next() {
            if signal == daemon::Signal::Drain {
                return Err(ExitCode::SUCCESS);
            }
        }
    }
}

fn orphaned() -> ExitCode {
    daemon::log::flush();
    ExitCode::from(u8::try_from(daemon::EX_ORPHANED).unwrap_or(1))
}

impl Scheduler {
    fn new(mut started: Started, lock: Flock<File>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let waker = Arc::new(Waker::new(registry, WAKER)?);
        let settings = Arc::clone(&started.settings);
        let volumes = Volumes::open(&settings.paths.postoffice, settings.volume_roots())?;
        for volume in volumes.all() {
            if let Err(reason) = &volume.spool {
                daemon::event!(Error, "volume_missing", volume = volume.name, path = volume.path.display(), reason = reason);
            }
        }
        let spool = volumes.get(spool::POSTOFFICE).map(Arc::clone).ok_or(io::ErrorKind::NotFound)?;
        let pool = Pool::start(&volumes, settings.queue.io_threads, &waker)?;
        registry.register(&mut started.master, MASTER, Interest::READABLE)?;
        registry.register(&mut started.signals, SIGNALS, Interest::READABLE)?;
        let notify = started.contacts.take("notify").map(UnixDatagram::from);
        if let Some(socket) = &notify {
            socket.set_nonblocking(true)?;
            registry.register(&mut SourceFd(&socket.as_raw_fd()), NOTIFY, Interest::READABLE)?;
        }
        let listener = started.contacts.take("agents").map(UnixListener::from);
        if let Some(socket) = &listener {
            socket.set_nonblocking(true)?;
            registry.register(&mut SourceFd(&socket.as_raw_fd()), LISTENER, Interest::READABLE)?;
        }
        let mut contact = started.contacts.serve();
        if let Some(contact) = &mut contact {
            registry.register(contact, CONTACT, Interest::READABLE)?;
        }
        let seed = daemon::clock::unix_micros() ^ (u64::from(std::process::id()) << 40);
        let locator = locating::Locator::new(started.contacts.caller("resolver"));
        let mut model = Model::new(settings.queue.clone(), settings.policies.clone(), started.counters.clone(), seed);
        model.look_up(locator.is_there());
        model.set_reporting(Reporting::new(&settings));
        Ok(Self {
            started,
            model,
            pool,
            locator,
            spool,
            remember_at: REMEMBER_MS,
            intakes: volumes.all().iter().map(|_| Intake::default()).collect(),
            volumes,
            notify,
            listener,
            guests: outsiders::Guests::of(&settings),
            contact,
            routers_heard: HashMap::new(),
            agents: BTreeMap::new(),
            clients: HashMap::new(),
            files: Files::default(),
            opening: HashMap::new(),
            stuck: orders::Stuck::default(),
            etrns: etrn::Etrns::default(),
            routers: spool::Notifier::new(&settings.paths.run, "router").ok(),
            base: Instant::now(),
            last_token: FIRST,
            drain_deadline: None,
            busy: false,
            notified: true,
            heartbeat: 0,
            _lock: lock,
            poll,
        })
    }

    fn now(&self) -> Now {
        // A second of head start: nothing of the model's arithmetic starts at zero.
        let ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1000);
        Now { ms, wall_ms: daemon::clock::unix_millis() }
    }

    fn serve(&mut self, early: VecDeque<Frame>) -> ExitCode {
        let mut events = Events::with_capacity(1024);
        if self.started.master.send(&ToMaster::Ready).is_err() {
            return orphaned();
        }
        let now = self.now();
        self.recall(now);
        self.recall_freezes();
        for (frame, descriptors) in early {
            self.told(frame, descriptors, now);
        }
        loop {
            let now = self.now();
            if let Some(end) = self.turn(now) {
                return end;
            }
            match self.poll.poll(&mut events, Some(self.sleep(now))) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                    daemon::event!(Error, "poll_failed", text = e);
                    return ExitCode::from(daemon::EX_OSERR);
                }
                _ => {}
            }
            let now = self.now();
            for event in &events {
                if let Some(end) = self.event(event.token(), now) {
                    return end;
                }
            }
        }
    }

    /// Everything that is not an answer to one event: so a burst of events costs one round of each.
    fn turn(&mut self, now: Now) -> Option<End> {
        self.busy = false;
        if self.notified {
            self.notified = self.hear();
            self.busy |= self.notified;
        }
        self.collect(now);
        self.model.wake(now);
        self.answer(now);
        self.busy |= self.pool.has_room(CALLS) && self.etrns.turn(&mut self.model, now);
        // Before any load: a message that has just ended is not known any more, so a late scan or notice would have it
        // loaded ahead of its own removal and delivered again.
        self.act(now);
        if self.drain_deadline.is_none() {
            let skip = |id: MessageId| self.model.knows(id) || self.stuck.has(id);
            let period = self.started.settings.queue.transport_scan;
            for (volume, _) in self.volumes.usable() {
                if let Some(intake) = self.intakes.get_mut(usize::from(volume)) {
                    intake.pump(&mut self.pool.of(volume), period, now, skip);
                }
            }
        }
        if self.share_room(now) {
            let jobs = self.model.dispatch(JOBS, now);
            self.busy |= jobs.len() == JOBS || self.model.discards_wait();
            jobs.into_iter().for_each(|job| self.begin(job, now));
        }
        self.act(now);
        self.stuck.retry(&mut self.pool, now);
        self.pool.flush();
        self.feed(now);
        if self.heartbeat != now.ms / 1000 {
            self.heartbeat = now.ms / 1000;
            self.model.gauges();
            self.tick_outsiders(now);
            self.expel_strangers(now);
            self.give_up_questions(now);
            self.remember(now);
        }
        let end = if self.started.master.flush().is_err() { Some(orphaned()) } else { self.drained() };
        daemon::log::flush();
        end
    }

    /// How many jobs may begin from each volume. False: no jobs at all now.
    fn share_room(&mut self, now: Now) -> bool {
        if self.volumes.all().len() == 1 {
            return self.pool.outstanding() < CALLS;
        }
        for (volume, _) in self.volumes.usable() {
            self.model.set_room(volume, self.pool.room(volume, CALLS), now);
            // Its jobs may all have begun with a file at hand, and then nothing comes back to wake us.
            self.busy |= self.model.is_parked(volume) && self.pool.room(volume, CALLS) > 0;
        }
        true
    }

    fn sleep(&self, now: Now) -> Duration {
        if self.busy && self.pool.has_room(CALLS) {
            return Duration::ZERO;
        }
        let usable = self.volumes.usable().filter_map(|(volume, _)| self.intakes.get(usize::from(volume)));
        let intake = usable.map(|intake| intake.sleep_ms(now)).min().unwrap_or(u64::MAX);
        let mut wait = self.model.sleep_ms(now).min(intake).min(self.stuck.sleep_ms(now)).min(60_000);
        if self.started.master.pending() > 0 || self.drain_deadline.is_some() {
            wait = wait.min(50);
        }
        Duration::from_millis(wait)
    }

    fn event(&mut self, token: Token, now: Now) -> Option<End> {
        match token {
            MASTER => return self.master_readable(now),
            SIGNALS => {
                while let Some(signal) = self.started.signals.next() {
                    if signal == daemon::Signal::Drain {
                        self.begin_drain();
                    }
                }
            }
            LISTENER => self.accept_agents(now),
            NOTIFY => self.notified = true,
            CONTACT => self.meet(),
            RESOLVER => self.told_where(now),
            // Every turn collects.
            WAKER => {}
            Token(key) => {
                let key = key as u64;
                if self.routers_heard.contains_key(&key) {
                    self.arrivals(key);
                } else if self.agents.contains_key(&key) {
                    self.agent_readable(key, now);
                } else if self.clients.get_mut(&key).is_some_and(|client| client.readable() == Turn::Over) {
                    self.close_client(key);
                }
            }
        }
        None
    }

    fn master_readable(&mut self, now: Now) -> Option<End> {
        loop {
            match self.started.master.recv() {
                Ok(Some((frame, descriptors))) => self.told(frame, descriptors, now),
                Ok(None) => return None,
                Err(e) => {
                    daemon::event!(Warning, "orphaned", text = e);
                    return Some(orphaned());
                }
            }
        }
    }

    fn told(&mut self, frame: ToChild, mut descriptors: Vec<OwnedFd>, now: Now) {
        match frame {
            ToChild::Agent { ticket, channel, pid } => match descriptors.pop() {
                Some(end) => self.welcome(end, ticket, &channel, pid, now),
                None => self.model.no_agent(ticket, &channel, "no descriptor came with the agent", now),
            },
            ToChild::NoAgent { ticket, channel, reason } => self.model.no_agent(ticket, &channel, &reason, now),
            ToChild::Command { request, .. } => {
                if let Some(end) = descriptors.pop() {
                    self.command(end, request);
                }
            }
            ToChild::Freeze(frozen) => self.model.freeze(frozen),
            ToChild::Drain => self.begin_drain(),
            ToChild::Reload(start) => match self.started.reload(&start, descriptors) {
                Ok(_) => {
                    let settings = &self.started.settings;
                    self.guests = outsiders::Guests::of(settings);
                    self.model.reload(settings.queue.clone(), settings.policies.clone(), now);
                    self.model.set_reporting(Reporting::new(settings));
                    self.reopen();
                }
                Err(e) => daemon::event!(Error, "reload_failed", reason = e),
            },
            ToChild::Start(_) | ToChild::Session(_) | ToChild::Shed(_) | ToChild::Shadow(_) => daemon::event!(Warning, "stray_frame"),
        }
    }

    /// Takes volumes into use that were missing.
    fn reopen(&mut self) {
        for (volume, spool) in self.volumes.reopen() {
            match self.pool.add(volume, &spool, self.started.settings.queue.io_threads) {
                Ok(()) => daemon::event!(Info, "volume_back", volume = self.volumes.all().get(usize::from(volume)).map_or("", |v| &v.name)),
                Err(e) => daemon::event!(Error, "no_thread", text = e),
            }
        }
    }

    fn command(&mut self, end: OwnedFd, request: ipc::control::Request) {
        self.last_token += 1;
        let token = Token(self.last_token);
        let link = ipc::Channel::new(end).and_then(|channel| link::Link::new(channel, token, self.poll.registry()));
        let Ok(mut link) = link else { return };
        if self.clients.len() >= CLIENTS {
            let reason = "the scheduler answers too many commands already; try again".to_owned();
            let _ = link.channel.send(&Reply::Refused { code: daemon::EX_TEMPFAIL, reason });
            return;
        }
        let client = match self.freezing(&request) {
            Some(replies) => Client::answered(link, replies),
            None => Client::new(link, request),
        };
        self.clients.insert(token.0 as u64, client);
    }

    /// One turn for every client.
    fn answer(&mut self, now: Now) {
        let keys: Vec<u64> = self.clients.keys().copied().collect();
        for key in keys {
            let Some(client) = self.clients.get_mut(&key) else { continue };
            match client.turn(key, &mut self.model, &mut self.pool, self.poll.registry(), now) {
                Turn::Full => {}
                Turn::More => self.busy = true,
                Turn::Over => self.close_client(key),
            }
        }
    }

    fn close_client(&mut self, key: u64) {
        if let Some(client) = self.clients.remove(&key) {
            let _ = client.close(self.poll.registry());
        }
    }

    /// No new jobs; the agents finish theirs, report, and go.
    fn begin_drain(&mut self) {
        if self.drain_deadline.is_none() {
            self.drain_deadline = Some(Instant::now() + self.started.settings.processes.drain);
            self.model.drain();
            let keys: Vec<u64> = self.agents.keys().copied().collect();
            keys.into_iter().for_each(|key| self.drain_agent(key));
        }
    }

    fn drained(&mut self) -> Option<End> {
        let deadline = self.drain_deadline?;
        let idle = self.model.active_jobs() == 0 && self.pool.outstanding() == 0;
        if idle || Instant::now() >= deadline {
            self.remember_at_last();
            daemon::event!(Info, "drained", undecided = self.model.active_jobs());
            return Some(ExitCode::SUCCESS);
        }
        None
    }
}
