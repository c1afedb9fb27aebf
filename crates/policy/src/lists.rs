//! DNS lists: who is asked about what, and the score.

use crate::book::Policy;
use crate::query::{Query, QueryId, What};
use ipc::dns::{ListSubject, Listed};
use settings::{About, DnsList};
use std::net::IpAddr;

/// The sum of the weights so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    pub sum: i32,
    /// Lists that count, with their weights; for client and log.
    pub zones: Vec<String>,
    /// What the heaviest says of it.
    pub text: String,
    heaviest: i32,
}

impl Score {
    /// One list's answer: counts once, however many codes it has.
    pub fn add(&mut self, list: &DnsList, listed: &Listed) {
        let counts = |code: &std::net::Ipv4Addr| list.answers.is_empty() || list.answers.iter().any(|pattern| pattern.matches(*code));
        if !listed.codes.iter().any(counts) {
            return;
        }
        self.sum = self.sum.saturating_add(list.weight);
        self.zones.push(list.zone.clone());
        if list.weight > self.heaviest {
            self.heaviest = list.weight;
            self.text.clone_from(&listed.text);
        }
    }
}

/// Is this list among those that rules name? `all`, `none`, zones; nothing said: all.
pub fn is_wanted(list: &DnsList, named: Option<&Vec<String>>) -> bool {
    named.is_none_or(|named| named.iter().any(|zone| *zone == list.zone || zone == "all"))
}

impl Policy {
    /// Questions to the lists about this.
    pub(crate) fn ask_lists(
        &self,
        about: About,
        subject: &Subject<'_>,
        named: Option<&Vec<String>>,
        turn: u32,
        ask: &mut Vec<(QueryId, Query)>,
    ) {
        for (number, list) in (0_u16..).zip(&self.lists).filter(|(_, list)| list.about == about && is_wanted(list, named)) {
            let subject = match subject {
                Subject::Address(address) => ListSubject::Address(*address),
                Subject::Domain(domain) => ListSubject::Domain((*domain).to_owned()),
            };
            ask.push((QueryId { turn, what: What::List(number) }, Query::List { zone: list.zone.clone(), subject }));
        }
    }
}

pub enum Subject<'a> {
    Address(IpAddr),
    Domain(&'a str),
}
