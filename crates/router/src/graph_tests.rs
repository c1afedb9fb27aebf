//! Graphs of names through every kind of expansion, with loops: what can be reached is found once, and it ends.

use crate::forms::Leaving;
use crate::local_user::LocalUser;
use crate::recipients::route_all;
use crate::rules::Rules;
use crate::tables::Tables;
use address::{Address, Path};
use envelope::{EnvelopeRecipient, RecipientDsn};
use lookup::{AliasEntry, Found, Keeper, List, TableError, Value};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// By what kind of table a name stands for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Alias,
    List,
    Virtual,
    Fqdn,
    Canonical,
    Route,
}

const KINDS: [Kind; 6] = [Kind::Alias, Kind::List, Kind::Virtual, Kind::Fqdn, Kind::Canonical, Kind::Route];

/// Names, and what each stands for: another name, or a real address from [`REAL`] on.
#[derive(Debug, Clone)]
struct Graph(Vec<(Kind, Vec<usize>)>);

const REAL: usize = 100;

impl Graph {
    fn text(&self, node: usize) -> String {
        let Some((kind, _)) = self.0.get(node) else { return format!("r{node}@far.example") };
        match kind {
            Kind::Alias | Kind::List => format!("n{node}@local.example"),
            Kind::Virtual => format!("n{node}@v.example"),
            Kind::Fqdn => format!("n{node}@f.example"),
            Kind::Canonical => format!("n{node}@c.example"),
            Kind::Route => format!("n{node}@w{node}.example"),
        }
    }

    /// Some kinds stand for one other at most.
    fn next(&self, node: usize) -> &[usize] {
        match self.0.get(node) {
            Some((Kind::Canonical | Kind::Route, to)) => &to[..1],
            Some((_, to)) => to,
            None => &[],
        }
    }

    /// The real addresses, by walking the graph.
    fn reachable(&self, start: usize) -> BTreeSet<String> {
        let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![(start, false)]);
        while let Some((node, rewritten)) = open.pop() {
            let Some((kind, to)) = self.0.get(node) else {
                found.insert(self.text(node));
                continue;
            };
            // What was rewritten is not rewritten again, and what an entry says of its own address is that address.
            if *kind == Kind::Canonical && rewritten {
                found.insert(self.text(node));
                continue;
            }
            if !seen.insert(node) {
                continue;
            }
            if *kind == Kind::Fqdn && to.contains(&node) || matches!(kind, Kind::Canonical) && to[0] == node {
                found.insert(self.text(node));
            }
            open.extend(self.next(node).iter().filter(|next| **next != node).map(|next| (*next, *kind == Kind::Canonical)));
        }
        found
    }
}

struct World {
    graph: Graph,
    lookups: usize,
}

impl World {
    fn values(&self, node: usize) -> Vec<String> {
        self.graph.next(node).iter().map(|next| self.graph.text(*next)).collect()
    }

    fn node(&self, key: &str, kinds: &[Kind]) -> Option<usize> {
        let node = key.strip_prefix('n')?.split('@').next()?.parse().ok()?;
        let known = self.graph.0.get(node).is_some_and(|(kind, _)| kinds.contains(kind)) && self.graph.text(node) == key;
        known.then_some(node)
    }
}

impl Tables for World {
    fn find(&mut self, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        self.lookups += 1;
        let node = match table {
            "valias" => self.node(key, &[Kind::Virtual]),
            "fqdn" => self.node(key, &[Kind::Fqdn]),
            "canon" => self.node(key, &[Kind::Canonical]),
            _ => {
                let number = key.strip_prefix('w').and_then(|rest| rest.strip_suffix(".example")).and_then(|n| n.parse().ok());
                number.filter(|n| self.graph.0.get(*n).is_some_and(|(kind, _)| *kind == Kind::Route))
            }
        };
        Ok(node.map(|node| Found { values: vec![self.values(node).join(", ")], place: table.into(), keeper: Keeper::Administrator }))
    }
    fn alias(&mut self, key: &str) -> Result<Option<AliasEntry>, TableError> {
        self.lookups += 1;
        let Some(node) = self.node(key, &[Kind::Alias, Kind::List]) else { return Ok(None) };
        let values: Vec<Value> = match self.graph.0[node].0 {
            Kind::List => vec![Value::Include(format!("/{node}"))],
            _ => self.values(node).into_iter().map(Value::Address).collect(),
        };
        Ok(Some(AliasEntry { values: Rc::from(values), file: Rc::from("aliases"), line: 1, keeper: Keeper::Administrator }))
    }
    fn list(&mut self, path: &str) -> Result<List, TableError> {
        let node = path[1..].parse().unwrap();
        Ok(List::of(self.values(node).into_iter().map(Value::Address).collect()))
    }
    fn user(&mut self, _: &str) -> Result<Option<LocalUser>, TableError> {
        Ok(None)
    }
    fn users(&self) -> String {
        "nobody".to_owned()
    }
}

fn rules() -> Rules {
    let tables: String =
        ["valias", "fqdn", "canon", "ways"].iter().map(|name| format!("[[table]]\nname = \"{name}\"\nkind = \"inline\"\n")).collect();
    let text = format!(
        "[paths]\npostoffice = \"/tmp/none\"\n[identity]\nhostname = \"mta.example\"\n[local]\ndomains = [\"local.example\"]\nusers = \"passwd\"\n\
         {tables}[virtual]\nalias_domains = [\"v.example\"]\naliases = [\"valias\"]\n\
         [routing]\nfqdn_aliases = [\"fqdn\"]\ncanonical = [\"canon\"]\nroutes = [\"ways\"]\n"
    );
    Rules::new(&settings::parse(&text, "test").unwrap_or_else(|faults| panic!("{faults:?}")))
}

fn graph() -> impl Strategy<Value = Graph> {
    let next = prop_oneof![3 => 0..12_usize, 1 => REAL..REAL + 8];
    let node = (0..KINDS.len(), proptest::collection::vec(next, 1..5)).prop_map(|(kind, to)| (KINDS[kind], to));
    proptest::collection::vec(node, 12).prop_map(Graph)
}

proptest! {
    #[test]
    fn what_can_be_reached_is_found_once_and_it_ends(graph in graph()) {
        let rules = rules();
        let recipient = EnvelopeRecipient::new(Address::parse(&graph.text(0)).unwrap(), RecipientDsn::default());
        let expected = graph.reachable(0);
        let mut world = World { graph, lookups: 0 };
        let recipients = route_all(&[recipient], &Path::Null, &Leaving::default(), None, &rules, &mut world);
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for recipient in recipients.list.iter().filter(|recipient| recipient.quad.channel != "error") {
            *found.entry(recipient.quad.user.clone()).or_default() += 1;
        }
        prop_assert!(found.values().all(|times| *times == 1), "{found:?}");
        let found: BTreeSet<String> = found.into_keys().collect();
        prop_assert_eq!(&found, &expected, "{:?}", world.graph);
        // Without places to go there is one refusal.
        prop_assert!(!recipients.list.is_empty() && (!expected.is_empty() || recipients.list.len() == 1));
        // 12 names, 4 values each, each looked up by a few keys in a few tables.
        prop_assert!(world.lookups < 12 * 5 * 30, "{}", world.lookups);
    }
}
