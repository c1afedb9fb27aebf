//! What the configuration says of local names, apart from the tables themselves.

use settings::{LocalStep, Settings};

/// Local names.
#[derive(Debug)]
pub struct LocalRules {
    /// `[routing] local_order`
    pub order: Vec<LocalStep>,
    /// `[local] mailboxes`: names of tables.
    pub mailboxes: Vec<String>,
    /// `None`: there is no `[lists] folder`.
    pub lists: Option<ListRules>,
    /// Addresses looked at for one address at most.
    pub max_recipients: u64,
}

/// `[lists]`
#[derive(Debug)]
pub struct ListRules {
    /// `owner-NAME` instead of `NAME-owner`.
    pub owner_first: bool,
    pub verp: bool,
    pub headers: bool,
}

impl LocalRules {
    pub fn new(settings: &Settings) -> Self {
        let lists = &settings.lists;
        let of_lists = ListRules { owner_first: lists.owner_first, verp: lists.verp, headers: lists.headers };
        Self {
            order: settings.routing.local_order.clone(),
            mailboxes: settings.local.mailboxes.clone(),
            lists: lists.folder.is_some().then_some(of_lists),
            max_recipients: lists.max_recipients,
        }
    }
}
