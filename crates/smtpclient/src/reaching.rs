//! From a job's host field to a connection: destination, lookup, addresses in turn.

use crate::dialling::{Dialled, Failure, dial};
use crate::egress::Way;
use crate::lookups;
use crate::secured::{Security, plan_host};
use crate::security::Assurance;
use crate::session::Session;
use crate::work::Work;
use crate::worker::Worker;
use envelope::TlsTerms;
use ipc::dns::{Answer, Question, Trouble};
use nexthop::{Candidate, Dead, Destination};
use smtp::client::Verdict;
use status::{Enhanced, Phase};
use std::collections::VecDeque;
use std::io;

impl Worker {
    pub(crate) fn locate(&mut self, mut work: Box<Work>) {
        if work.way.logs_in()
            && let Err(why) = self.egress.login(work.way)
        {
            return self.dead(work, Phase::Connect, Verdict::deferred(Enhanced::transient(7, 8), why));
        }
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
                let found = nexthop::host(&name, &[address.ip()], address.port(), &self.ourselves);
                return self.found(work, found);
            }
            Ok(Destination::Exchangers { domain, port }) => (Question::MailHosts { domain, validate: self.validates(&work) }, port),
            Ok(Destination::Host { name, port }) => (Question::Addresses { host: name }, port),
        };
        if let Err((work, verdict)) = self.lookups.ask(work, question, port, &self.registry, self.resolver_token) {
            self.dead(work, Phase::Lookup, verdict);
        }
        self.sweep_by(self.lookups.next_deadline());
    }

    /// Whether the answer must be proven: also where a clause may ask for DANE once the exchangers are known.
    fn validates(&self, work: &Work) -> bool {
        let demand = work.tls.demand;
        demand.wants_dane() || (self.policies.look_at_exchangers() && demand.terms != TlsTerms::Optional)
    }

    /// The resolver's event.
    pub fn resolver_ready(&mut self) {
        let answered = self.lookups.receive(&self.registry, self.resolver_token);
        self.answered(answered);
    }

    pub(crate) fn answered(&mut self, answered: Vec<lookups::Answered>) {
        for (mut waiting, answer) in answered {
            if let Question::Tlsa { host, .. } = &waiting.question {
                if let Some(plan) = &mut waiting.work.tls.plan {
                    plan.tlsa(host, answer);
                }
                self.advance(waiting.work);
                continue;
            }
            let (name, port) = (question_name(&waiting.question), waiting.port);
            let trouble = match answer {
                Ok(Answer::MailHosts(hosts)) => {
                    let found = nexthop::exchangers(&hosts.hosts, port, &self.ourselves);
                    self.plan_domain(&mut waiting.work, name, &hosts, &found);
                    self.found(waiting.work, found);
                    continue;
                }
                Ok(Answer::Addresses(ips)) => {
                    let found = nexthop::host(name, &ips, port, &self.ourselves);
                    plan_host(&mut waiting.work, name, port);
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
                return self.advance(work);
            }
            Err(Dead::Loop) => Verdict::failed(Enhanced::permanent(4, 6), format!("mail for {} loops back to this host", work.host)),
            Err(Dead::NoAddress) => Verdict::deferred(Enhanced::transient(4, 4), format!("no mail host of {} has an address", work.host)),
        };
        self.dead(work, Phase::Lookup, verdict);
    }

    /// Connects to the next address that lets itself be tried.
    pub(crate) fn connect(&mut self, mut work: Box<Work>) {
        while work.tries > 0
            && let Some(candidate) = work.candidates.pop_front()
        {
            let Some(assurance) = self.assurance(&mut work, &candidate) else { continue };
            work = match self.share(work, &candidate, &assurance) {
                Some(work) => work,
                None => return,
            };
            self.make_room();
            self.counters.add("connections", 1);
            let remote = candidate.to_string();
            match self.open(candidate, assurance, work) {
                Ok(()) => return,
                Err((back, e)) => {
                    work = back;
                    self.unconnected(&mut work, &remote, &e);
                }
            }
        }
        self.unreached(work);
    }

    fn open(&mut self, candidate: Candidate, assurance: Assurance, mut work: Box<Work>) -> Result<(), (Box<Work>, io::Error)> {
        let dialled = match self.dial(&candidate, work.way) {
            Ok(dialled) => dialled,
            Err(e) => return Err((work, e)),
        };
        work.tries -= 1;
        let (way, chunks) = (work.way, self.chunks_for(&work.host));
        let token = self.next_token;
        self.next_token += 1;
        let security = Security::new(assurance, work.tls.asked, self.tls.handshake_timeout);
        let mut session = Session::new(token, dialled, candidate, security, work, &self.client.hello, self.now);
        session.client.set_chunking(chunks);
        if let Ok(Some(login)) = self.egress.login(way) {
            session.client.set_login(login);
        }
        if let Err(e) = session.register(&self.registry) {
            let mut work = session.work.take();
            if let Some(work) = &mut work {
                work.transaction = session.client.take_transaction();
            }
            return work.map_or(Ok(()), |work| Err((work, e)));
        }
        session.next_attempt = self.next_attempt(&session);
        self.keep(session);
        Ok(())
    }

    /// Begins a connection from the next address of the way that can be used.
    pub(crate) fn dial(&mut self, candidate: &Candidate, way: Way) -> io::Result<Dialled> {
        let Candidate::Network { address, .. } = candidate else { return unwrapped(dial(candidate, None)) };
        loop {
            let Some(exit) = self.egress.exit(way, address.ip(), self.now).map_err(io::Error::other)? else {
                return unwrapped(dial(candidate, None));
            };
            match dial(candidate, Some(exit)) {
                Err(Failure::Unbound(e)) => exit.suspend(&e, self.now),
                dialled => return unwrapped(dialled),
            }
        }
    }

    pub(crate) fn unconnected(&self, work: &mut Work, remote: &str, error: &io::Error) {
        self.counters.add("connect_failures", 1);
        let verdict = Verdict::deferred(Enhanced::transient(4, 1), format!("cannot connect: {error}"));
        work.trouble(Phase::Connect, verdict, remote.to_owned());
    }
}

fn unwrapped(dialled: Result<Dialled, Failure>) -> io::Result<Dialled> {
    dialled.map_err(|(Failure::Unbound(e) | Failure::Unconnected(e))| e)
}

fn question_name(question: &Question) -> &str {
    match question {
        Question::MailHosts { domain, .. } => domain,
        Question::Addresses { host } => host,
        _ => "",
    }
}
