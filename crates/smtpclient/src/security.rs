//! How much TLS a job wants, what a host must therefore show, and which sessions may carry which jobs.

use envelope::TlsTerms;
use ipc::tlspolicy::{StsMode, StsPolicy};
use settings::TlsPolicy;
use smtp::client::{REQUIRETLS_NEEDED, StartTls, Verdict};
use status::Enhanced;
use tls::client::{Record, Requirement, any_usable, policy_host_matches};

/// What the destination's policy and the sender together ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Demand {
    pub policy: TlsPolicy,
    pub terms: TlsTerms,
}

/// By what a server has proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Proof {
    None,
    /// A certificate for a name that our configuration asks for.
    Names,
    Sts,
    Dane,
}

/// What a session was made for and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub demand: Demand,
    pub encrypted: bool,
    pub proof: Proof,
}

/// What a session with one host must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance {
    pub starttls: StartTls,
    pub requirement: Requirement,
    /// The rule it comes from, for the log.
    pub rule: &'static str,
    /// What the session proves once its handshake satisfied `requirement`.
    pub proof: Proof,
}

/// What DNS has said about a host's TLSA records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dane {
    /// There are none, or nothing proves them.
    #[default]
    Absent,
    Records(Vec<Record>),
    /// Not even whether there are any: to go on without would be what an attacker wants (RFC 7672 section 2.1.1).
    Unknown(String),
}

impl Demand {
    /// Whether TLSA records are to be asked for.
    pub fn wants_dane(self) -> bool {
        match self.terms {
            TlsTerms::Optional => false,
            TlsTerms::Usual => matches!(self.policy, TlsPolicy::Dane | TlsPolicy::Sts),
            TlsTerms::Required => self.policy != TlsPolicy::Verify,
        }
    }

    /// Whether the domain's MTA-STS policy is to be asked for.
    pub fn wants_sts(self) -> bool {
        self.wants_dane() && self.policy != TlsPolicy::Dane
    }
}

impl Reached {
    /// Whether a job with this demand may go over the session (a session of a weaker kind must never carry a stricter
    /// message). Two equal demands on one destination came to the same conclusion.
    pub fn satisfies(self, demand: Demand) -> bool {
        if demand == self.demand {
            return true;
        }
        match (demand.terms, demand.policy) {
            (TlsTerms::Required, _) => self.encrypted && self.proof > Proof::None,
            (TlsTerms::Optional, _) | (TlsTerms::Usual, TlsPolicy::None | TlsPolicy::May) => true,
            (TlsTerms::Usual, TlsPolicy::Encrypt) => self.encrypted,
            (TlsTerms::Usual, TlsPolicy::Verify) => self.encrypted && self.proof == Proof::Names,
            (TlsTerms::Usual, TlsPolicy::Dane) => self.encrypted && self.proof == Proof::Dane,
            (TlsTerms::Usual, TlsPolicy::Sts) => self.encrypted && self.proof >= Proof::Sts,
        }
    }
}

/// A host that is about to be connected to, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub host: &'a str,
    /// The domain whose exchanger it is; `None` for a host that was named itself.
    pub domain: Option<&'a str>,
    pub dane: &'a Dane,
    pub sts: Option<&'a StsPolicy>,
    /// `tls_names`.
    pub names: &'a [String],
}

/// What a session with the host must have; the error is why there must be none.
pub fn assure(demand: Demand, facts: &Facts<'_>) -> Result<Assurance, Verdict> {
    let assurance = match (demand.policy, demand.terms) {
        (TlsPolicy::None, TlsTerms::Usual | TlsTerms::Optional) => {
            Assurance { starttls: StartTls::Never, ..nothing("none", StartTls::Never, facts) }
        }
        (_, TlsTerms::Optional) | (TlsPolicy::May, TlsTerms::Usual) => nothing("may", StartTls::WhenOffered, facts),
        (TlsPolicy::Encrypt, TlsTerms::Usual) => nothing("encrypt", StartTls::Required, facts),
        (TlsPolicy::Verify, _) => {
            let names = if facts.names.is_empty() { vec![facts.host.to_owned()] } else { facts.names.to_vec() };
            named("verify", names, Proof::Names)
        }
        _ => published(facts)?,
    };
    // DANE without a usable record encrypts and proves nothing.
    if demand.terms == TlsTerms::Required && assurance.proof == Proof::None {
        let text = format!("REQUIRETLS support required: neither DANE nor MTA-STS vouches for {}", facts.host);
        return Err(Verdict::failed(REQUIRETLS_NEEDED, text));
    }
    Ok(assurance)
}

/// What the domain itself has published: DANE outweighs MTA-STS (RFC 8461 section 2).
fn published(facts: &Facts<'_>) -> Result<Assurance, Verdict> {
    match facts.dane {
        Dane::Unknown(why) => {
            let text = format!("the TLSA records of {} cannot be had, so its TLS cannot be judged: {why}", facts.host);
            return Err(Verdict::deferred(Enhanced::transient(7, 5), text));
        }
        Dane::Records(records) if any_usable(records) => {
            let names = [Some(facts.host), facts.domain].into_iter().flatten().map(str::to_owned).collect();
            let requirement = Requirement::Dane { records: records.clone(), names };
            return Ok(Assurance { starttls: StartTls::Required, requirement, rule: "dane", proof: Proof::Dane });
        }
        Dane::Records(_) => return Ok(nothing("dane", StartTls::Required, facts)),
        Dane::Absent => {}
    }
    match facts.sts {
        Some(policy) if policy.mode == StsMode::Enforce => {
            if !policy.hosts.iter().any(|pattern| policy_host_matches(pattern, facts.host)) {
                let domain = facts.domain.unwrap_or_default();
                let text = format!("{} is a mail exchanger of {domain}, but {domain}'s MTA-STS policy does not allow it", facts.host);
                return Err(Verdict::deferred(Enhanced::transient(7, 5), text));
            }
            Ok(named("sts", vec![facts.host.to_owned()], Proof::Sts))
        }
        Some(policy) if policy.mode == StsMode::Testing => Ok(nothing("sts-testing", StartTls::WhenOffered, facts)),
        _ => Ok(nothing("may", StartTls::WhenOffered, facts)),
    }
}

fn nothing(rule: &'static str, starttls: StartTls, facts: &Facts<'_>) -> Assurance {
    Assurance { starttls, requirement: Requirement::Nothing { names: vec![facts.host.to_owned()] }, rule, proof: Proof::None }
}

fn named(rule: &'static str, names: Vec<String>, proof: Proof) -> Assurance {
    Assurance { starttls: StartTls::Required, requirement: Requirement::Names(names), rule, proof }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "security_tests.rs"]
mod tests;
