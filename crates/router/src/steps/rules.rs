//! What the configuration says about the steps, arranged for look-up.

use super::directive::Directive;
use settings::{CHANNELS, RoutingStep, Settings, Virtual};
use std::collections::HashSet;

/// Domains by name and `.suffix`, as the settings have normalised them.
#[derive(Debug, Default)]
pub(crate) struct Domains(HashSet<String>);

impl Domains {
    fn new(list: &[String]) -> Self {
        Self(list.iter().cloned().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pattern that covers a normalised domain.
    pub fn find(&self, domain: &str) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        crate::rules::patterns(domain).find_map(|pattern| self.0.get(pattern)).map(String::as_str)
    }
}

/// `[routing]` and `[virtual]`.
#[derive(Debug)]
pub(crate) struct StepRules {
    pub order: Vec<RoutingStep>,
    /// Tables by their uses.
    pub tables: settings::Routing,
    pub virtual_tables: Virtual,
    pub alias_domains: Domains,
    pub mailbox_domains: Domains,
    /// `[relay] domains`
    pub relay_domains: Domains,
    pub unresolvable: Result<Directive, String>,
    /// Those that are not in [`CHANNELS`].
    channels: HashSet<String>,
}

impl StepRules {
    pub fn new(settings: &Settings) -> Self {
        let of_programs = settings.pipes.iter().map(|pipe| &pipe.channel).chain(settings.agents.iter().map(|agent| &agent.channel));
        let channels: HashSet<String> = settings.queue.channels.iter().chain(of_programs).cloned().collect();
        let tables = settings.routing.clone();
        let unresolvable = Directive::read(&tables.unresolvable, |name| is_channel(&channels, name));
        Self {
            order: tables.order.clone(),
            virtual_tables: settings.virtual_domains.clone(),
            alias_domains: Domains::new(&settings.virtual_domains.alias_domains),
            mailbox_domains: Domains::new(&settings.virtual_domains.mailbox_domains),
            relay_domains: Domains::new(&settings.relay.domains),
            unresolvable,
            channels,
            tables,
        }
    }

    pub fn is_channel(&self, name: &str) -> bool {
        is_channel(&self.channels, name)
    }

    /// No domain is virtual.
    pub fn without_virtual(&self) -> bool {
        let tables = &self.virtual_tables;
        self.alias_domains.is_empty()
            && self.mailbox_domains.is_empty()
            && tables.alias_domain_tables.is_empty()
            && tables.mailbox_domain_tables.is_empty()
    }
}

fn is_channel(own: &HashSet<String>, name: &str) -> bool {
    CHANNELS.contains(&name) || own.contains(name)
}
