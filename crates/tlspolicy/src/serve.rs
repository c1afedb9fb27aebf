//! The process around keeper, journal and reporter: askers, threads, commands.

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
use daemon::Counters;
use ipc::control::{Reply, Request};
use ipc::master::Peer;
use ipc::tlspolicy::{Ask, PolicyKind, StsPolicy, TlsResult, Told};
use sandbox::{AUTHORITIES, Folder, Granted, Needs};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use subdaemon::{Asker, Desk, Service};

/// While somebody waits for a policy, patience is looked at so often; counts are written, and policies looked through.
const GLANCE: Duration = Duration::from_millis(250);
const WRITE: Duration = Duration::from_secs(10);
const LOOK_THROUGH: Duration = Duration::from_secs(60);
/// Longer than the resolver itself takes for an answer.
const MARGIN: Duration = Duration::from_secs(2);

struct Server {
    counters: Counters,
    keeper: Keeper,
    shelf: Shelf,
    journal: Journal,
    reporter: Reporter,
    /// Results are counted for reports.
    reporting: bool,
    pool: Pool,
    /// What it may read in its sandbox.
    granted: Vec<Granted>,
    results: Receiver<Done>,
    /// Of this turn.
    answers: Vec<(Asker, Told)>,
    written: Instant,
    looked_through: Instant,
    glanced: Instant,
}

/// Runs the service until it is drained or orphaned.
pub fn run() -> ExitCode {
    subdaemon::run("tlspolicy", Server::new)
}

fn now() -> Now {
    Now { at: Instant::now(), unix: daemon::clock::unix_seconds() }
}

fn tools(settings: &Arc<settings::Settings>, names: Arc<Names>, outbox: Arc<Mutex<Outbox>>) -> io::Result<Tools> {
    let fetcher = Fetcher::new(Arc::clone(&names), settings.tls.roots.as_deref(), settings.sts.port, LIMIT).map_err(io::Error::other)?;
    Ok(Tools { names, fetcher, settings: Arc::clone(settings), outbox })
}

/// The authorities that HTTPS servers are held against: read at each reload.
fn granted(settings: &settings::Settings) -> Vec<Granted> {
    match &settings.tls.roots {
        Some(file) => Granted::all([file.clone()]),
        None => Granted::all(AUTHORITIES.iter().map(PathBuf::from)),
    }
}

/// From here on no file can be opened but those of its own folder and the authorities, mail put into the spool and not read
/// there, nothing executed; connections can be made.
fn confine(wish: settings::Sandbox, granted: &[Granted], made: [(PathBuf, Folder); 3]) -> io::Result<()> {
    let folders: Vec<(PathBuf, Folder)> = Granted::folders(granted).into_iter().chain(made).collect();
    sandbox::confine(wish, &Needs { folders: &folders, ..Needs::client() })
}

impl Server {
    fn new(desk: &mut Desk<Told>) -> io::Result<Self> {
        let waker = desk.waker();
        let started = &mut desk.started;
        let caller = started.contacts.caller("resolver").ok_or_else(|| io::Error::other("the suite runs without a resolver"))?;
        let names = Arc::new(Names::new(caller, started.settings.dns.deadline + MARGIN));
        let folder = started.settings.paths.postoffice.join("tlspolicy");
        let shelf = Shelf::open(&folder.join("policies"))?;
        let keeper = Keeper::new(shelf.read_all(now().unix)?);
        let journal = Journal::open(&folder.join("results"))?;
        let reporter = Reporter::new(&journal, RandomState::new().hash_one(&started.settings.identity.hostname), now().unix);
        let (sender, results) = channel();
        let outbox = Outbox::open(&started.settings)?;
        let granted = granted(&started.settings);
        let mails = &outbox.folders;
        let made = [(folder, Folder::Make), (mails[0].clone(), Folder::Make), (mails[1].clone(), Folder::Place)];
        let tools = tools(&started.settings, names, Arc::new(Mutex::new(outbox)))?;
        confine(started.settings.processes.sandbox, &granted, made)?;
        let pool = Pool::start(tools, &sender, move || drop(waker.wake()))?;
        daemon::event!(Info, "started", policies = keeper.policies());
        started.counters.set("policies_now", keeper.policies() as u64);
        let at = Instant::now();
        Ok(Self {
            counters: started.counters.clone(),
            keeper,
            shelf,
            journal,
            reporter,
            reporting: started.settings.tls_report.enabled,
            pool,
            granted,
            results,
            answers: Vec::new(),
            written: at,
            looked_through: at,
            glanced: at,
        })
    }

    /// What time brings.
    fn tend(&mut self) {
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
            self.counters.set("policies_now", self.keeper.policies() as u64);
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

    fn answer(&mut self, (asker, number): (usize, u64), policy: Option<StsPolicy>) {
        self.counters.add("answered", u64::from(policy.is_some()));
        self.answers.push((Asker::numbered(asker), Told { number, policy }));
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
        let counters = &self.counters;
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
                self.counters.add("reports", 1);
                for (id, to) in mails {
                    daemon::event!(Info, "report_sent", domain = domain, new = id, to = to);
                }
                for host in posts {
                    daemon::event!(Info, "report_posted", domain = domain, host = host);
                }
            }
            Sent::NotWanted => {}
            Sent::Failed(reason) => {
                self.counters.add("report_failures", 1);
                daemon::event!(Warning, "report_failed", domain = domain, reason = reason);
            }
        }
    }

    fn count(&mut self, result: TlsResult) {
        if !self.reporting {
            return;
        }
        self.counters.add("results", 1);
        let now = now().unix;
        let counted = clean(result).is_some_and(|mut result| {
            // The text of the policy is ours to know: an asker has only what is left of its time.
            if let Some(lines) = self.keeper.lines(&result.domain, now).filter(|_| result.kind == PolicyKind::Sts) {
                result.policy = lines;
            }
            self.journal.add(now / DAY, result)
        });
        self.counters.add("dropped", u64::from(!counted));
    }

    fn ask(&mut self, asker: (usize, u64), domain: &str) {
        self.counters.add("questions", 1);
        match address::normalise(domain).ok().filter(|domain| crate::shelf::is_name(domain)) {
            Some(domain) => {
                let actions = self.keeper.ask(&domain, asker, now());
                self.act(actions);
            }
            // An address literal, say.
            None => self.answer(asker, None),
        }
    }
}

impl Service for Server {
    type In = Ask;
    type Out = Told;

    fn heed(&mut self, asker: Asker, frame: Ask, desk: &mut Desk<Told>) {
        match frame {
            Ask::Policy { number, domain } => self.ask((asker.number(), number), &domain),
            Ask::Results(results) => results.into_iter().for_each(|result| self.count(result)),
        }
        self.say(desk);
    }

    fn work(&mut self, _now: Instant, desk: &mut Desk<Told>) {
        self.take_results();
        self.tend();
        self.say(desk);
    }

    fn wake(&self) -> Option<Instant> {
        Some(Instant::now() + if self.keeper.waited_for() { GLANCE } else { WRITE })
    }

    fn reload(&mut self, _contacts: daemon::Contacts, desk: &mut Desk<Told>) -> Result<(), String> {
        let settings = &desk.started.settings;
        self.reporting = settings.tls_report.enabled;
        if !Granted::covers(&self.granted, &granted(settings)) {
            // Its successor may read them.
            desk.retire();
            return Ok(());
        }
        let former = self.pool.tools();
        self.pool.replace(tools(settings, Arc::clone(&former.names), Arc::clone(&former.outbox)).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn command(&mut self, request: &Request, _peer: &Peer, _desk: &mut Desk<Told>) -> Vec<Reply> {
        vec![match request {
            Request::TlsReports if !self.reporting => Reply::Refused { code: 78, reason: "[tls_report] enabled is false".to_owned() },
            Request::TlsReports => {
                let number = self.report(now().unix, true);
                Reply::Done(format!("reports on {number} domains are on their way, where they ask for them; see the log"))
            }
            _ => Reply::Refused { code: 70, reason: "tlspolicy knows no such command".to_owned() },
        }]
    }

    fn end(&mut self, _desk: &mut Desk<Told>) {
        heed(self.journal.write());
    }
}

impl Server {
    fn say(&mut self, desk: &mut Desk<Told>) {
        self.answers.drain(..).for_each(|(asker, told)| desk.answer(asker, told));
    }
}
