//! What became of TLS with a server, for reports to its domain (RFC 8460).

use crate::plan::Plan;
use crate::security::Assurance;
use crate::session::Session;
use ipc::tlspolicy::{PolicyKind, StsMode, StsPolicy, TlsResult};
use nexthop::Candidate;
use tls::client::{Failure, Record, policy_host_matches};

/// Bytes of a record's data that a report shows.
const MOST_DATA: usize = 64;

/// A session was made; `trouble`: what its certificate did not prove, though nothing demanded it.
pub fn made(session: &Session, trouble: Option<&Failure>) -> Option<TlsResult> {
    let plan = session.work.as_ref()?.tls.plan.as_deref()?;
    // Under a policy that is only tested, what would have failed is told.
    let testing = plan.sts().filter(|policy| policy.mode == StsMode::Testing && session.security.assurance.rule == "sts-testing");
    let failure = testing.and_then(|policy| {
        let allowed = policy.hosts.iter().any(|pattern| policy_host_matches(pattern, host(session)));
        if !allowed {
            return Some(("validation-failure", "the policy does not allow this host".to_owned()));
        }
        trouble.map(|failure| (failure.fault.result_type(), failure.text.clone()))
    });
    of_session(plan, session, failure)
}

/// A handshake failed.
pub fn failed(session: &Session, kind: &'static str, detail: &str) -> Option<TlsResult> {
    of_session(session.work.as_ref()?.tls.plan.as_deref()?, session, Some((kind, detail.to_owned())))
}

/// The server offered no TLS.
pub fn withheld(plan: &Plan, session: &Session, detail: &str) -> Option<TlsResult> {
    of_session(plan, session, Some(("starttls-not-supported", detail.to_owned())))
}

/// A host that must not be connected to.
pub fn forbidden(plan: &Plan, host: &str, detail: &str) -> Option<TlsResult> {
    let (kind, failure) = if plan.sts().is_some() { (PolicyKind::Sts, "validation-failure") } else { (PolicyKind::Tlsa, "dnssec-invalid") };
    let result = blank(plan, kind, host)?;
    Some(TlsResult { failure: Some(failure.to_owned()), detail: detail.to_owned(), ..result })
}

fn host(session: &Session) -> &str {
    if let Candidate::Network { name, .. } = &session.candidate { name } else { "" }
}

fn of_session(plan: &Plan, session: &Session, failure: Option<(&str, String)>) -> Option<TlsResult> {
    let result = blank(plan, kind(&session.security.assurance), host(session))?;
    let address = if let Candidate::Network { address, .. } = &session.candidate { Some(address.ip()) } else { None };
    let (failure, detail) = failure.map_or((None, String::new()), |(kind, detail)| (Some(kind.to_owned()), detail));
    Some(TlsResult { address, source: session.source(), failure, detail, ..result })
}

fn kind(assurance: &Assurance) -> PolicyKind {
    match assurance.rule {
        "dane" => PolicyKind::Tlsa,
        "sts" | "sts-testing" => PolicyKind::Sts,
        _ => PolicyKind::NoPolicyFound,
    }
}

fn blank(plan: &Plan, kind: PolicyKind, host: &str) -> Option<TlsResult> {
    let (policy, policy_hosts) = match kind {
        PolicyKind::Tlsa => (plan.records(host).iter().map(record_text).collect(), vec![host.to_owned()]),
        PolicyKind::Sts => plan.sts().map(|policy| (policy_lines(policy), policy.hosts.clone())).unwrap_or_default(),
        PolicyKind::NoPolicyFound => (Vec::new(), Vec::new()),
    };
    let domain = plan.domain.clone()?;
    let (host, detail) = (host.to_owned(), String::new());
    Some(TlsResult { domain, kind, policy, policy_hosts, host, address: None, source: None, failure: None, detail })
}

fn record_text(record: &Record) -> String {
    let mut text = format!("{} {} {} ", record.usage, record.selector, record.matching);
    record.data.iter().take(MOST_DATA).for_each(|byte| text.push_str(&format!("{byte:02x}")));
    text
}

/// The lines of the policy file (RFC 8461 section 3.2).
fn policy_lines(policy: &StsPolicy) -> Vec<String> {
    let mode = match policy.mode {
        StsMode::Enforce => "enforce",
        StsMode::Testing => "testing",
        StsMode::None => "none",
    };
    let hosts = policy.hosts.iter().map(|host| format!("mx: {host}"));
    let head = ["version: STSv1".to_owned(), format!("mode: {mode}")];
    head.into_iter().chain(hosts).chain([format!("max_age: {}", policy.max_age)]).collect()
}
