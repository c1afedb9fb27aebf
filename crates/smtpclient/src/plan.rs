//! What has been found out, for one job, about the TLS of the hosts it may go to.

use crate::security::{Assurance, Dane, Demand, Facts, assure};
use ipc::dns::{Answer, MailHosts, Question, Tlsa, Trouble};
use ipc::tlspolicy::{StsMode, StsPolicy};
use nexthop::Candidate;
use smtp::client::Verdict;
use std::collections::VecDeque;
use std::sync::Arc;
use tls::client::Record;

/// TLSA records of one host that are looked at; more is a flood.
const MOST_RECORDS: usize = 64;

/// What is still to be asked, and what was answered.
#[derive(Debug, Default)]
pub struct Plan {
    /// The domain whose exchangers they are: MTA-STS policies and reports are about it.
    pub domain: Option<String>,
    hosts: Vec<Host>,
    /// `None`: not asked.
    sts: Option<Option<Arc<StsPolicy>>>,
}

#[derive(Debug)]
struct Host {
    name: String,
    port: u16,
    /// `None`: to be asked.
    dane: Option<Dane>,
}

/// The next question.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Tlsa(Question),
    Sts(String),
    Connect,
}

impl Plan {
    /// For the exchangers of a domain. TLSA records count only where the MX records and the host's addresses are proven
    /// (RFC 7672 section 2.2). `tries` hosts are asked for; a proven one beyond them is not known to have none, so it is
    /// not connected to: whoever keeps the answers about the first hosts back would else choose a host without DANE.
    pub fn of_domain(domain: &str, found: &MailHosts, candidates: &VecDeque<Candidate>, demand: Demand, tries: u32) -> Self {
        let mut hosts = Vec::new();
        for candidate in candidates {
            let Candidate::Network { name, address } = candidate else { continue };
            if hosts.iter().any(|host: &Host| host.name == *name) {
                continue;
            }
            let proven = found.secure && found.hosts.iter().any(|host| host.secure && host.name == *name);
            let dane = match proven && demand.wants_dane() {
                true if hosts.len() >= tries as usize => Some(Dane::Unknown("it is one host too many to be asked for".to_owned())),
                true => None,
                false => Some(Dane::Absent),
            };
            hosts.push(Host { name: name.clone(), port: address.port(), dane });
        }
        Self { domain: Some(domain.to_owned()), hosts, sts: if demand.wants_sts() { None } else { Some(None) } }
    }

    /// For a host named itself.
    pub fn of_host(name: &str, port: u16) -> Self {
        Self { domain: None, hosts: vec![Host { name: name.to_owned(), port, dane: None }], sts: Some(None) }
    }

    pub fn step(&self) -> Step {
        if let Some(host) = self.hosts.iter().find(|host| host.dane.is_none()) {
            return Step::Tlsa(Question::Tlsa { host: host.name.clone(), port: host.port });
        }
        match (&self.sts, &self.domain) {
            (None, Some(domain)) if self.hosts.iter().any(|host| host.dane == Some(Dane::Absent)) => Step::Sts(domain.clone()),
            _ => Step::Connect,
        }
    }

    /// The answer to [`Step::Tlsa`].
    pub fn tlsa(&mut self, name: &str, answer: Result<Answer, Trouble>) {
        let dane = match answer {
            Ok(Answer::Tlsa(records)) if records.is_empty() => Dane::Absent,
            Ok(Answer::Tlsa(records)) => Dane::Records(records.into_iter().take(MOST_RECORDS).map(record).collect()),
            Ok(_) => Dane::Unknown("the resolver answered another question".to_owned()),
            Err(Trouble::Temporary(why)) => Dane::Unknown(why),
            Err(_) => Dane::Absent,
        };
        if let Some(host) = self.hosts.iter_mut().find(|host| host.dane.is_none() && host.name == name) {
            host.dane = Some(dane);
        }
    }

    /// The answer to [`Step::Sts`].
    pub fn policy(&mut self, policy: Option<StsPolicy>) {
        self.sts = Some(policy.map(Arc::new));
    }

    pub fn sts(&self) -> Option<&StsPolicy> {
        self.sts.as_ref()?.as_deref().filter(|policy| policy.mode != StsMode::None)
    }

    fn dane(&self, name: &str) -> Option<&Dane> {
        self.hosts.iter().find(|host| host.name == name)?.dane.as_ref()
    }

    pub fn records(&self, name: &str) -> &[Record] {
        if let Some(Dane::Records(records)) = self.dane(name) { records } else { &[] }
    }
}

/// What a session with `host` must have; without a plan nothing was asked, and nothing published counts.
pub fn assurance(plan: Option<&Plan>, demand: Demand, host: &str, names: &[String]) -> Result<Assurance, Verdict> {
    let dane = plan.and_then(|plan| plan.dane(host)).unwrap_or(&Dane::Absent);
    let domain = plan.and_then(|plan| plan.domain.as_deref());
    assure(demand, &Facts { host, domain, dane, sts: plan.and_then(Plan::sts), names })
}

fn record(tlsa: Tlsa) -> Record {
    Record { usage: tlsa.usage, selector: tlsa.selector, matching: tlsa.matching, data: tlsa.data }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use envelope::TlsTerms;
    use ipc::dns::MailHost;
    use settings::TlsPolicy;

    #[test]
    fn a_host_that_is_not_asked_for_is_not_taken_for_one_without_dane() {
        let host =
            |name: &str, secure| MailHost { preference: 1, name: name.into(), addresses: vec!["192.0.2.1".parse().unwrap()], secure };
        let found = MailHosts { hosts: vec![host("a", true), host("b", true), host("c", false)], secure: true };
        let candidate = |host: &MailHost| Candidate::Network { name: host.name.clone(), address: "192.0.2.1:25".parse().unwrap() };
        let candidates = found.hosts.iter().map(candidate).collect();
        let demand = Demand { policy: TlsPolicy::Dane, terms: TlsTerms::Usual };
        let mut plan = Plan::of_domain("example.org", &found, &candidates, demand, 1);
        assert_eq!(plan.step(), Step::Tlsa(Question::Tlsa { host: "a".into(), port: 25 }));
        plan.tlsa("a", Err(Trouble::Temporary("no answer".into())));
        assert_eq!(plan.step(), Step::Connect);
        let rule =
            |name: &str| assurance(Some(&plan), demand, name, &[]).map(|assurance| assurance.rule).map_err(|verdict| verdict.outcome);
        assert_eq!([rule("a"), rule("b"), rule("c")], [Err(status::Outcome::Deferred), Err(status::Outcome::Deferred), Ok("may")]);
    }
}
