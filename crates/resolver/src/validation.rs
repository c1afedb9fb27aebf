//! Answers with proof: validated here from a trust anchor down (RFC 4035), or by servers whose AD bit is believed.

use crate::files::Files;
use crate::lookups::Key;
use crate::records::Records;
use crate::upstream::{Reply, options};
use hickory_resolver::config::{NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer;
use hickory_resolver::net::{DnsError, DnsHandle, NetError, RetryDnsHandle};
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use ipc::dns::Trouble;
use settings::Validation;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// CNAME records followed at most: a loop ends here.
const MOST_ALIASES: usize = 8;
/// Servers that could not prove even their own root are asked again after this time.
const PROBE_AGAIN: Duration = Duration::from_secs(60);

type Servers = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// Asks for answers that DNSSEC proves.
pub struct Validator {
    method: Method,
    options: DnsRequestOptions,
    /// The zone of a trust anchor.
    anchor: Name,
    capable: Cell<Capable>,
}

enum Method {
    /// We validate.
    Local(Box<DnssecDnsHandle<Servers>>),
    /// They do, and say so by the AD bit.
    TrustAd(Box<Servers>),
    Off,
}

/// Do the servers give what a proof needs? Many forwarders leave out signatures: then nothing would be proven, all of a
/// signed root would look forged, and no mail would leave. What worked once, though, is not given up: stripping
/// signatures is what an attacker would do.
#[derive(Debug, Clone, Copy)]
enum Capable {
    Unknown,
    Yes,
    No { since: Instant },
}

impl Validator {
    /// Reads the trust anchor's file.
    pub fn new(settings: &settings::Dns, files: &mut Files, servers: Vec<NameServerConfig>) -> Result<Self, String> {
        let (anchors, anchor) = anchors(settings.trust_anchor.as_deref(), files)?;
        let mut resolving = ResolverOpts::default();
        options(&mut resolving, settings.deadline);
        let attempts = resolving.attempts;
        let mut options = DnsRequestOptions::default();
        options.recursion_desired = true;
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        options.edns_payload_len = resolving.edns_payload_len;
        let tls = TlsConfig::new().map_err(|e| e.to_string())?;
        let pool = || {
            NameServerPool::from_config(
                servers.clone(),
                Arc::new(PoolContext::new(resolving.clone(), tls)),
                TokioRuntimeProvider::default(),
            )
        };
        let (method, capable) = match settings.validation {
            Validation::Local => {
                let handle = DnssecDnsHandle::with_trust_anchor(RetryDnsHandle::new(pool(), attempts), Arc::new(anchors));
                (Method::Local(Box::new(handle)), Capable::Unknown)
            }
            Validation::TrustAd => (Method::TrustAd(Box::new(RetryDnsHandle::new(pool(), attempts))), Capable::Yes),
            Validation::Off => (Method::Off, Capable::Yes),
        };
        Ok(Self { method, options, anchor, capable: Cell::new(capable) })
    }

    /// Whether answers can be proven at all.
    pub async fn works(&self) -> bool {
        let Method::Local(handle) = &self.method else { return !matches!(self.method, Method::Off) };
        match self.capable.get() {
            Capable::Yes => return true,
            Capable::No { since } if since.elapsed() < PROBE_AGAIN => return false,
            Capable::No { .. } | Capable::Unknown => {}
        }
        let query = Query::query(self.anchor.clone(), RecordType::DNSKEY);
        let keys = handle.lookup(query, self.options).first_answer().await;
        let proven = keys.is_ok_and(|response| response.answers.iter().any(|record| record.proof == Proof::Secure));
        // Another question may have found out more while this one waited.
        if proven {
            self.capable.set(Capable::Yes);
        } else if !matches!(self.capable.get(), Capable::Yes) {
            if matches!(self.capable.get(), Capable::Unknown) {
                daemon::event!(Warning, "dnssec_unavailable", anchor = self.anchor, next = "without DANE; asked again");
            }
            self.capable.set(Capable::No { since: Instant::now() });
        }
        matches!(self.capable.get(), Capable::Yes)
    }

    /// The records of a name, aliases followed; `secure` when every step is proven. `name`: that of the key.
    pub async fn ask(&self, key: &Key, name: Name) -> Reply {
        let mut trail = Trail { owner: name, secure: true, ttl: u32::MAX, aliases: 0 };
        loop {
            let response = match self.lookup(Query::query(trail.owner.clone(), key.kind.record_type())).await {
                Ok(response) => response,
                Err(error) => match alias_without_target(&trail.owner, error) {
                    Ok(response) => *response,
                    Err(error) => return trail.refused(key, &error),
                },
            };
            let before = trail.aliases;
            match trail.walk(key, &response, matches!(self.method, Method::TrustAd(_))) {
                Some(reply) => return reply,
                // An alias whose target is not in this answer.
                None if trail.aliases > before => {}
                None => return trail.absent(key, &response),
            }
        }
    }

    async fn lookup(&self, query: Query) -> Result<DnsResponse, NetError> {
        match &self.method {
            Method::Local(handle) => handle.lookup(query, self.options).first_answer().await,
            Method::TrustAd(handle) => handle.lookup(query, self.options).first_answer().await,
            Method::Off => Err(NetError::NoConnections),
        }
    }
}

/// From the name asked for along its aliases.
struct Trail {
    owner: Name,
    /// Every step so far is proven.
    secure: bool,
    ttl: u32,
    aliases: usize,
}

impl Trail {
    /// Goes as far as one answer leads: the reply, or `None` at a name that the answer has nothing about.
    fn walk(&mut self, key: &Key, response: &DnsResponse, trust_ad: bool) -> Option<Reply> {
        loop {
            let kind = key.kind.record_type();
            let at_owner = |kind| response.answers.iter().filter(move |r: &&Record| r.record_type() == kind);
            let found: Vec<Record> = at_owner(kind).filter(|record| record.name == self.owner).cloned().collect();
            if !found.is_empty() {
                return Some(self.step(key, &found, response, trust_ad).map_or_else(|forged| forged, |()| self.found(key, &found)));
            }
            let alias = at_owner(RecordType::CNAME).find(|record| record.name == self.owner)?;
            let RData::CNAME(target) = &alias.data else { return None };
            self.aliases += 1;
            if self.aliases > MOST_ALIASES {
                return Some(Reply::trouble(Trouble::Temporary(format!("too many aliases behind {}", key.name))));
            }
            if let Err(forged) = self.step(key, std::slice::from_ref(alias), response, trust_ad) {
                return Some(forged);
            }
            self.owner = target.0.clone();
        }
    }

    /// Weighs the proof of some records.
    fn step(&mut self, key: &Key, records: &[Record], response: &DnsResponse, trust_ad: bool) -> Result<(), Reply> {
        self.ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0).min(self.ttl);
        if trust_ad {
            self.secure &= response.metadata.authentic_data;
            return Ok(());
        }
        self.secure &= records.iter().all(|record| record.proof == Proof::Secure);
        // Records that are neither proven nor provenly without proof.
        let forged = records.iter().any(|record| matches!(record.proof, Proof::Bogus | Proof::Indeterminate));
        if forged { Err(bogus(key)) } else { Ok(()) }
    }

    fn found(&self, key: &Key, records: &[Record]) -> Reply {
        let (records, over_limit) = Records::read(key.kind, records);
        Reply { records: Ok(records), ttl: Duration::from_secs(self.ttl.into()), over_limit, timed_out: false, secure: self.secure }
    }

    /// There is nothing at the end of the trail.
    fn absent(&self, key: &Key, response: &DnsResponse) -> Reply {
        let trouble = match response.metadata.response_code {
            ResponseCode::NXDomain => Trouble::NoSuchName,
            ResponseCode::NoError => Trouble::NoRecords,
            code => return Reply::failure(&key.name, code),
        };
        let mut evidence = response.authorities.iter().filter(|record| record.record_type() != RecordType::RRSIG).peekable();
        let proven = evidence.peek().is_some() && evidence.all(|record| record.proof == Proof::Secure);
        Reply { secure: self.secure && proven, ..Reply::absent(trouble, response.negative_ttl()) }
    }

    fn refused(&self, key: &Key, error: &NetError) -> Reply {
        match error {
            // Denied with more NSEC3 iterations than a validator must do: as if unsigned (RFC 9276 section 3.2).
            NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. }) if response.answers.is_empty() => {
                Reply { secure: false, ..self.absent(key, response) }
            }
            NetError::Dns(DnsError::Nsec { .. } | DnsError::DnssecBogus) => bogus(key),
            other => Reply::of_error(&key.name, other),
        }
    }
}

fn bogus(key: &Key) -> Reply {
    Reply::trouble(Trouble::Temporary(format!("DNSSEC: the answer for {} {} is forged or broken", key.name, key.kind.record_type())))
}

/// An alias and, in the same answer, the proof that its target has nothing: hickory looks for a proof about the alias
/// itself and refuses. The alias alone can be used where its signature is for just this name (not for a wildcard, which
/// needs a proof that no better match exists); the target is asked for by itself then.
fn alias_without_target(owner: &Name, mut error: NetError) -> Result<Box<DnsResponse>, NetError> {
    let NetError::Dns(DnsError::Nsec { response, .. }) = &mut error else { return Err(error) };
    let exact = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => {
            let signed = signature.input();
            signed.type_covered == RecordType::CNAME && signed.num_labels == record.name.num_labels()
        }
        _ => false,
    };
    let here = |record: &&Record| record.name == *owner;
    let usable = response.answers.iter().filter(here).any(|r| r.record_type() == RecordType::CNAME && r.proof == Proof::Secure)
        && response.answers.iter().filter(here).any(exact);
    if !usable {
        return Err(error);
    }
    let mut response = response.clone();
    response.answers.retain(|record| record.name == *owner && record.record_type() == RecordType::CNAME);
    Ok(response)
}

/// The keys trusted, and the zone of the first.
fn anchors(file: Option<&Path>, files: &mut Files) -> Result<(TrustAnchors, Name), String> {
    let Some(file) = file else { return Ok((TrustAnchors::default(), Name::root())) };
    let place = |e: &dyn std::fmt::Display| format!("trust_anchor {}: {e}", file.display());
    let text = files.trust_anchor(file).map_err(|e| place(&e))?;
    let anchors = text.parse::<TrustAnchors>().map_err(|e| place(&e))?;
    let first = text.lines().map(|line| line.split(';').next().unwrap_or_default()).find_map(|line| line.split_whitespace().next());
    let zone = first.and_then(|name| Name::from_ascii(name).ok());
    let zone = zone.ok_or_else(|| place(&"no DNSKEY record"))?;
    Ok((anchors, zone))
}
