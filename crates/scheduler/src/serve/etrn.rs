//! ETRN (RFC 1985): the mail for a node goes now. Asked by clients of the SMTP server, so bounded: each node waits once,
//! and a walk over the queue looks at a share of it in each turn.

use crate::model::{Cursor, Filter, Model, Now};
use ipc::control::{Action, Selection};
use std::collections::VecDeque;

/// Nodes that wait; one more is dropped, its client asks again.
const WAITING: usize = 32;
/// Messages looked at in one turn.
const BUDGET: usize = 500;

#[derive(Debug, Default)]
pub struct Etrns {
    waiting: VecDeque<String>,
    walk: Option<Walk>,
}

#[derive(Debug)]
struct Walk {
    node: String,
    /// One after another.
    filters: Vec<Filter>,
    cursor: Cursor,
    recipients: u64,
}

impl Etrns {
    /// `example.org`, `@example.org` (with all domains below it), `#next-hop`.
    pub fn want(&mut self, node: &str) {
        let known = self.waiting.iter().any(|waiting| waiting == node);
        if !known && self.waiting.len() < WAITING && node.len() <= 256 && node.bytes().all(|b| b.is_ascii_graphic()) {
            self.waiting.push_back(node.to_owned());
        }
    }

    /// Does a turn's share. True: there is more to do.
    pub fn turn(&mut self, model: &mut Model, now: Now) -> bool {
        if self.walk.is_none() {
            let Some(node) = self.waiting.pop_front() else { return false };
            // A destination of that name goes at once; the walk then finds the mail of the domain that goes elsewhere.
            model.trigger(node.trim_start_matches(['@', '#']), now);
            self.walk = Some(Walk {
                filters: selections(&node).into_iter().map(Filter::new).collect(),
                node,
                cursor: Cursor::default(),
                recipients: 0,
            });
        }
        let Some(walk) = &mut self.walk else { return false };
        let mut budget = BUDGET;
        while let Some(filter) = walk.filters.last() {
            match model.next_changed(Action::Retry, false, filter, &mut walk.cursor, &mut budget, now) {
                Ok(Some((_, recipients))) => walk.recipients += u64::from(recipients),
                Ok(None) => return true,
                Err(()) => {
                    walk.filters.pop();
                    walk.cursor = Cursor::default();
                }
            }
        }
        daemon::event!(Info, "etrn", node = walk.node, recipients = walk.recipients);
        self.walk = None;
        !self.waiting.is_empty()
    }
}

/// What a node means.
fn selections(node: &str) -> Vec<Selection> {
    let domain = |domain: String| Selection { domain: Some(domain), ..Selection::default() };
    match (node.strip_prefix('@'), node.strip_prefix('#')) {
        (Some(name), _) => vec![domain(name.to_owned()), domain(format!(".{name}"))],
        (_, Some(host)) => vec![Selection { host: Some(host.to_owned()), ..Selection::default() }],
        _ => vec![domain(node.to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_domain_a_tree_of_domains_or_a_next_hop() {
        let named = |node: &str| selections(node).into_iter().map(|s| (s.domain, s.host)).collect::<Vec<_>>();
        assert_eq!(named("a.example"), [(Some("a.example".to_owned()), None)]);
        assert_eq!(named("@a.example"), [(Some("a.example".to_owned()), None), (Some(".a.example".to_owned()), None)]);
        assert_eq!(named("#h:25"), [(None, Some("h:25".to_owned()))]);
    }

    #[test]
    fn a_flood_costs_bounded_memory_and_a_node_waits_once() {
        let mut etrns = Etrns::default();
        for n in 0..100_000 {
            etrns.want(&format!("h{}.example", n % 1000));
        }
        etrns.want("h0.example");
        assert_eq!(etrns.waiting.len(), WAITING);
    }
}
