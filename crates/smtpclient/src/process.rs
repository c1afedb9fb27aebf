//! Start-up, and the turns of the event loop.

use crate::content::Reader;
use crate::egress::{Egress, read_secrets};
use crate::keeper::Keeper;
use crate::lookups::Lookups;
use crate::secured;
use crate::worker::Worker;
use agent::{Incoming, Link};
use daemon::{Counters, EX_ORPHANED, Refusal, Signal, Signals};
use ipc::master::{ToChild, ToMaster};
use ipc::{Caller, Channel, RecvError};
use mio::{Events, Interest, Poll, Token, Waker};
use nexthop::Ourselves;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signing::Keyholder;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const LINK: Token = Token(2);
const RESOLVER: Token = Token(3);
const READER: Token = Token(4);
const KEEPER: Token = Token(5);
const FIRST_SESSION: usize = 16;

/// How long an answer of the resolver may stay out beyond the resolver's own deadline.
const RESOLVER_GRACE: Duration = Duration::from_secs(5);
/// Deadlines are looked at no more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

/// The program ta-smtp.
pub fn run() -> ExitCode {
    let started = match daemon::start("ta-smtp") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    let settings = Arc::clone(&started.settings);
    let mut contacts = started.contacts;
    let Some(jobs) = contacts.take("jobs") else {
        return Refusal::conversation("ta-smtp: the master sent no job conversation").say();
    };
    // All files are read now: later there is no right to any.
    let keyholder = Keyholder::new(contacts.caller("keyholder"), started.counters.clone());
    let connector = match secured::connector(&settings.tls, contacts.take("identity"), keyholder) {
        Ok(connector) => connector,
        Err(why) => return Refusal::system(format!("ta-smtp: tls: {why}")).say(),
    };
    let parts = Channel::new(jobs).map(|jobs| Parts {
        client: settings.client.clone(),
        ourselves: Ourselves::new(&settings),
        egress: Egress::new(&settings, &read_secrets(contacts.take("secrets"))),
        patience: settings.dns.deadline + RESOLVER_GRACE,
        jobs: Link::new(jobs),
        resolver: contacts.caller("resolver"),
        keeper: contacts.caller("tlspolicy"),
        tls: settings.tls.clone(),
        policies: settings.policies.clone(),
        connector,
        master: started.master,
        signals: started.signals,
        counters: started.counters,
    });
    if let Err(why) = sandbox::confine(settings.processes.sandbox, &sandbox::Needs::client()) {
        return Refusal::system(format!("ta-smtp: {why}")).say();
    }
    match parts.and_then(Parts::serve) {
        Ok(code) => code,
        Err(e) => {
            daemon::event!(Error, "stopped", reason = e);
            daemon::log::flush();
            ExitCode::from(daemon::EX_SOFTWARE)
        }
    }
}

/// What the process was given.
pub(crate) struct Parts {
    pub client: settings::Client,
    pub ourselves: Ourselves,
    pub egress: Egress,
    pub patience: Duration,
    pub jobs: Link,
    pub resolver: Option<Caller>,
    pub keeper: Option<Caller>,
    pub tls: settings::Tls,
    pub policies: settings::Policies,
    pub connector: tls::client::Connector,
    pub master: Channel<ToMaster, ToChild>,
    pub signals: Signals,
    pub counters: Counters,
}

impl Parts {
    pub fn serve(mut self) -> io::Result<ExitCode> {
        raise_descriptor_limit(u64::from(self.client.sessions));
        let mut poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        registry.register(&mut self.master, MASTER, Interest::READABLE)?;
        registry.register(&mut self.signals, SIGNALS, Interest::READABLE)?;
        registry.register(&mut self.jobs.channel, LINK, Interest::READABLE)?;
        let reader = Reader::start(Arc::new(Waker::new(&registry, READER)?));
        let lookups = Lookups::new(self.resolver, self.patience);
        let security = (self.tls, self.policies, self.connector, Keeper::new(self.keeper, KEEPER));
        let credits = self.client.sessions;
        let tokens = (RESOLVER, LINK, FIRST_SESSION);
        let mut worker =
            Worker::new(self.client, self.ourselves, self.egress, self.jobs, lookups, security, self.counters, registry, reader, tokens);
        // Where one of them has gone already, receiving will say so.
        let _ = self.master.send(&ToMaster::Ready);
        let _ = worker.link.credit(credits);
        turns(&mut poll, &mut worker, &mut self.master, &mut self.signals)
    }
}

fn turns(poll: &mut Poll, worker: &mut Worker, master: &mut Channel<ToMaster, ToChild>, signals: &mut Signals) -> io::Result<ExitCode> {
    let mut events = Events::with_capacity(512);
    let mut swept = Instant::now();
    loop {
        daemon::log::flush();
        let wake = worker.next_sweep.map(|sweep| sweep.max(swept + SWEEP_EVERY));
        // Rounded up: a wait of zero milliseconds just before a deadline would spin.
        let wait = wake.map(|wake| wake.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        match poll.poll(&mut events, wait) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
        worker.tick();
        for event in &events {
            match event.token() {
                MASTER => {
                    if let Some(code) = from_master(master, worker) {
                        return Ok(code);
                    }
                }
                SIGNALS => {
                    while let Some(signal) = signals.next() {
                        if signal == Signal::Drain {
                            worker.drain();
                        }
                    }
                }
                LINK => {
                    if let Some(code) = from_scheduler(worker) {
                        return Ok(code);
                    }
                }
                RESOLVER => worker.resolver_ready(),
                READER => worker.supplies(),
                KEEPER => worker.keeper_ready(),
                _ => worker.session_ready(event),
            }
        }
        if wake.is_some_and(|wake| wake <= Instant::now()) {
            swept = Instant::now();
            worker.sweep();
        }
        if let Some(trouble) = worker.trouble.take() {
            let _ = master.send(&ToMaster::Failing(trouble));
        }
        worker.begin_waiting();
        if let Err(e) = worker.flush() {
            return Ok(link_lost(&RecvError::Io(e)));
        }
        if worker.is_done() {
            daemon::log::flush();
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn from_master(master: &mut Channel<ToMaster, ToChild>, worker: &mut Worker) -> Option<ExitCode> {
    let _ = master.flush();
    loop {
        match master.recv() {
            Ok(Some((ToChild::Drain, _))) => worker.drain(),
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(_) => return Some(ExitCode::from(u8::try_from(EX_ORPHANED).unwrap_or(1))),
        }
    }
}

fn from_scheduler(worker: &mut Worker) -> Option<ExitCode> {
    loop {
        match worker.link.recv() {
            Ok(Some(Incoming::Jobs(jobs))) => {
                for (job, file) in jobs {
                    worker.accept(job, file);
                }
            }
            Ok(Some(Incoming::Drain)) => worker.drain(),
            Ok(None) => return None,
            Err(e) => return Some(link_lost(&e)),
        }
    }
}

/// Without a scheduler no result can be reported: what is in flight is undecided, whatever becomes of it here.
fn link_lost(error: &RecvError) -> ExitCode {
    if !matches!(error, RecvError::Closed) {
        daemon::event!(Warning, "scheduler_lost", reason = error);
    }
    daemon::log::flush();
    ExitCode::SUCCESS
}

/// Each session may hold a socket and a message file.
fn raise_descriptor_limit(sessions: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let wanted = (sessions * 3 + 64).min(hard);
        if wanted > soft {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard);
        }
    }
}
