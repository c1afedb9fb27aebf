//! The rules of a configuration, found by key.

use crate::delegation::State;
use crate::facts::Facts;
use crate::networks::Networks;
use crate::rule::{Rule, domain_keys, mailbox_keys};
use crate::sheet::flatten;
use crate::table::{Record, Table, Trouble};
use ipc::rates::Kind;
use settings::{AccessKeys, DnsList, DnsLists, FailMode, Settings};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What policy has to know of the host beside its rules.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// Of this machine.
    pub own_addresses: HashSet<IpAddr>,
    /// What places of rules begin with.
    pub file: String,
}

type Keyed = HashMap<Box<str>, Vec<usize>>;

/// Everything that is decided by; made once for a configuration.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Arc<Rule>>,
    everybody: Vec<usize>,
    clients: Networks<Vec<usize>>,
    names: Keyed,
    helos: Keyed,
    users: Keyed,
    senders: Keyed,
    recipients: Keyed,
    tables: Vec<Table>,
    pub(crate) lists: Vec<DnsList>,
    pub(crate) scores: DnsLists,
    /// Where a list's rule is.
    pub(crate) file: String,
    pub(crate) hostname: String,
    pub(crate) own_addresses: HashSet<IpAddr>,
    pub(crate) local_domains: Vec<String>,
    pub(crate) relay_domains: Vec<String>,
    /// There are tables of further domains, which the routers know.
    pub(crate) asks_kinship: bool,
    pub(crate) ahead_domains: Vec<String>,
    /// A content filter is at work.
    pub(crate) filters: bool,
    /// SPF results go into the message.
    pub(crate) received_spf: bool,
    /// Name of each policy service, and at which states it is asked.
    services: Vec<(String, Vec<String>)>,
    pub(crate) rate_failure: FailMode,
    limits_messages: Limited,
    limits_recipients: Limited,
    /// Sender domains are counted only where something limits them: most are made up.
    pub(crate) limits_domains: bool,
}

/// What `[rates]` limits of everybody, and of those only that have logged in.
#[derive(Debug, Clone, Copy)]
struct Limited {
    all: bool,
    users: bool,
}

/// One way to find rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By<'a> {
    Name(&'a str),
    Helo(&'a str),
    User(&'a str),
    Sender(&'a str),
    Recipient(&'a str),
}

impl Policy {
    /// `tables`: those of `[policy] tables`, opened.
    pub fn new(settings: &Settings, site: Site, tables: Vec<Table>) -> Self {
        let access = &settings.access;
        let rates = &settings.rates;
        let mut policy = Self {
            rules: Vec::new(),
            everybody: Vec::new(),
            clients: Networks::default(),
            names: Keyed::new(),
            helos: Keyed::new(),
            users: Keyed::new(),
            senders: Keyed::new(),
            recipients: Keyed::new(),
            tables,
            lists: access.lists.clone(),
            scores: access.scores,
            hostname: address::normalise(&settings.identity.hostname).unwrap_or_default(),
            own_addresses: site.own_addresses,
            local_domains: settings.own_domains().cloned().collect(),
            asks_kinship: settings.has_domain_tables(),
            relay_domains: settings.relay.domains.clone(),
            ahead_domains: settings.call_ahead.domains.clone(),
            filters: !settings.filter.program.is_empty(),
            received_spf: access.received_spf,
            services: settings.policy_services.iter().map(|service| (service.name.clone(), service.states.clone())).collect(),
            rate_failure: rates.failure,
            limits_messages: Limited {
                all: rates.messages_per_address.or(rates.messages_per_network).or(rates.messages_per_sender_domain).is_some(),
                users: rates.messages_per_user.is_some(),
            },
            limits_recipients: Limited {
                all: rates.recipients_per_address.or(rates.recipients_per_network).or(rates.recipients_per_sender_domain).is_some(),
                users: rates.recipients_per_user.is_some(),
            },
            limits_domains: rates.limits_sender_domains(),
            file: site.file,
        };
        let find = |tag: &str| access.rules.iter().find(|rule| !rule.tag.is_empty() && rule.tag == tag).map(|rule| &rule.attributes);
        for rule in access.rules.iter().filter(|rule| rule.tag.is_empty()) {
            let place = format!("{}:{}", policy.file, rule.line);
            let attributes = flatten(&rule.attributes, &find, settings::TAG_DEPTH);
            policy.file_rule(&rule.keys, Rule { place, attributes, ..Rule::default() });
        }
        policy
    }

    /// Under the latest of its keys; the others become conditions.
    fn file_rule(&mut self, keys: &AccessKeys, mut rule: Rule) {
        let number = self.rules.len();
        rule.conditions = keys.clone();
        rule.proves = keys.proves();
        let conditions = &mut rule.conditions;
        let lists = [
            (b'r', &mut self.recipients, &mut conditions.recipient),
            (b's', &mut self.senders, &mut conditions.sender),
            (b'u', &mut self.users, &mut conditions.user),
            (b'h', &mut self.helos, &mut conditions.helo),
            (b'n', &mut self.names, &mut conditions.name),
        ];
        match lists.into_iter().find(|(_, _, list)| !list.is_empty()) {
            Some((kind, table, list)) => {
                for key in std::mem::take(list) {
                    table.entry(key.into_boxed_str()).or_default().push(number);
                }
                rule.kind = kind;
            }
            None if conditions.client.is_empty() => self.everybody.push(number),
            None => {
                for network in std::mem::take(&mut conditions.client) {
                    self.clients.entry(network).push(number);
                }
                rule.kind = b'c';
            }
        }
        rule.by_recipient = rule.kind == b'r';
        self.rules.push(Arc::new(rule));
    }

    /// No rule, no list, no table: nothing but what `[rates]` and the routers say.
    pub fn is_plain(&self) -> bool {
        self.rules.is_empty() && self.lists.is_empty() && self.tables.is_empty() && self.ahead_domains.is_empty()
    }

    /// Recipients of one message may fare differently at its end: some have the content filter, some not.
    pub fn has_verdicts(&self) -> bool {
        self.filters && (!self.tables.is_empty() || self.rules.iter().any(|rule| rule.attributes.filter.is_some()))
    }

    /// Some policy service is asked at this state.
    pub fn is_served_at(&self, state: State) -> bool {
        self.services.iter().any(|(_, states)| states.iter().any(|word| word == state.layer()))
    }

    pub(crate) fn serves(&self, service: &str, state: State) -> bool {
        let own = self.services.iter().find(|(name, _)| name == service);
        own.is_some_and(|(_, states)| states.iter().any(|word| word == state.layer()))
    }

    /// Does `[rates]` want the tracker's word?
    pub(crate) const fn limits(&self, kind: Kind, user: bool) -> bool {
        let limited = if matches!(kind, Kind::Message) { self.limits_messages } else { self.limits_recipients };
        limited.all || limited.users && user
    }

    /// A rule or list is about names of clients.
    pub(crate) fn wants_names(&self) -> bool {
        !self.names.is_empty()
            || !self.tables.is_empty()
            || self.rules.iter().any(|rule| !rule.conditions.name.is_empty())
            || self.lists.iter().any(|list| list.about == settings::About::Name)
    }

    pub(crate) fn everybody(&self, facts: &Facts<'_>) -> Option<Arc<Rule>> {
        self.holding(&self.everybody, facts, &[])
    }

    pub(crate) fn client(&self, facts: &Facts<'_>) -> Result<Option<Arc<Rule>>, Trouble> {
        let Some(address) = facts.client.map(|address| address.to_canonical()) else { return Ok(None) };
        let own = self.clients.matching(address);
        let mut found = own.filter_map(|(length, numbers)| Some((length, self.holding(numbers, facts, &[])?))).next();
        for table in &self.tables {
            if let Some((length, record)) = table.client(address, found.as_ref().map(|(length, _)| *length))? {
                found = Some((length, tabled(record, b'c')));
            }
        }
        Ok(found.map(|(_, rule)| rule))
    }

    /// The first rule of the longest key.
    pub(crate) fn find(&self, by: By<'_>, facts: &Facts<'_>, names: &[String]) -> Result<Option<Arc<Rule>>, Trouble> {
        match by {
            By::Name(name) => self.walk(b'n', &self.names, domain_keys(name), facts, names),
            By::Helo(name) => self.walk(b'h', &self.helos, domain_keys(name), facts, names),
            By::User(user) => self.walk(b'u', &self.users, [user, "*"].into_iter(), facts, names),
            By::Sender(sender) => self.walk(b's', &self.senders, mailbox_keys(sender), facts, names),
            By::Recipient(recipient) => self.walk(b'r', &self.recipients, mailbox_keys(recipient), facts, names),
        }
    }

    fn walk<'k>(
        &self,
        kind: u8,
        keyed: &Keyed,
        keys: impl Iterator<Item = &'k str>,
        facts: &Facts<'_>,
        names: &[String],
    ) -> Result<Option<Arc<Rule>>, Trouble> {
        if keyed.is_empty() && self.tables.is_empty() {
            return Ok(None);
        }
        for key in keys {
            if let Some(rule) = keyed.get(key).and_then(|numbers| self.holding(numbers, facts, names)) {
                return Ok(Some(rule));
            }
            for table in &self.tables {
                if let Some(record) = table.keyed(kind, key)? {
                    return Ok(Some(tabled(record, kind)));
                }
            }
        }
        Ok(None)
    }

    fn holding(&self, numbers: &[usize], facts: &Facts<'_>, names: &[String]) -> Option<Arc<Rule>> {
        numbers.iter().filter_map(|number| self.rules.get(*number)).find(|rule| rule.holds(facts, names)).cloned()
    }
}

fn tabled(record: Record, kind: u8) -> Arc<Rule> {
    let Record { place, attributes } = record;
    let proves = matches!(kind, b'c' | b'n' | b'u');
    Arc::new(Rule { place, attributes, conditions: AccessKeys::default(), proves, by_recipient: kind == b'r', kind })
}
