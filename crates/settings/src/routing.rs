//! `[routing]`, `[virtual]`: in which order an address is looked at, and what with.

use crate::Fault;
use crate::checks::{at, next_hop, text};
use crate::lookups::{list, refers};
use crate::nearest::nearest;
use crate::sheet::{Group, Sheet};
use std::path::PathBuf;
use std::time::Duration;

/// One step of a decision; each either settles an address, replaces it, or passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoutingStep {
    /// The script's `route`.
    Script,
    /// `[routing] fqdn_aliases`
    FqdnAliases,
    /// SRS0= and SRS1= addresses of `[srs] domain`.
    Srs,
    /// `[virtual]`
    Virtual,
    /// `[routing] canonical`
    Canonical,
    /// `[local] domains`, and literals that are this machine.
    Local,
    /// `[[route]]` and `[routing] routes`.
    Routes,
    /// The hostname, where nothing before has named it.
    ThisHost,
    /// `user@[192.0.2.1]`: by SMTP to it.
    Literal,
    /// `[routing] smart_host`
    SmartHost,
    /// By the domain's MX.
    Mx,
}

const STEPS: [(&str, RoutingStep); 11] = [
    ("script", RoutingStep::Script),
    ("fqdn_aliases", RoutingStep::FqdnAliases),
    ("srs", RoutingStep::Srs),
    ("virtual", RoutingStep::Virtual),
    ("canonical", RoutingStep::Canonical),
    ("local", RoutingStep::Local),
    ("routes", RoutingStep::Routes),
    ("this_host", RoutingStep::ThisHost),
    ("literal", RoutingStep::Literal),
    ("smart_host", RoutingStep::SmartHost),
    ("mx", RoutingStep::Mx),
];

impl RoutingStep {
    pub fn word(self) -> &'static str {
        STEPS.iter().find(|(_, step)| *step == self).map_or("", |(word, _)| word)
    }
}

/// One step of finding out whom a local name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LocalStep {
    /// The script's `expand`.
    Script,
    /// `[local] aliases`
    Aliases,
    /// `[lists] folder`, and `-owner`, `owner-`, `-request` of it.
    Lists,
    /// `[local] mailboxes`
    Mailboxes,
    /// `[local] users`
    Users,
}

const LOCAL_STEPS: [(&str, LocalStep); 5] = [
    ("script", LocalStep::Script),
    ("aliases", LocalStep::Aliases),
    ("lists", LocalStep::Lists),
    ("mailboxes", LocalStep::Mailboxes),
    ("users", LocalStep::Users),
];

impl LocalStep {
    pub fn word(self) -> &'static str {
        LOCAL_STEPS.iter().find(|(_, step)| *step == self).map_or("", |(word, _)| word)
    }
}

/// `[routing]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    pub order: Vec<RoutingStep>,
    pub local_order: Vec<LocalStep>,
    /// Tables of all that follow are names of `[[table]]`, asked in their order.
    pub fqdn_aliases: Vec<String>,
    /// Of recipients, before the decision.
    pub canonical: Vec<String>,
    /// Of senders in the envelope.
    pub sender_canonical: Vec<String>,
    pub routes: Vec<String>,
    /// As a `[[route]]` host; empty: none.
    pub smart_host: String,
    /// By sender.
    pub sender_smart_hosts: Vec<String>,
    /// ZMailer's UNRESOLVABLEACTION: what becomes of an address that no step has settled.
    pub unresolvable: String,
    /// Domains that are local beside `[local] domains`.
    pub local_domains: Vec<String>,
    /// Domains that anybody may send to beside `[relay] domains`.
    pub relay_domains: Vec<String>,
    /// Until which a decision waits for tables.
    pub deadline: Duration,
    /// How long a question of a session waits for its answer.
    pub answer_timeout: Duration,
    /// How often a table is asked whether held mail may go on.
    pub table_probe: Duration,
    /// How long an answer is given again; zero: never.
    pub answer_ttl: Duration,
    pub script: Option<PathBuf>,
    /// VM instructions of one call, in thousands.
    pub script_instructions: u64,
    /// Bytes.
    pub script_memory: u64,
}

/// `[virtual]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Virtual {
    /// Every address of them is in `aliases`, or does not exist. Names and `.suffix`es, normalised.
    pub alias_domains: Vec<String>,
    /// Tables of such domains.
    pub alias_domain_tables: Vec<String>,
    pub aliases: Vec<String>,
    pub mailbox_domains: Vec<String>,
    pub mailbox_domain_tables: Vec<String>,
    pub mailboxes: Vec<String>,
}

pub fn routing(g: &Group) -> Routing {
    let steps = |key: &str| g.texts(key);
    Routing {
        order: steps("order").iter().filter_map(|word| step(&STEPS, word)).collect(),
        local_order: steps("local_order").iter().filter_map(|word| step(&LOCAL_STEPS, word)).collect(),
        fqdn_aliases: g.texts("fqdn_aliases"),
        canonical: g.texts("canonical"),
        sender_canonical: g.texts("sender_canonical"),
        routes: g.texts("routes"),
        smart_host: g.text("smart_host"),
        sender_smart_hosts: g.texts("sender_smart_hosts"),
        unresolvable: g.text("unresolvable"),
        local_domains: g.texts("local_domains"),
        relay_domains: g.texts("relay_domains"),
        deadline: g.duration("deadline"),
        answer_timeout: g.duration("answer_timeout"),
        table_probe: g.duration("table_probe"),
        answer_ttl: g.duration("answer_ttl"),
        script: g.path("script"),
        script_instructions: g.u64("script_instructions"),
        script_memory: g.u64("script_memory"),
    }
}

pub fn virtual_domains(g: &Group) -> Virtual {
    Virtual {
        alias_domains: g.texts("alias_domains"),
        alias_domain_tables: g.texts("alias_domain_tables"),
        aliases: g.texts("aliases"),
        mailbox_domains: g.texts("mailbox_domains"),
        mailbox_domain_tables: g.texts("mailbox_domain_tables"),
        mailboxes: g.texts("mailboxes"),
    }
}

fn step<T: Copy>(steps: &[(&str, T)], word: &str) -> Option<T> {
    steps.iter().find(|(known, _)| *known == word).map(|(_, step)| *step)
}

/// Steps are known and stand once; tables exist.
pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    for group in sheet.groups("routing") {
        order(group, "order", &STEPS.map(|(word, _)| word), faults);
        order(group, "local_order", &LOCAL_STEPS.map(|(word, _)| word), faults);
        let unresolvable = text(group, "unresolvable").unwrap_or_default();
        if !unresolvable.contains(['!', '@']) {
            let text = format!("routing.unresolvable: `{unresolvable}` is neither channel!host, error!text, hold!condition nor an address");
            faults.push(at(group, "unresolvable", text));
        }
        let smart_host = text(group, "smart_host").unwrap_or_default();
        if !smart_host.is_empty()
            && let Err(reason) = next_hop(smart_host, false)
        {
            faults.push(at(group, "smart_host", format!("routing.smart_host: {reason}")));
        }
    }
    for key in ["fqdn_aliases", "canonical", "sender_canonical", "routes", "sender_smart_hosts", "local_domains", "relay_domains"] {
        refers(sheet, "routing", key, false, faults);
    }
    for key in ["alias_domain_tables", "aliases", "mailbox_domain_tables", "mailboxes"] {
        refers(sheet, "virtual", key, false, faults);
    }
    refers(sheet, "local", "mailboxes", false, faults);
    refers(sheet, "local", "aliases", true, faults);
    let names: Vec<&str> = sheet.groups("table").iter().filter_map(|group| text(group, "name")).collect();
    for group in sheet.groups("local") {
        if text(group, "alias_user") == Some("root") {
            faults.push(at(group, "alias_user", "local.alias_user: nothing is run as root".to_owned()));
        }
        let users = text(group, "users").unwrap_or_default();
        if !users.starts_with('/') && !["any", "passwd"].contains(&users) && !names.contains(&users) {
            let text = format!("local.users: `{users}` is not `passwd`, `any`, the absolute path of a table or the name of a [[table]]");
            faults.push(at(group, "users", text));
        }
    }
}

fn order(group: &Group, key: &str, known: &[&str], faults: &mut Vec<Fault>) {
    let mut seen: Vec<&str> = Vec::new();
    for word in list(group, key) {
        if seen.contains(&word.as_str()) {
            faults.push(at(group, key, format!("routing.{key}: `{word}` stands there twice")));
        } else if !known.contains(&word.as_str()) {
            let near = nearest(word, known.iter().copied()).map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
            faults.push(at(group, key, format!("routing.{key}: `{word}` is none of {}{near}", known.join(", "))));
        }
        seen.push(word);
    }
}
