//! MySQL and MariaDB servers as lookup tables, by the client/server protocol 4.1 (MySQL 5.5 and later, all MariaDB).
//!
//! **Does.** The table's query, prepared once a session, executed for a key: the values are the first column of all rows.
//! `mysql_native_password`, `caching_sha2_password`, unix_socket; TLS begun in the handshake. The session is set to read
//! only, and to stop a statement at the table's timeout.
//!
//! **Trusts** no server: lengths, numbers of packets and rows and whole answers are checked. That it may ask for files of
//! ours (LOAD DATA LOCAL), or several statements in one, is never offered.
//!
//! **Invariant:** what a key holds is a parameter of a prepared statement, with a length of its own on the wire.

mod login;
mod packet;
mod session;
mod statement;

use session::Session;
use settings::{Statement, Table};
use std::time::Instant;
use tablelink::Place;
use tableserver::{Protocol, Servers, Trouble};

const PORT: u16 = 3306;

/// The kind.
pub type Mysql = Servers<Protocol41>;

/// The client/server protocol since version 4.1.
#[derive(Debug, Default)]
pub struct Protocol41;

impl Protocol for Protocol41 {
    type Server = Place;
    type Question = Statement;
    type Session = Session;

    fn server(&self, written: &str) -> Result<Place, String> {
        Place::parse(written, PORT)
    }

    fn question(&self, table: &Table) -> Result<Statement, String> {
        Statement::parse(&table.query, |_| "?".to_owned()).map_err(|why| format!("query: {why}"))
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
