//! The evaluation of records (RFC 7208 sections 4 to 6).

use crate::domain_spec::MacroString;
use crate::expand::Subject;
use crate::record::{Hosts, Mechanism, Record, terms};
use crate::{Family, Names, explain, is_domain};
use ipc::dns::{SpfResult, Trouble};
use std::net::IpAddr;

/// Section 4.6.4: terms that need DNS, in all records of a check together.
const MOST_TERMS: u8 = 10;
/// Look-ups of terms that find nothing.
const MOST_VOID: u8 = 2;
/// Mail hosts of one `mx`, and names of the client.
const MOST_HOSTS: usize = 10;

pub struct Check<'a, N> {
    names: &'a N,
    subject: Subject,
    terms: u8,
    void: u8,
}

/// A check that ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Temporary,
    Permanent,
}

/// The result of a domain's record, and for a failure where its explanation is.
#[derive(Debug)]
struct Verdict {
    result: SpfResult,
    explanation: Option<(MacroString, String)>,
}

impl Verdict {
    const fn bare(result: SpfResult) -> Self {
        Self { result, explanation: None }
    }
}

impl<'a, N: Names> Check<'a, N> {
    pub const fn new(names: &'a N, subject: Subject) -> Self {
        Self { names, subject, terms: 0, void: 0 }
    }

    /// The result for a domain, with the text for a failure.
    pub async fn run(mut self, domain: &str) -> (SpfResult, String) {
        match self.host(domain).await {
            Err(Stop::Temporary) => (SpfResult::TempError, String::new()),
            Err(Stop::Permanent) => (SpfResult::PermError, String::new()),
            Ok(Verdict { result, explanation: Some((spec, domain)) }) => {
                self.prove_name(&spec, &domain).await;
                let name = spec.name(&self.subject, &domain);
                let records = self.names.texts(name).await.unwrap_or_default();
                if records.iter().any(|text| text.contains("%{p") || text.contains("%{P")) {
                    self.look_for_name(&domain).await;
                }
                (result, explain::text(&records, &self.subject, &domain))
            }
            Ok(Verdict { result, explanation: None }) => (result, String::new()),
        }
    }

    /// `check_host()` of one domain.
    async fn host(&mut self, domain: &str) -> Result<Verdict, Stop> {
        if !is_domain(domain) {
            return Ok(Verdict::bare(SpfResult::None));
        }
        let texts = match self.names.texts(domain.to_owned()).await {
            Ok(texts) => texts,
            Err(Trouble::Temporary(_)) => return Err(Stop::Temporary),
            Err(_) => return Ok(Verdict::bare(SpfResult::None)),
        };
        let mut records = texts.iter().filter_map(|text| terms(text));
        let Some(record) = records.next() else { return Ok(Verdict::bare(SpfResult::None)) };
        if records.next().is_some() {
            return Err(Stop::Permanent);
        }
        let record = Record::read(record).map_err(|_| Stop::Permanent)?;
        self.record(record, domain).await
    }

    async fn record(&mut self, record: Record, domain: &str) -> Result<Verdict, Stop> {
        for (result, mechanism) in &record.directives {
            if self.matches(mechanism, domain).await? {
                let explanation = record.explanation.filter(|_| *result == SpfResult::Fail).map(|spec| (spec, domain.to_owned()));
                return Ok(Verdict { result: *result, explanation });
            }
        }
        let Some(redirect) = &record.redirect else { return Ok(Verdict::bare(SpfResult::Neutral)) };
        self.count_term()?;
        let target = self.name(redirect, domain).await;
        match Box::pin(self.host(&target)).await? {
            // Section 6.1.
            Verdict { result: SpfResult::None, .. } => Err(Stop::Permanent),
            verdict => Ok(verdict),
        }
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Stop> {
        match mechanism {
            Mechanism::All => return Ok(true),
            Mechanism::Network(network, bits) => return Ok(within(self.subject.address, *network, *bits)),
            _ => self.count_term()?,
        }
        match mechanism {
            Mechanism::Include(spec) => {
                let target = self.name(spec, domain).await;
                match Box::pin(self.host(&target)).await?.result {
                    SpfResult::Pass => Ok(true),
                    SpfResult::None => Err(Stop::Permanent),
                    _ => Ok(false),
                }
            }
            Mechanism::A(hosts) => {
                let target = self.target(hosts.domain.as_ref(), domain).await;
                let found = self.names.addresses(target, self.family()).await;
                Ok(self.found(found)?.into_iter().any(|address| self.is_host(hosts, address)))
            }
            Mechanism::Mx(hosts) => self.mail_hosts(hosts, domain).await,
            Mechanism::Ptr(spec) => {
                let target = self.target(spec.as_ref(), domain).await;
                Ok(self.proven_names().await?.iter().any(|name| is_below(name, &target)))
            }
            Mechanism::Exists(spec) => {
                let target = self.name(spec, domain).await;
                // Section 5.7: A records, whatever the client's address.
                let found = self.names.addresses(target, Family::V4).await;
                Ok(!self.found(found)?.is_empty())
            }
            Mechanism::All | Mechanism::Network(..) => Ok(true),
        }
    }

    async fn mail_hosts(&mut self, hosts: &Hosts, domain: &str) -> Result<bool, Stop> {
        let target = self.target(hosts.domain.as_ref(), domain).await;
        let found = self.names.exchanges(target).await;
        for (number, name) in self.found(found)?.into_iter().enumerate() {
            if number >= MOST_HOSTS {
                return Err(Stop::Permanent);
            }
            let found = match self.names.addresses(name, self.family()).await {
                // A host with addresses of the other kind only is nothing odd, and ever more common.
                Err(Trouble::NoRecords) => Vec::new(),
                found => self.found(found)?,
            };
            if found.into_iter().any(|address| self.is_host(hosts, address)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count_term(&mut self) -> Result<(), Stop> {
        self.terms = self.terms.saturating_add(1);
        if self.terms > MOST_TERMS { Err(Stop::Permanent) } else { Ok(()) }
    }

    /// What a term found, nothing included as long as that is not too often.
    fn found<T>(&mut self, answer: Result<Vec<T>, Trouble>) -> Result<Vec<T>, Stop> {
        match answer {
            Ok(list) if !list.is_empty() => Ok(list),
            Err(Trouble::Temporary(_)) => Err(Stop::Temporary),
            // No question was asked (section 4.8).
            Err(Trouble::Invalid) => Ok(Vec::new()),
            Ok(_) | Err(_) => {
                self.void = self.void.saturating_add(1);
                if self.void > MOST_VOID { Err(Stop::Permanent) } else { Ok(Vec::new()) }
            }
        }
    }

    async fn target(&mut self, spec: Option<&MacroString>, domain: &str) -> String {
        match spec {
            Some(spec) => self.name(spec, domain).await,
            None => domain.to_owned(),
        }
    }

    async fn name(&mut self, spec: &MacroString, domain: &str) -> String {
        self.prove_name(spec, domain).await;
        spec.name(&self.subject, domain)
    }

    /// Looks `%{p}` up where it is used.
    async fn prove_name(&mut self, spec: &MacroString, domain: &str) {
        if spec.wants_proven_name() {
            self.look_for_name(domain).await;
        }
    }

    /// Section 7.3: the domain itself, else one below it, else any.
    async fn look_for_name(&mut self, domain: &str) {
        if self.subject.proven.is_none() {
            let names = self.proven_names().await.unwrap_or_default();
            let best = names.iter().find(|name| *name == domain).or_else(|| names.iter().find(|name| is_below(name, domain)));
            self.subject.proven = Some(best.or(names.first()).cloned().unwrap_or_else(|| "unknown".to_owned()));
        }
    }

    /// Section 5.5: names of the client that have its address. Trouble means there are none.
    async fn proven_names(&mut self) -> Result<Vec<String>, Stop> {
        let found = match self.names.pointers(self.subject.address).await {
            Err(Trouble::Temporary(_)) => return Ok(Vec::new()),
            found => self.found(found)?,
        };
        let mut proven = Vec::new();
        for name in found.into_iter().take(MOST_HOSTS) {
            let addresses = self.names.addresses(name.clone(), self.family()).await.unwrap_or_default();
            if addresses.iter().any(|address| address.to_canonical() == self.subject.address) {
                proven.push(name);
            }
        }
        Ok(proven)
    }

    const fn family(&self) -> Family {
        if self.subject.address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    fn is_host(&self, hosts: &Hosts, address: IpAddr) -> bool {
        within(self.subject.address, address, if address.is_ipv4() { hosts.bits4 } else { hosts.bits6 })
    }
}

/// The name, or one below it.
fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// An address of a network; never of one of the other kind.
fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differing = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(bits)
}
