//! PostgreSQL servers as lookup tables.

use settings::Table;
use tableserver::{Source, Trouble};

/// The kind.
#[derive(Debug, Default)]
pub struct Postgresql;

impl Source for Postgresql {
    type Connection = ();

    fn connect(&self, _table: &Table) -> Result<(), Trouble> {
        Err(Trouble { reason: "not there yet".to_owned(), broken: true })
    }

    fn ask(&self, _connection: &mut (), _table: &Table, _key: &str) -> Result<Option<Vec<String>>, Trouble> {
        Err(Trouble { reason: "not there yet".to_owned(), broken: true })
    }
}
