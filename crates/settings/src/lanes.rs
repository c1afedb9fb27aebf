//! `[[lane]]`: which messages routers see to first when there are more than they can.

use crate::Fault;
use crate::checks::{at, text};
use crate::programs::is_name;
use crate::sheet::{Group, Sheet};

/// One lane; a message takes the first whose conditions all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// Bytes from which on.
    pub min_size: u64,
    /// Words of the Precedence field; empty: any.
    pub precedence: Vec<String>,
    /// Senders, as in rules of policy; empty: any.
    pub senders: Vec<String>,
    /// Files of this lane for each turn of all lanes.
    pub share: u32,
    /// Routers at a time; 0: all.
    pub routers: u16,
    pub line: usize,
}

pub fn lane(g: &Group) -> Lane {
    Lane {
        name: g.text("name"),
        min_size: g.u64("min_size"),
        precedence: g.texts("precedence").iter().map(|word| word.to_lowercase()).collect(),
        senders: g.texts("senders"),
        share: g.u32("share"),
        routers: g.u16("routers"),
        line: g.line,
    }
}

pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let mut seen: Vec<&str> = Vec::new();
    for group in sheet.groups("lane") {
        let name = text(group, "name").unwrap_or_default();
        if !is_name(name) || name == "usual" || seen.contains(&name) {
            faults.push(at(group, "name", format!("lane.name: `{name}` is taken, or not made of a-z, 0-9 and -")));
        }
        seen.push(name);
    }
}
