//! What holds for one destination: `[queue]` and `[client]`, then every `[[channel]]` and every `[[destination]]` that
//! matches, in the order of the file. A later clause wins, key by key, as in ZMailer's scheduler.conf.

use crate::effective::print;
use crate::glob::Glob;
use crate::queries::domain_matches;
use crate::sheet::{Group, Sheet};
use crate::table::policy::{CHANNEL, DESTINATION, FALLBACK, INHERITED, SCOPE};
use crate::times::{Hours, Rate, factors};
use crate::value::{Value, from_default, scalar};
use std::time::Duration;

/// Where mail goes: what clauses match.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub channel: &'a str,
    /// The next hop as the control file has it.
    pub host: &'a str,
    /// Names of the best mail exchangers where they are known; empty: not known, or there are none.
    pub exchangers: &'a [String],
}

/// TLS to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsPolicy {
    None,
    May,
    Encrypt,
    Verify,
    Dane,
    Sts,
}

impl TlsPolicy {
    fn parse(word: &str) -> Self {
        match word {
            "none" => Self::None,
            "may" => Self::May,
            "encrypt" => Self::Encrypt,
            "verify" => Self::Verify,
            "dane" => Self::Dane,
            _ => Self::Sts,
        }
    }
}

/// Everything that holds for one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub retry_first: Duration,
    /// Multiples of `retry_first`; empty: `retry_factor` counts.
    pub retries: Vec<f64>,
    pub retry_factor: f64,
    pub retry_longest: Duration,
    pub retry_jitter: f64,
    pub expiry: Duration,
    /// Beyond `expiry`, for what was never tried.
    pub expiry_untried: Duration,
    /// Zero: only where the sender asked.
    pub warn_after: Duration,
    /// Most agent processes of the channel.
    pub agents: u16,
    pub concurrency_first: u32,
    pub concurrency_most: u32,
    /// The ring's number (the line of the clause that set it) and its limit.
    pub ring: Option<(usize, u32)>,
    pub jobs_ahead: u32,
    pub recipients_per_job: u32,
    pub messages_per_session: u32,
    pub age_order: bool,
    pub queue_only: bool,
    pub message_rate: Option<Rate>,
    pub recipient_rate: Option<Rate>,
    pub connection_rate: Option<Rate>,
    pub hours: Hours,
    pub priority: i8,
    /// Empty: by the mail exchangers.
    pub site: String,
    pub tls: TlsPolicy,
    /// Empty: the mail exchanger's.
    pub tls_names: Vec<String>,
    /// Empty: none.
    pub source: String,
    pub credentials: String,
}

/// One value of a policy with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub key: &'static str,
    /// As it would be written in the file; empty text for "none".
    pub value: String,
    /// `[queue]`, `[[channel]]`, `[[destination]]`; `None`: the default.
    pub section: Option<&'static str>,
    /// The line of the clause (of the value, for `[queue]` and `[client]`); 0 for a default.
    pub line: usize,
}

/// All clauses, and what holds without them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    base: Vec<Setting>,
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq)]
struct Setting {
    key: &'static str,
    value: Value,
    section: Option<&'static str>,
    line: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Clause {
    channel: Glob,
    /// Empty lists match everything.
    hosts: Vec<Glob>,
    domains: Vec<String>,
    exchangers: Vec<Glob>,
    settings: Vec<Setting>,
}

impl Clause {
    fn matches(&self, place: &Place<'_>) -> bool {
        let any = |globs: &[Glob], name: &str| globs.is_empty() || globs.iter().any(|glob| glob.matches(name));
        self.channel.matches(place.channel)
            && any(&self.hosts, place.host)
            && (self.domains.is_empty() || self.domains.iter().any(|domain| domain_matches(domain, place.host)))
            && (self.exchangers.is_empty()
                || (!place.exchangers.is_empty() && place.exchangers.iter().all(|name| any(&self.exchangers, name))))
    }
}

impl Policies {
    /// From a sheet without faults; patterns that cannot be read (the checks refuse them) match nothing.
    pub(crate) fn build(sheet: &Sheet) -> Self {
        let channels = sheet.groups("channel").iter().filter_map(|group| clause(group, "channel", CHANNEL));
        let destinations = sheet.groups("destination").iter().filter_map(|group| clause(group, "destination", DESTINATION));
        Self { base: base(sheet), clauses: channels.chain(destinations).collect() }
    }

    /// True when a clause looks at mail exchangers, or destinations are rolled up by them: they must be known.
    pub fn look_at_exchangers(&self) -> bool {
        self.clauses.iter().any(|clause| !clause.exchangers.is_empty())
    }

    /// The shortest time after which any clause wants senders told of a delay.
    pub fn earliest_warning(&self) -> Option<Duration> {
        let settings = self.base.iter().chain(self.clauses.iter().flat_map(|clause| &clause.settings));
        let times =
            settings.filter(|s| s.key == "warn_after").filter_map(|s| if let Value::Duration(time) = s.value { Some(time) } else { None });
        times.filter(|time| !time.is_zero()).min()
    }

    /// The numbers of the clauses that match: destinations with the same ones have the same policy.
    pub fn matching(&self, place: &Place<'_>) -> Vec<u16> {
        let numbers = (0u16..).zip(&self.clauses).filter(|(_, clause)| clause.matches(place));
        numbers.map(|(number, _)| number).collect()
    }

    /// The longest expiry that any clause (or none) gives.
    pub fn longest_expiry(&self) -> Duration {
        let settings = self.base.iter().chain(self.clauses.iter().flat_map(|clause| &clause.settings));
        let expiry =
            |setting: &Setting| if let ("expiry", Value::Duration(expiry)) = (setting.key, &setting.value) { Some(*expiry) } else { None };
        settings.filter_map(expiry).max().unwrap_or_default()
    }

    /// What holds for a place.
    pub fn of(&self, place: &Place<'_>) -> Policy {
        self.of_clauses(&self.matching(place))
    }

    /// What holds where these clauses match ([`Policies::matching`]).
    pub fn of_clauses(&self, matching: &[u16]) -> Policy {
        Reader(self.effective(matching)).policy()
    }

    /// [`Policy::tls`] for a place, without making the rest: agents ask for every job.
    pub fn tls(&self, place: &Place<'_>) -> TlsPolicy {
        let of = |settings: &[Setting]| settings.iter().find(|s| s.key == "tls").map(|s| TlsPolicy::parse(word(&s.value)));
        let clauses = self.clauses.iter().rev();
        clauses
            .filter_map(|clause| of(&clause.settings).filter(|_| clause.matches(place)))
            .next()
            .or_else(|| of(&self.base))
            .unwrap_or(TlsPolicy::Sts)
    }

    /// Every value for a place, with where it came from.
    pub fn explain(&self, place: &Place<'_>) -> Vec<Explained> {
        let explained = |s: &Setting| Explained { key: s.key, value: print(&s.value), section: s.section, line: s.line };
        self.effective(&self.matching(place)).into_iter().map(explained).collect()
    }

    fn effective(&self, matching: &[u16]) -> Vec<&Setting> {
        let clauses = || matching.iter().filter_map(|number| self.clauses.get(usize::from(*number)));
        let last = |key: &str| clauses().rev().find_map(|clause| clause.settings.iter().find(|s| s.key == key));
        self.base.iter().map(|base| last(base.key).unwrap_or(base)).collect()
    }
}

fn word(value: &Value) -> &str {
    if let Value::Text(text) = value { text } else { "" }
}

fn base(sheet: &Sheet) -> Vec<Setting> {
    let inherited = INHERITED.iter().filter_map(|(key, section, from)| {
        let entry = sheet.groups(section).first()?.entry(from)?;
        let section = Some(*section).filter(|_| entry.line > 0);
        Some(Setting { key, value: entry.value.clone(), section, line: entry.line })
    });
    let fallback = FALLBACK.iter().filter_map(|(key, default)| {
        let parameter = DESTINATION.iter().find(|p| p.key == *key)?;
        let value = from_default(parameter.kind, default).ok()?;
        Some(Setting { key, value, section: None, line: 0 })
    });
    inherited.chain(fallback).collect()
}

fn clause(group: &Group, section: &'static str, parameters: &'static [crate::table::Parameter]) -> Option<Clause> {
    let list = |key: &str| match group.entry(key).map(|e| &e.value) {
        Some(Value::Texts(list)) => list.clone(),
        _ => Vec::new(),
    };
    let globs = |key: &str| list(key).iter().map(|text| Glob::parse(text).ok()).collect::<Option<Vec<_>>>();
    let name = match group.entry(if section == "channel" { "name" } else { "channel" }).map(|e| &e.value) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "*",
    };
    let (channel, host) = name.split_once('/').map_or((name, None), |(channel, host)| (channel, Some(host)));
    let mut hosts = globs("host")?;
    if let Some(host) = host {
        hosts.push(Glob::parse(host).ok()?);
    }
    let extra = SCOPE.iter().filter(|p| p.section == section && p.key == "agents");
    let written = parameters.iter().chain(extra).filter_map(|parameter| {
        let entry = group.entry(parameter.key).filter(|entry| entry.line > 0)?;
        // Nothing between the quotes: inherited, where nothing is no value.
        let inherited = entry.value == Value::Text(String::new()) && scalar(parameter.kind, "").is_err();
        if inherited {
            return None;
        }
        Some(Setting { key: parameter.key, value: entry.value.clone(), section: Some(section), line: group.line })
    });
    let settings = written.collect();
    Some(Clause { channel: Glob::parse(channel).ok()?, hosts, domains: list("domain"), exchangers: globs("mx")?, settings })
}

/// Typed reads of effective values.
struct Reader<'a>(Vec<&'a Setting>);

impl Reader<'_> {
    fn setting(&self, key: &str) -> Option<&Setting> {
        let found = self.0.iter().find(|s| s.key == key).copied();
        debug_assert!(found.is_some(), "no policy value {key}");
        found
    }
    fn text(&self, key: &str) -> &str {
        if let Some(Value::Text(text)) = self.setting(key).map(|s| &s.value) { text } else { "" }
    }
    fn duration(&self, key: &str) -> Duration {
        if let Some(Value::Duration(d)) = self.setting(key).map(|s| &s.value) { *d } else { Duration::ZERO }
    }
    fn u32(&self, key: &str) -> u32 {
        if let Some(Value::Integer(n)) = self.setting(key).map(|s| &s.value) { u32::try_from(*n).unwrap_or(u32::MAX) } else { 0 }
    }
    fn number(&self, key: &str) -> f64 {
        if let Some(Value::Number(n)) = self.setting(key).map(|s| &s.value) { *n } else { 0.0 }
    }
    fn is(&self, key: &str) -> bool {
        matches!(self.setting(key).map(|s| &s.value), Some(Value::Bool(true)))
    }

    fn policy(&self) -> Policy {
        let ring = self.setting("ring_most").map(|s| (s.line, self.u32("ring_most"))).filter(|(_, most)| *most > 0);
        Policy {
            retry_first: self.duration("retry_first"),
            retries: factors(self.text("retries")).unwrap_or_default(),
            retry_factor: self.number("retry_factor"),
            retry_longest: self.duration("retry_longest"),
            retry_jitter: self.number("retry_jitter"),
            expiry: self.duration("expiry"),
            expiry_untried: self.duration("expiry_untried"),
            warn_after: self.duration("warn_after"),
            agents: u16::try_from(self.u32("agents")).unwrap_or(u16::MAX),
            concurrency_first: self.u32("concurrency_first"),
            concurrency_most: self.u32("concurrency_most").max(self.u32("concurrency_first")),
            ring,
            jobs_ahead: self.u32("jobs_ahead"),
            recipients_per_job: self.u32("recipients_per_job"),
            messages_per_session: self.u32("messages_per_session"),
            age_order: self.is("age_order"),
            queue_only: self.is("queue_only"),
            message_rate: Rate::parse(self.text("message_rate")),
            recipient_rate: Rate::parse(self.text("recipient_rate")),
            connection_rate: Rate::parse(self.text("connection_rate")),
            hours: Hours::parse(self.text("hours")).unwrap_or_default(),
            priority: self.text("priority").parse().unwrap_or_default(),
            site: self.text("site").to_owned(),
            tls: TlsPolicy::parse(self.text("tls")),
            tls_names: match self.setting("tls_names").map(|s| &s.value) {
                Some(Value::Texts(names)) => names.clone(),
                _ => Vec::new(),
            },
            source: self.text("source").to_owned(),
            credentials: self.text("credentials").to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "policy_tests.rs"]
mod tests;
