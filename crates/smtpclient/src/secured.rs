//! TLS of sessions: what they are made with, what came of the handshake, and what is done when none comes about.

use crate::plan::{Plan, Step, assurance};
use crate::results;
use crate::security::{Assurance, Demand, Proof, Reached};
use crate::session::{Session, Turn};
use crate::work::Work;
use crate::worker::Worker;
use crate::{keeper, plan};
use envelope::TlsTerms;
use ipc::dns::{MailHosts, Trouble};
use nexthop::{Candidate, Dead};
use settings::{Place, TlsPolicy};
use signing::Keyholder;
use smtp::client::{StartTls, Verdict};
use status::{Enhanced, Phase};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tls::client::{Connector, Failure, RootCertStore, Standing, Summary};
use tls::keys::RemoteSigner;

/// How long a host whose TLS is broken gets plain text without another try, where the policy allows it.
const PLAIN_FOR: Duration = Duration::from_secs(600);
/// Such hosts remembered.
const MOST_PLAIN: usize = 1000;
/// Longest file of roots.
const MOST_ROOTS: u64 = 16 * 1024 * 1024;

/// The TLS of one session.
#[derive(Debug)]
pub struct Security {
    pub assurance: Assurance,
    pub reached: Reached,
    /// The handshake is being made.
    pub shaking: bool,
    /// For the reply to STARTTLS and the handshake.
    pub patience: Duration,
    /// For the log; empty: none.
    pub text: String,
}

impl Security {
    pub fn new(assurance: Assurance, demand: Demand, patience: Duration) -> Self {
        let reached = Reached { demand, encrypted: false, proof: Proof::None };
        Self { assurance, reached, shaking: false, patience, text: String::new() }
    }

    pub fn made(&mut self, summary: &Summary) {
        self.shaking = false;
        self.reached.encrypted = true;
        let verified = summary.standing == Standing::Verified;
        if verified {
            self.reached.proof = self.assurance.proof;
        }
        let (word, resumed) = (if verified { "verified" } else { "unverified" }, if summary.resumed { " resumed" } else { "" });
        self.text = format!("{} {} {} {word}{resumed}", summary.version, summary.cipher, self.assurance.rule);
    }
}

/// Reads the roots, and the certificate of our own from what the master handed over; the keyholder signs for it. Called
/// once, at start.
pub fn connector(tls: &settings::Tls, identity: Option<OwnedFd>, keyholder: Keyholder) -> Result<Connector, String> {
    let roots = match &tls.roots {
        Some(path) => {
            let mut text = Vec::new();
            let read = File::open(path).and_then(|file| file.take(MOST_ROOTS).read_to_end(&mut text));
            read.map_err(|e| format!("{}: {e}", path.display()))?;
            tls::client::roots(&text).map_err(|e| format!("{}: {e}", path.display()))?
        }
        None => {
            let mut roots = RootCertStore::empty();
            let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let pair = match identity {
        Some(memory) => {
            let signer: Arc<dyn RemoteSigner> = Arc::new(keyholder);
            let chain = daemon::read_memory(memory).map_err(|e| e.to_string())?;
            tls::chains(&chain, &signer).map_err(|e| e.to_string())?.into_iter().next()
        }
        None => None,
    };
    Ok(Connector::new(roots, pair.map(|pair| pair.certified())))
}

/// TLSA records of a host that was named itself: where they were asked for by name, not for every smart host.
pub fn plan_host(work: &mut Work, name: &str, port: u16) {
    let demand = work.tls.demand;
    if demand.wants_dane() && (demand.policy == TlsPolicy::Dane || demand.terms == TlsTerms::Required) {
        work.tls.plan = Some(Box::new(Plan::of_host(name, port)));
    }
}

impl Worker {
    /// What the destination's policy and the sender ask for.
    pub(crate) fn demand(&self, work: &mut Work) {
        let place = Place { channel: &work.channel, host: &work.host, exchangers: &[] };
        work.tls.asked.policy = self.policies.tls(&place);
        work.tls.demand = work.tls.asked;
        if work.tls.demand.policy == TlsPolicy::Verify {
            work.tls.names = self.policies.of(&place).tls_names;
        }
    }

    /// The exchangers are known: clauses may look at the best of them, and what they publish is to be found out.
    pub(crate) fn plan_domain(&self, work: &mut Work, domain: &str, found: &MailHosts, candidates: &Result<VecDeque<Candidate>, Dead>) {
        if self.policies.look_at_exchangers() {
            let best = found.hosts.iter().map(|host| host.preference).min();
            let names: Vec<String> = found.hosts.iter().filter(|h| Some(h.preference) == best).map(|h| h.name.clone()).collect();
            let policy = self.policies.of(&Place { channel: &work.channel, host: &work.host, exchangers: &names });
            work.tls.demand.policy = policy.tls;
            work.tls.names = policy.tls_names;
        }
        if let (true, Ok(candidates)) = (work.tls.demand.wants_dane(), candidates) {
            work.tls.plan = Some(Box::new(Plan::of_domain(domain, found, candidates, work.tls.demand, self.client.hosts)));
        }
    }

    /// Asks what is still to be known about the hosts, then connects.
    pub(crate) fn advance(&mut self, mut work: Box<Work>) {
        loop {
            match work.tls.plan.as_ref().map_or(Step::Connect, |plan| plan.step()) {
                Step::Connect => return self.connect(work),
                Step::Tlsa(question) => {
                    let host = if let ipc::dns::Question::Tlsa { host, .. } = &question { host.clone() } else { String::new() };
                    match self.lookups.ask(work, question, 0, &self.registry, self.resolver_token) {
                        Ok(()) => return self.sweep_by(self.lookups.next_deadline()),
                        Err((back, verdict)) => {
                            work = back;
                            let answer = Err(Trouble::Temporary(verdict.text));
                            work.tls.plan.iter_mut().for_each(|plan| plan.tlsa(&host, answer.clone()));
                        }
                    }
                }
                Step::Sts(domain) => match self.keeper.ask(work, domain, &self.registry, self.now) {
                    Ok(()) => return self.sweep_by(self.keeper.next_deadline()),
                    Err(back) => {
                        work = back;
                        work.tls.plan.iter_mut().for_each(|plan| plan.policy(None));
                    }
                },
            }
        }
    }

    /// The keeper's event.
    pub fn keeper_ready(&mut self) {
        let answered = self.keeper.receive(&self.registry);
        self.told(answered);
    }

    pub(crate) fn told(&mut self, answered: Vec<keeper::Answered>) {
        for (mut work, policy) in answered {
            if let Some(plan) = &mut work.tls.plan {
                plan.policy(policy);
            }
            self.advance(work);
        }
    }

    /// What a session with the candidate must have; `None`: there must be none, and the job knows why.
    pub(crate) fn assurance(&mut self, work: &mut Work, candidate: &Candidate) -> Option<Assurance> {
        let Candidate::Network { name, .. } = candidate else {
            // A socket of this host: nobody between.
            let demand = Demand { policy: TlsPolicy::None, terms: TlsTerms::Usual };
            return plan::assurance(None, demand, "", &[]).ok();
        };
        match assurance(work.tls.plan.as_deref(), work.tls.demand, name, &work.tls.names) {
            Ok(mut assurance) => {
                let plain = assurance.starttls == StartTls::WhenOffered && !self.plain.is_empty();
                if plain && self.plain.get(name).is_some_and(|until| *until > self.now) {
                    assurance.starttls = StartTls::Never;
                }
                Some(assurance)
            }
            Err(verdict) => {
                let result = work.tls.plan.as_deref().and_then(|plan| results::forbidden(plan, name, &verdict.text));
                result.into_iter().for_each(|result| self.keeper.note(result));
                work.trouble(Phase::Connect, verdict, candidate.to_string());
                None
            }
        }
    }

    pub(crate) fn begin_tls(&mut self, session: &mut Session) -> Turn {
        let Candidate::Network { name, .. } = &session.candidate else {
            return Turn::TlsFailed(Failure::broken("TLS was not asked for"));
        };
        match self.connector.session(name, &session.security.assurance.requirement, self.now) {
            Ok(tls) => session.begin_tls(tls),
            Err(failure) => Turn::TlsFailed(failure),
        }
    }

    /// The handshake of a session is done.
    pub(crate) fn secured(&mut self, session: &Session, summary: &Summary) {
        self.counters.add("tls_sessions", 1);
        if summary.resumed {
            self.counters.add("tls_resumed", 1);
        }
        if let Standing::Unverified(failure) = &summary.standing {
            daemon::event!(Debug, "tls", remote = session.remote, tls = session.security.text, text = failure);
        } else {
            daemon::event!(Debug, "tls", remote = session.remote, tls = session.security.text);
        }
        let trouble = if let Standing::Unverified(failure) = &summary.standing { Some(failure) } else { None };
        if let Some(result) = results::made(session, trouble) {
            self.keeper.note(result);
        }
    }

    /// No TLS with this host. Where nothing demands it the host gets the mail in plain text, else another is tried.
    pub(crate) fn tls_failed(&mut self, mut session: Session, failure: &Failure) {
        self.counters.add("tls_failures", 1);
        let assurance = &session.security.assurance;
        daemon::event!(Debug, "tls_failed", remote = session.remote, policy = assurance.rule, text = failure);
        if let Some(result) = results::failed(&session, failure.fault.result_type(), &failure.text) {
            self.keeper.note(result);
        }
        let text = format!("TLS failed, which the policy \"{}\" needs: {failure}", assurance.rule);
        let optional = assurance.starttls == StartTls::WhenOffered;
        let Some(mut work) = session.work.take() else { return };
        work.transaction = session.client.take_transaction();
        if optional && let Candidate::Network { name, .. } = &session.candidate {
            self.counters.add("tls_fallbacks", 1);
            self.remember_plain(name.clone());
            work.tries += 1;
            work.candidates.push_front(session.candidate.clone());
        } else {
            work.trouble(Phase::Connect, Verdict::deferred(Enhanced::transient(7, 5), text), session.remote.clone());
        }
        drop(session);
        self.connect(work);
    }

    fn remember_plain(&mut self, name: String) {
        let now = self.now;
        if self.plain.len() >= MOST_PLAIN {
            self.plain.retain(|_, until| *until > now);
        }
        if self.plain.len() >= MOST_PLAIN {
            self.plain.clear();
        }
        self.plain.insert(name, now + PLAIN_FOR);
    }

    /// A session in plain text because the server offered nothing else: told once.
    pub(crate) fn note_plain(&mut self, session: &Session) {
        if session.served == 0 && session.client.tls_withheld() {
            let result = results::failed(session, "starttls-not-supported", "the server does not offer STARTTLS");
            result.into_iter().for_each(|result| self.keeper.note(result));
        }
    }

    /// A session refused itself; where that is for want of TLS, says which policy wants it.
    pub(crate) fn withheld(&mut self, session: &Session, work: &Work, verdict: Verdict) -> Verdict {
        if !session.client.tls_withheld() || session.security.assurance.starttls != StartTls::Required {
            return verdict;
        }
        let plan = work.tls.plan.as_deref();
        if let Some(result) = plan.and_then(|plan| results::withheld(plan, session, &verdict.text)) {
            self.keeper.note(result);
        }
        let text = format!("{}; the policy \"{}\" needs TLS", verdict.text, session.security.assurance.rule);
        Verdict::deferred(verdict.status, text)
    }
}
