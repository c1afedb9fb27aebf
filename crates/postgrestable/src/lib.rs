//! PostgreSQL servers as lookup tables, by the protocol's version 3.0 (PostgreSQL 7.4 and later; PgBouncer).
//!
//! **Does.** The table's query, prepared once a session, executed for a key: the values are the first column of all rows.
//! SCRAM-SHA-256, MD5; TLS begun by the server's SSLRequest, or from the first byte (PostgreSQL 17). The session is set to
//! read only, and to stop a statement at the table's timeout.
//!
//! **Trusts** no server: lengths, numbers of rows and messages and whole answers are checked.
//!
//! **Invariant:** what a key holds is a parameter of a prepared statement, with a length of its own on the wire. All
//! parameters and results are texts.

mod login;
mod message;
mod session;

use session::Session;
use settings::{Statement, Table};
use std::time::Instant;
use tablelink::{Fault, Place, in_order};
use tableserver::{Source, Trouble};

const PORT: u16 = 5432;

/// The kind.
#[derive(Debug, Default)]
pub struct Postgresql;

/// What a thread keeps.
#[derive(Debug)]
pub struct Connection {
    statement: Statement,
    session: Session,
}

impl Source for Postgresql {
    type Connection = Connection;

    fn connect(&self, table: &Table) -> Result<Connection, Trouble> {
        open(table, Instant::now() + table.timeout).map_err(|fault| trouble(table, fault))
    }

    fn ask(&self, connection: &mut Connection, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        let Connection { statement, session } = connection;
        session.ask(statement, key, Instant::now() + table.timeout).map_err(|fault| trouble(table, fault))
    }
}

fn open(table: &Table, deadline: Instant) -> Result<Connection, Fault> {
    let statement = Statement::parse(&table.query, |number| format!("${number}"));
    let statement = statement.map_err(|why| Fault::broken(format!("query: {why}")))?;
    let places: Result<Vec<Place>, String> = table.servers.iter().map(|server| place(server)).collect();
    let places = places.map_err(|why| Fault::broken(format!("servers: {why}")))?;
    let session = in_order(&places, deadline, |place, until| Session::open(place, table, &statement, until))?;
    Ok(Connection { statement, session })
}

/// A folder stands for the socket of the usual port in it.
fn place(server: &str) -> Result<Place, String> {
    match Place::parse(server, PORT)? {
        Place::Unix(path) if path.is_dir() => Ok(Place::Unix(path.join(format!(".s.PGSQL.{PORT}")))),
        place => Ok(place),
    }
}

fn trouble(table: &Table, fault: Fault) -> Trouble {
    let Fault { reason, broken } = fault.at(&format!("table {}", table.name));
    Trouble { reason, broken }
}
