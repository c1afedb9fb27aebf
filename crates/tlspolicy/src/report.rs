//! The report itself (RFC 8460 section 4).

use crate::tally::{Counted, Day, Detail, Domain};
use ipc::tlspolicy::PolicyKind;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Whom and what a report is about.
#[derive(Debug, Clone)]
pub struct Report {
    pub domain: String,
    /// Seconds since 1970, both within.
    pub begin: u64,
    pub end: u64,
    pub counted: Domain,
}

pub const DAY: u64 = 86_400;

impl Report {
    /// `end`: of the day, or now where the day is not over.
    pub const fn new(day: Day, now: u64, domain: String, counted: Domain) -> Self {
        let begin = day.saturating_mul(DAY);
        let last = begin.saturating_add(DAY - 1);
        Self { domain, begin, end: if now < last { now } else { last }, counted }
    }

    /// The same for a report that is sent again.
    pub fn id(&self, hostname: &str) -> String {
        format!("{}-{}.{}@{hostname}", self.begin, self.end, self.domain)
    }

    pub fn file_name(&self, hostname: &str) -> String {
        format!("{hostname}!{}!{}!{}.json.gz", self.domain, self.begin, self.end)
    }

    pub fn json(&self, hostname: &str, contact: &str) -> Value {
        let policies: Vec<Value> = self.counted.policies.iter().map(|counted| policy(&self.domain, counted)).collect();
        json!({
            "organization-name": hostname,
            "date-range": { "start-datetime": moment(self.begin), "end-datetime": moment(self.end) },
            "contact-info": contact,
            "report-id": self.id(hostname),
            "policies": policies,
        })
    }

    pub fn compressed(&self, hostname: &str, contact: &str) -> io::Result<Vec<u8>> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(self.json(hostname, contact).to_string().as_bytes())?;
        gzip.finish()
    }
}

fn policy(domain: &str, counted: &Counted) -> Value {
    let kind = match counted.kind {
        PolicyKind::Tlsa => "tlsa",
        PolicyKind::Sts => "sts",
        PolicyKind::NoPolicyFound => "no-policy-found",
    };
    let mut policy = json!({ "policy-type": kind, "policy-domain": domain });
    if counted.kind != PolicyKind::NoPolicyFound {
        insert(&mut policy, "policy-string", &counted.lines);
        insert(&mut policy, "mx-host", &counted.hosts);
    }
    let failed: u64 = counted.failures.values().fold(0, |sum, count| sum.saturating_add(*count));
    let mut all: Vec<(&Detail, &u64)> = counted.failures.iter().collect();
    all.sort_unstable();
    let details: Vec<Value> = all.into_iter().map(|(detail, count)| failure(detail, *count)).collect();
    let mut entry = json!({
        "policy": policy,
        "summary": { "total-successful-session-count": counted.successes, "total-failure-session-count": failed },
    });
    if let Some(object) = entry.as_object_mut().filter(|_| !details.is_empty()) {
        object.insert("failure-details".to_owned(), Value::Array(details));
    }
    entry
}

fn insert(object: &mut Value, key: &str, list: &[String]) {
    if let Some(object) = object.as_object_mut().filter(|_| !list.is_empty()) {
        object.insert(key.to_owned(), json!(list));
    }
}

fn failure(detail: &Detail, count: u64) -> Value {
    let mut out = json!({ "result-type": detail.failure, "failed-session-count": count });
    let texts = [
        ("sending-mta-ip", detail.source.map(|address| address.to_string())),
        ("receiving-mx-hostname", Some(detail.host.clone())),
        ("receiving-ip", detail.address.map(|address| address.to_string())),
        ("failure-reason-code", Some(detail.detail.clone())),
    ];
    if let Some(object) = out.as_object_mut() {
        let given = texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::String(text.filter(|t| !t.is_empty())?))));
        object.extend(given);
    }
    out
}

fn moment(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
