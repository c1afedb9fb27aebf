//! Local names: aliases, `:include:` lists, users, the postmaster. A stack of open lists instead of recursion, so that
//! neither depth nor length of what an administrator wrote can exhaust the process.

use crate::decision::{Routing, Want};
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::{Keeper, Routed, Verdict, Way};
use crate::via;
use address::{Address, Path};
use lookup::{TableError, Value};
use std::collections::HashSet;
use std::rc::Rc;

/// Aliases within aliases.
const MAX_DEPTH: u32 = 50;

/// Where the address in hand comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    pub(crate) depth: u32,
    /// What a bare name is local at.
    pub(crate) domain: Option<String>,
    /// The alias whose value it is, and how many values that has.
    pub(crate) parent: Option<(String, usize)>,
    pub(crate) owner: Option<Path>,
    /// What else is different about mail that goes this way.
    pub(crate) way: Way,
    /// Whose word the address is: what it may have run, and where it may have written.
    pub(crate) keeper: Keeper,
    /// What it stands in.
    pub(crate) holder: Option<Rc<Holder>>,
    /// Stands in for a postmaster that does not exist.
    pub(crate) for_postmaster: bool,
}

/// The alias or list that an address stands in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holder {
    /// Of the alias or list.
    pub(crate) address: String,
    /// The file, or the declared table.
    pub(crate) file: Rc<str>,
}

pub(crate) struct Open {
    values: Rc<[Value]>,
    next: usize,
    context: Rc<Context>,
}

/// One decision in progress.
pub(crate) struct Expansion<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) tables: &'a mut dyn Tables,
    pub(crate) want: Want,
    pub(crate) open: Vec<Open>,
    /// Aliases and lists expanded so far: each only once.
    pub(crate) seen: HashSet<String>,
    looked_at: u64,
    /// Where the decision begins.
    begin: Context,
    pub(crate) looped: bool,
    found: bool,
    pub(crate) asked_root: bool,
    /// The address that is being routed.
    pub(crate) original: &'a Address,
    pub(crate) sender: &'a Path,
    pub(crate) routing: Routing,
}

impl<'a> Expansion<'a> {
    pub(crate) fn new(address: &'a Address, sender: &'a Path, rules: &'a Rules, tables: &'a mut dyn Tables, want: Want) -> Self {
        Self {
            original: address,
            sender,
            rules,
            tables,
            want,
            open: Vec::new(),
            seen: HashSet::new(),
            looked_at: 0,
            begin: Context::default(),
            looped: false,
            found: false,
            asked_root: false,
            routing: Routing::default(),
        }
    }

    /// Begins behind what was done already.
    pub(crate) fn behind(mut self, via: &str) -> Self {
        self.seen.insert(via.to_owned());
        self.begin = via::beginning(via);
        self
    }

    pub(crate) fn run(mut self) -> Routing {
        self.resolve(self.original, &self.begin.clone());
        while let Some(open) = self.open.last_mut() {
            if self.found && self.want == Want::First {
                break;
            }
            let Some(value) = open.values.get(open.next).cloned() else {
                self.open.pop();
                continue;
            };
            open.next += 1;
            let context = Rc::clone(&open.context);
            self.looked_at += 1;
            if self.looked_at > self.rules.local.max_recipients {
                self.too_many();
                break;
            }
            self.value(&value, &context);
        }
        self.finish();
        self.routing
    }

    fn finish(&mut self) {
        if self.routing.outcomes.is_empty() {
            let text = if self.looped { "Alias loop: the alias leads only to itself" } else { "The alias has no members" };
            let (subject, detail) = if self.looped { (4, 6) } else { (2, 4) };
            return self.instead(Verdict::refused(subject, detail, text));
        }
        // What a table could not say now is asked again for the whole address: routing only the missing part later is
        // not possible, and delivering the rest now would deliver it twice.
        let mut outcomes = self.routing.outcomes.iter();
        let open = outcomes.position(|outcome| outcome.verdict.is_open());
        if let (Some(at), true) = (open, self.want != Want::First && self.routing.expanded) {
            let verdict = self.routing.outcomes.swap_remove(at).verdict;
            self.instead(verdict);
        }
    }

    fn too_many(&mut self) {
        self.open.clear();
        self.instead(Verdict::refused(2, 4, format!("Expands to more than {} addresses", self.rules.local.max_recipients)));
    }

    /// One verdict for the whole address.
    pub(crate) fn instead(&mut self, verdict: Verdict) {
        self.routing.outcomes.clear();
        let address = self.original.as_str();
        self.settle(address, verdict, &self.begin.clone());
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.want == Want::Explanation && self.routing.steps.len() < 1000 {
            self.routing.steps.push(text());
        }
    }

    /// The end of one address's way.
    pub(crate) fn settle(&mut self, address: &str, verdict: Verdict, context: &Context) {
        self.note(|| match &verdict {
            Verdict::Deliver(quad) => format!("{address}: -> ({}, {}, {}, {})", quad.channel, quad.host, quad.user, quad.attributes),
            Verdict::Refused { status, text } => format!("{address}: refused: {status} {text}"),
            Verdict::Deferred { status, text } => format!("{address}: deferred: {status} {text}"),
            Verdict::Temporary(reason) | Verdict::ScriptFailed(reason) => format!("{address}: temporary failure: {reason}"),
            Verdict::Pending => format!("{address}: a table has not answered yet"),
        });
        self.found |= matches!(verdict, Verdict::Deliver(_));
        let via = context.parent.as_ref().map(|(parent, _)| parent).filter(|parent| via::lasts(parent, address)).cloned();
        let (owner, way) = (context.owner.clone(), context.way.clone());
        self.routing.outcomes.push(Routed { verdict, address: address.to_owned(), owner, way, via });
    }

    pub(crate) fn trouble(&mut self, address: &str, error: TableError, context: &Context) {
        self.settle(address, error.into(), context);
    }

    pub(crate) fn push(&mut self, values: Rc<[Value]>, mut context: Context) {
        context.depth += 1;
        context.way.forwarded = true;
        self.routing.expanded = true;
        if context.depth > MAX_DEPTH {
            let verdict = Verdict::refused(4, 6, format!("Aliases more than {MAX_DEPTH} deep"));
            return self.settle(self.original.as_str(), verdict, &context);
        }
        if values.len() as u64 > self.rules.local.max_recipients {
            return self.too_many();
        }
        self.open.push(Open { values, next: 0, context: Rc::new(context) });
    }
}
