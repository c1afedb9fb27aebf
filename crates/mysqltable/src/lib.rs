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
use tablelink::{Fault, Place, in_order};
use tableserver::{Source, Trouble};

const PORT: u16 = 3306;

/// The kind.
#[derive(Debug, Default)]
pub struct Mysql;

/// What a thread keeps.
#[derive(Debug)]
pub struct Connection {
    statement: Statement,
    session: Session,
}

impl Source for Mysql {
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
    let statement = Statement::parse(&table.query, |_| "?".to_owned());
    let statement = statement.map_err(|why| Fault::broken(format!("query: {why}")))?;
    let places: Result<Vec<Place>, String> = table.servers.iter().map(|server| Place::parse(server, PORT)).collect();
    let places = places.map_err(|why| Fault::broken(format!("servers: {why}")))?;
    let session = in_order(&places, deadline, |place, until| Session::open(place, table, &statement, until))?;
    Ok(Connection { statement, session })
}

fn trouble(table: &Table, fault: Fault) -> Trouble {
    let Fault { reason, broken } = fault.at(&format!("table {}", table.name));
    Trouble { reason, broken }
}
