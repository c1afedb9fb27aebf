//! The process: askers, threads, the master, commands, on one mio loop.

use crate::fetch::{Fetcher, LIMIT};
use crate::journal::{Journal, MOST_UNWRITTEN};
use crate::keeper::{Action, Keeper, Now, Seen};
use crate::mail::Outbox;
use crate::names::Names;
use crate::pool::{Done, Job, Pool, Sent, Tools};
use crate::report::DAY;
use crate::reporter::{Reporter, heed};
use crate::shelf::Shelf;
use crate::tally::clean;
use daemon::{EX_ORPHANED, Refusal, Signal, Started};
use ipc::control::{Reply, Request};
use ipc::master::{ToChild, ToMaster};
use ipc::tlspolicy::{Ask, PolicyKind, StsPolicy, TlsResult, Told};
use ipc::{Channel, ContactPoint, RecvError};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MASTER: usize = 0;
const CONTACT: usize = 1;
const SIGNALS: usize = 2;
const THREADS: usize = 3;
const FIRST_CALLER: usize = 10;
/// Conversations at a time: far more than the suite has processes.
const MOST_CALLERS: usize = 4096;
/// Answers that a caller may leave untaken before it is dropped.
const MOST_PENDING: usize = 10_000;
/// While somebody waits for a policy, patience is looked at so often; counts are written, and policies looked through.
const GLANCE: Duration = Duration::from_millis(250);
const WRITE: Duration = Duration::from_secs(10);
const LOOK_THROUGH: Duration = Duration::from_secs(60);
/// Longer than the resolver itself takes for an answer.
const MARGIN: Duration = Duration::from_secs(2);

struct Server {
    started: Started,
    contact: ContactPoint,
    poll: Poll,
    callers: HashMap<usize, Channel<Told, Ask>>,
    next_caller: usize,
    keeper: Keeper,
    shelf: Shelf,
    journal: Journal,
    reporter: Reporter,
    pool: Pool,
    results: Receiver<Done>,
    written: Instant,
    looked_through: Instant,
    glanced: Instant,
    draining: bool,
}

/// Runs the service until it is drained or orphaned.
pub fn run() -> ExitCode {
    match daemon::start("tlspolicy").and_then(|started| Server::new(started).map_err(|e| Refusal::system(format!("tlspolicy: {e}")))) {
        Ok(mut server) => {
            let code = server.serve();
            heed(server.journal.write());
            daemon::log::flush();
            ExitCode::from(code)
        }
        Err(refusal) => refusal.say(),
    }
}

fn now() -> Now {
    Now { at: Instant::now(), unix: daemon::clock::unix_seconds() }
}

fn tools(settings: &Arc<settings::Settings>, names: Arc<Names>) -> io::Result<Tools> {
    let fetcher = Fetcher::new(Arc::clone(&names), settings.tls.roots.as_deref(), settings.sts.port, LIMIT).map_err(io::Error::other)?;
    Ok(Tools { names, fetcher, settings: Arc::clone(settings), outbox: Mutex::new(Outbox::open(settings)?) })
}

impl Server {
    fn new(mut started: Started) -> io::Result<Self> {
        let mut contact = started.contacts.serve().ok_or_else(|| io::Error::other("the master sent no contact point"))?;
        let caller = started.contacts.caller("resolver").ok_or_else(|| io::Error::other("the suite runs without a resolver"))?;
        let names = Arc::new(Names::new(caller, started.settings.dns.deadline + MARGIN));
        let folder = started.settings.paths.postoffice.join("tlspolicy");
        let shelf = Shelf::open(&folder.join("policies"))?;
        let keeper = Keeper::new(shelf.read_all(now().unix)?);
        let journal = Journal::open(&folder.join("results"))?;
        let reporter = Reporter::new(&journal, RandomState::new().hash_one(&started.settings.identity.hostname), now().unix);
        let poll = Poll::new()?;
        poll.registry().register(&mut started.master, Token(MASTER), Interest::READABLE | Interest::WRITABLE)?;
        poll.registry().register(&mut contact, Token(CONTACT), Interest::READABLE)?;
        poll.registry().register(&mut started.signals, Token(SIGNALS), Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(THREADS))?);
        let (sender, results) = channel();
        let pool = Pool::start(tools(&started.settings, names)?, &sender, move || drop(waker.wake()))?;
        started.master.send(&ToMaster::Ready)?;
        daemon::event!(Info, "started", policies = keeper.policies());
        started.counters.set("policies_now", keeper.policies() as u64);
        let (callers, at) = (HashMap::new(), Instant::now());
        Ok(Self {
            started,
            contact,
            poll,
            callers,
            next_caller: FIRST_CALLER,
            keeper,
            shelf,
            journal,
            reporter,
            pool,
            results,
            written: at,
            looked_through: at,
            glanced: at,
            draining: false,
        })
    }

    fn serve(&mut self) -> u8 {
        let mut events = Events::with_capacity(256);
        loop {
            self.work();
            daemon::log::flush();
            // Nothing to finish: who waits for a policy asks our successor.
            if self.draining {
                return 0;
            }
            let sleep = if self.keeper.waited_for() { GLANCE } else { WRITE };
            match self.poll.poll(&mut events, Some(sleep)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    daemon::event!(Error, "poll_failed", error = e);
                    return daemon::EX_OSERR;
                }
                Ok(()) => {}
            }
            for event in &events {
                match event.token().0 {
                    MASTER => {
                        if let Err(code) = self.hear_master() {
                            return code;
                        }
                    }
                    CONTACT => self.accept(),
                    SIGNALS => self.take_signals(),
                    THREADS => self.take_results(),
                    token => self.hear_caller(token),
                }
            }
        }
    }

    /// What time brings.
    fn work(&mut self) {
        let now = now();
        // Each costs a walk over all domains, so neither is for every event.
        if self.keeper.waited_for() && self.glanced + GLANCE <= now.at {
            self.glanced = now.at;
            let late = self.keeper.tick(now);
            self.act(late);
        }
        if self.journal.unwritten() > 0 && (self.written + WRITE <= now.at || self.journal.unwritten() >= MOST_UNWRITTEN) {
            heed(self.journal.write());
            self.written = now.at;
        }
        if self.looked_through + LOOK_THROUGH <= now.at {
            self.looked_through = now.at;
            let actions = self.keeper.renew(now);
            self.act(actions);
            self.started.counters.set("policies_now", self.keeper.policies() as u64);
        }
        if self.reporter.next() <= now.unix {
            self.report(now.unix, false);
        }
    }

    /// Sends what is due; the number of domains.
    fn report(&mut self, unix: u64, today: bool) -> usize {
        heed(self.journal.write());
        let reports = self.reporter.due(&mut self.journal, unix, today);
        let number = reports.len();
        for (day, report) in reports {
            self.pool.give(Job::Report { day, report });
        }
        number
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Answer { asker, policy } => self.answer(asker, policy),
                Action::Look { domain, known } => self.pool.give(Job::Look { domain, known }),
                Action::Keep { domain, kept } => {
                    daemon::event!(
                        Info,
                        "policy_fetched",
                        domain = domain,
                        policy = kept.policy.id,
                        mode = crate::policy::mode(&kept.policy)
                    );
                    if let Err(e) = self.shelf.put(&domain, &kept) {
                        daemon::event!(Warning, "policy_not_kept", domain = domain, reason = e);
                    }
                }
                Action::Forget { domain } => self.shelf.remove(&domain),
            }
        }
    }

    fn answer(&mut self, (token, number): (usize, u64), policy: Option<StsPolicy>) {
        let Some(caller) = self.callers.get_mut(&token) else { return };
        self.started.counters.add("answered", u64::from(policy.is_some()));
        let sent = caller.send(&Told { number, policy });
        if sent.is_err() || caller.pending() > MOST_PENDING {
            self.forget(token);
        }
    }

    fn take_results(&mut self) {
        while let Ok(done) = self.results.try_recv() {
            match done {
                Done::Looked { domain, seen } => self.looked(&domain, seen),
                Done::Reported { day, report, sent } => {
                    self.count_report(&report.domain, &sent);
                    self.reporter.settled(&mut self.journal, day, &report, &sent, now().unix);
                }
            }
        }
    }

    fn looked(&mut self, domain: &str, seen: Seen) {
        let counters = &self.started.counters;
        match &seen {
            Seen::Fetched(_) => counters.add("fetches", 1),
            Seen::Failed(failure) => {
                counters.add("fetches", 1);
                counters.add("fetch_failures", 1);
                daemon::event!(Warning, "policy_failed", domain = domain, result = failure.kind, reason = failure.text);
                self.count(TlsResult {
                    domain: domain.to_owned(),
                    kind: PolicyKind::Sts,
                    policy: Vec::new(),
                    policy_hosts: Vec::new(),
                    host: String::new(),
                    address: None,
                    source: None,
                    failure: Some(failure.kind.to_owned()),
                    detail: failure.text.clone(),
                });
            }
            Seen::NoAnswer(reason) => daemon::event!(Debug, "record_failed", domain = domain, reason = reason),
            Seen::NoRecord | Seen::Same => {}
        }
        let actions = self.keeper.seen(domain, seen, now());
        self.act(actions);
    }

    fn count_report(&self, domain: &str, sent: &Sent) {
        match sent {
            Sent::Out { mails, posts } => {
                self.started.counters.add("reports", 1);
                for (id, to) in mails {
                    daemon::event!(Info, "report_sent", domain = domain, new = id, to = to);
                }
                for host in posts {
                    daemon::event!(Info, "report_posted", domain = domain, host = host);
                }
            }
            Sent::NotWanted => {}
            Sent::Failed(reason) => {
                self.started.counters.add("report_failures", 1);
                daemon::event!(Warning, "report_failed", domain = domain, reason = reason);
            }
        }
    }

    fn count(&mut self, result: TlsResult) {
        if !self.started.settings.tls_report.enabled {
            return;
        }
        self.started.counters.add("results", 1);
        let now = now().unix;
        let counted = clean(result).is_some_and(|mut result| {
            // The text of the policy is ours to know: an asker has only what is left of its time.
            if let Some(lines) = self.keeper.lines(&result.domain, now).filter(|_| result.kind == PolicyKind::Sts) {
                result.policy = lines;
            }
            self.journal.add(now / DAY, result)
        });
        self.started.counters.add("dropped", u64::from(!counted));
    }

    fn hear_master(&mut self) -> Result<(), u8> {
        let orphaned = u8::try_from(EX_ORPHANED).unwrap_or(75);
        let _ = self.started.master.flush();
        loop {
            match self.started.master.recv() {
                Ok(None) => return Ok(()),
                Ok(Some((ToChild::Drain, _))) => self.draining = true,
                Ok(Some((ToChild::Reload(start), descriptors))) => self.reload(&start, descriptors),
                Ok(Some((ToChild::Command { request, .. }, mut descriptors))) => {
                    if let Some(end) = descriptors.pop() {
                        self.command(end, &request);
                    }
                }
                Ok(Some(_)) => {}
                Err(RecvError::Closed) => return Err(orphaned),
                Err(e) => {
                    daemon::event!(Error, "master_conversation", error = e);
                    return Err(orphaned);
                }
            }
        }
    }

    fn reload(&mut self, start: &ipc::master::Start, descriptors: Vec<OwnedFd>) {
        let names = Arc::clone(&self.pool.tools().names);
        let outcome = self.started.reload(start, descriptors);
        match outcome.and_then(|_| tools(&self.started.settings, names).map_err(|e| e.to_string())) {
            Ok(tools) => {
                self.pool.replace(tools);
                daemon::event!(Info, "reloaded", generation = self.started.generation);
            }
            Err(reason) => daemon::event!(Error, "reload_failed", reason = reason),
        }
    }

    fn command(&mut self, end: OwnedFd, request: &Request) {
        let Ok(mut client) = Channel::<Reply, Request>::new(end) else { return };
        let reply = match request {
            Request::TlsReports if !self.started.settings.tls_report.enabled => {
                Reply::Refused { code: 78, reason: "[tls_report] enabled is false".to_owned() }
            }
            Request::TlsReports => {
                let number = self.report(now().unix, true);
                Reply::Done(format!("reports on {number} domains are on their way, where they ask for them; see the log"))
            }
            _ => Reply::Refused { code: 70, reason: "tlspolicy knows no such command".to_owned() },
        };
        // Two small frames into an empty socket.
        let _ = client.send(&reply).and_then(|()| client.send(&Reply::End));
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.started.signals.next() {
            self.draining |= signal == Signal::Drain;
        }
    }

    fn accept(&mut self) {
        while let Ok(Some(mut caller)) = self.contact.accept::<Told, Ask>() {
            if self.callers.len() >= MOST_CALLERS {
                continue;
            }
            let token = self.next_caller;
            self.next_caller = self.next_caller.checked_add(1).unwrap_or(FIRST_CALLER);
            if self.poll.registry().register(&mut caller, Token(token), Interest::READABLE | Interest::WRITABLE).is_ok() {
                self.callers.insert(token, caller);
                self.hear_caller(token);
            }
        }
    }

    fn hear_caller(&mut self, token: usize) {
        loop {
            let Some(caller) = self.callers.get_mut(&token) else { return };
            match caller.flush().map_err(RecvError::Io).and_then(|()| caller.recv()) {
                Ok(None) => return,
                Ok(Some((Ask::Policy { number, domain }, _))) => self.ask((token, number), &domain),
                Ok(Some((Ask::Results(results), _))) => results.into_iter().for_each(|result| self.count(result)),
                Err(error) => {
                    if !matches!(error, RecvError::Closed) {
                        daemon::event!(Warning, "conversation_ended", reason = error);
                    }
                    return self.forget(token);
                }
            }
        }
    }

    fn ask(&mut self, asker: (usize, u64), domain: &str) {
        self.started.counters.add("questions", 1);
        match address::normalise(domain).ok().filter(|domain| crate::shelf::is_name(domain)) {
            Some(domain) => {
                let actions = self.keeper.ask(&domain, asker, now());
                self.act(actions);
            }
            // An address literal, say.
            None => self.answer(asker, None),
        }
    }

    fn forget(&mut self, token: usize) {
        if let Some(mut caller) = self.callers.remove(&token) {
            let _ = self.poll.registry().deregister(&mut caller);
        }
    }
}
