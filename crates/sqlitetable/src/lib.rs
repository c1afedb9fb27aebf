//! SQLite files as lookup tables.
//!
//! A file is opened for reading only; the statement is prepared once, the key bound to it ([`settings::Statement`]), and
//! the values are the first column of its rows. A statement that would write is refused, one that takes too long is
//! interrupted, and a database that is locked for longer than half the timeout is trouble.
//!
//! **Trusts** the file's content to be anything: it is bounded, and its schema may call nothing (`trusted_schema`).

mod open;

use open::Open;
use rusqlite::types::ValueRef;
use rusqlite::{Error, ErrorCode, params_from_iter};
use settings::Table;
use std::time::Instant;
use tablelink::Values;
use tableserver::{Source, Trouble};

/// The kind.
#[derive(Debug, Default)]
pub struct Sqlite;

impl Source for Sqlite {
    type Connection = Open;

    fn connect(&self, table: &Table) -> Result<Open, Trouble> {
        Open::new(table)
    }

    fn ask(&self, open: &mut Open, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        if !open.is_current() {
            *open = Open::new(table)?;
        }
        let values = values(open, table, key);
        // Read without locks, and somebody has begun to write meanwhile.
        if open.without_locks() && !open.is_current() {
            *open = Open::new(table)?;
            return self::values(open, table, key);
        }
        values
    }
}

fn values(open: &Open, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
    open.until(Instant::now() + table.timeout);
    let mut prepared = open.connection.prepare(&open.statement.text).map_err(|e| wrong(&e))?;
    let bound = open.statement.bound.iter().map(|part| part.of(key));
    let mut rows = prepared.query(params_from_iter(bound)).map_err(|e| failed(&e))?;
    let mut values = Values::default();
    while let Some(row) = rows.next().map_err(|e| failed(&e))? {
        match row.get_ref(0).map_err(|e| failed(&e))? {
            ValueRef::Null => {}
            ValueRef::Integer(number) => values.push(number.to_string().as_bytes())?,
            ValueRef::Real(number) => values.push(number.to_string().as_bytes())?,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => values.push(bytes)?,
        }
    }
    Ok(values.answer())
}

/// With a key bound: only the kind of the error is told, for its words may hold what was bound.
fn failed(error: &Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::passing("the database is locked"),
        Some(ErrorCode::OperationInterrupted) => Trouble::passing("the statement takes longer than the table's timeout"),
        Some(ErrorCode::SchemaChanged) => Trouble::broken("the schema has changed"),
        Some(code @ (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen)) => {
            Trouble::broken(format!("the database cannot be read: {code:?}"))
        }
        Some(code) => Trouble::passing(format!("the statement fails: {code:?}")),
        None => Trouble::passing("the statement fails"),
    }
}

/// With nothing bound: everything the library says.
fn wrong(error: &Error) -> Trouble {
    match failed(error) {
        Trouble { broken: false, reason } if reason.starts_with("the statement fails") => {
            Trouble::passing(format!("the statement is wrong: {error}"))
        }
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
