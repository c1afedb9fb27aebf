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
use tablelink::Place;
use tableserver::{Protocol, Servers, Trouble};

const PORT: u16 = 5432;

/// The kind.
pub type Postgresql = Servers<Protocol3>;

/// Version 3.0 of the protocol.
#[derive(Debug, Default)]
pub struct Protocol3;

impl Protocol for Protocol3 {
    type Server = Place;
    type Question = Statement;
    type Session = Session;

    /// A folder stands for the socket of the usual port in it.
    fn server(&self, written: &str) -> Result<Place, String> {
        match Place::parse(written, PORT)? {
            Place::Unix(path) if path.is_dir() => Ok(Place::Unix(path.join(format!(".s.PGSQL.{PORT}")))),
            place => Ok(place),
        }
    }

    fn question(&self, table: &Table) -> Result<Statement, String> {
        Statement::parse(&table.query, |number| format!("${number}")).map_err(|why| format!("query: {why}"))
    }

    fn open(&self, server: &Place, table: &Table, statement: &Statement, deadline: Instant) -> Result<Session, Trouble> {
        Session::open(server, table, statement, deadline)
    }

    fn ask(
        &self,
        session: &mut Session,
        _: &Table,
        statement: &Statement,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, Trouble> {
        session.ask(statement, key, deadline)
    }
}
