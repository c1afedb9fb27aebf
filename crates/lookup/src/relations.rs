//! All declared tables, behind one question: what does this table say of this key?

use crate::TableError;
use crate::privilege::Keeper;
use ipc::Caller;
use mio::{Registry, Token};
use settings::Settings;
use std::time::Instant;

/// What a table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the table's order, with `%0` to `%9` filled in; most kinds have one.
    pub values: Vec<String>,
    /// For explanations: `people (/etc/zpost/people:12)`.
    pub place: String,
    /// Whose word it is, so what its values may name.
    pub keeper: Keeper,
}

/// The declared tables of a configuration, and what is remembered of those that other processes answer for.
#[derive(Debug)]
pub struct Relations {
    settings: std::sync::Arc<Settings>,
}

impl Relations {
    /// `callers`: contact points of the processes that answer, by their names. Nothing is opened or asked yet.
    pub fn new(settings: &std::sync::Arc<Settings>, callers: Vec<(&'static str, Caller)>) -> Self {
        let _ = callers;
        Self { settings: std::sync::Arc::clone(settings) }
    }

    /// Looks a key up in a table, by the forms that the table is declared with. An answer that came after `began` is always
    /// young enough, whatever its TTL: a decision begun then can be made again until it has all that it needs.
    pub fn find(&mut self, began: Instant, table: &str, key: &str) -> Result<Option<Found>, TableError> {
        let _ = (began, key);
        match self.settings.tables.iter().find(|declared| declared.name == table) {
            Some(_) => Err(TableError::Temporary(format!("table {table}: this kind is not there yet"))),
            None => Err(TableError::Permanent(format!("there is no table {table}"))),
        }
    }

    /// Conversations become events of these tokens: `first` and so many after it as [`Relations::TOKENS`].
    pub fn register(&mut self, registry: &Registry, first: Token) -> std::io::Result<()> {
        let _ = (registry, first);
        Ok(())
    }

    /// Tokens that [`Relations::register`] takes.
    pub const TOKENS: usize = 8;

    /// Takes what has come, and gives up what is overdue; true: something did, so pending decisions may now be made.
    pub fn hear(&mut self, now: Instant) -> bool {
        let _ = now;
        false
    }

    /// When the next question is overdue; `None`: none is open.
    pub fn due(&self) -> Option<Instant> {
        None
    }

    /// For threads without a loop: waits until something has come, or this moment.
    pub fn wait(&mut self, until: Instant) {
        let _ = until;
    }
}
