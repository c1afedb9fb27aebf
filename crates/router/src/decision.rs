//! Where an address goes: through the steps of `[routing] order`.
//!
//! Pure but for the [`Tables`] it is given: whoever replaces the router later replaces [`route`], or only the tables.

use crate::expansion::{Context, Expansion};
use crate::rules::Rules;
use crate::scripted::crossed;
use crate::steps::Subject;
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict};
use address::{Address, Path};

/// How much of a decision is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Every recipient, without explanation: for messages.
    Recipients,
    /// Only whether there is one place to deliver to: for RCPT. Ends at the first.
    First,
    /// The addresses that an alias names, for EXPN: lists among them are not opened.
    Members,
    /// Every recipient, and the step that led to each.
    Explanation,
}

/// The result of routing one address.
#[derive(Debug, Default)]
pub struct Routing {
    /// Never empty.
    pub outcomes: Vec<Routed>,
    /// Only with [`Want::Explanation`].
    pub steps: Vec<String>,
    /// The address was an alias.
    pub expanded: bool,
}

impl Routing {
    /// One verdict for the whole address.
    pub(crate) fn of(address: &Address, via: Option<&str>, verdict: Verdict) -> Self {
        let outcome = Routed { via: via.map(str::to_owned), ..Routed::plain(address.as_str(), verdict) };
        Self { outcomes: vec![outcome], ..Self::default() }
    }

    /// What waits as a whole will begin where it began now.
    fn begun(&mut self, address: &Address, via: &str) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.verdict.is_open() && outcome.address == address.as_str()) {
            outcome.via = Some(via.to_owned());
        }
    }
}

/// Routes one address, for mail from `sender`.
pub fn route(address: &Address, sender: &Path, want: Want, rules: &Rules, tables: &mut dyn Tables) -> Routing {
    let routing = Expansion::new(address, sender, rules, tables, want).run();
    crossed(routing, address, sender, want, rules, tables)
}

/// Routes an address that routing came to before, by `via`: from there on.
pub fn route_on(address: &Address, via: Option<&str>, sender: &Path, want: Want, rules: &Rules, tables: &mut dyn Tables) -> Routing {
    let Some(via) = via else { return route(address, sender, want, rules, tables) };
    let routing = Expansion::new(address, sender, rules, tables, want).behind(via).run();
    let mut routing = crossed(routing, address, sender, want, rules, tables);
    routing.begun(address, via);
    routing
}

impl Expansion<'_> {
    /// One address, of the envelope or of an alias.
    pub(crate) fn resolve(&mut self, address: &Address, context: &Context) {
        let Some(written) = address.domain() else {
            let domain = context.domain.clone().unwrap_or_else(|| self.rules.hostname.clone());
            self.note(|| format!("{address}: no domain, so local at {domain}"));
            return self.local(address, &domain, context);
        };
        let Ok(domain) = address::normalise(written) else {
            return self.settle(address.as_str(), Verdict::refused(1, 3, "Bad domain in the address"), context);
        };
        self.steps(&Subject { address, domain: &domain, context });
    }
}
