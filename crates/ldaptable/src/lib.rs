//! LDAP servers as lookup tables (RFC 4511; filters RFC 4515, URIs RFC 4516), version 3.
//!
//! **Does.** One search for a key: the values of the table's attributes in all entries found. Simple bind, or none; TLS by
//! `ldaps://`, or StartTLS.
//!
//! **Trusts** no server: lengths, numbers, results and whole answers are checked; referrals are not followed.
//!
//! **Invariant:** what a key holds is a value of a parsed filter, with a length of its own on the wire: there is nothing that
//! it could end or begin.

mod ber;
mod filter;
mod protocol;
mod server;
mod session;

use server::Server;
use session::Session;
use settings::Table;
use settings::search::Filter;
use std::time::Instant;
use tablelink::{Fault, in_order};
use tableserver::{Source, Trouble};

/// The kind.
#[derive(Debug, Default)]
pub struct Ldap;

/// What a thread keeps.
#[derive(Debug)]
pub struct Connection {
    filter: Filter,
    session: Session,
}

impl Source for Ldap {
    type Connection = Connection;

    fn connect(&self, table: &Table) -> Result<Connection, Trouble> {
        let servers: Result<Vec<Server>, String> = table.servers.iter().map(|uri| Server::parse(uri)).collect();
        let servers = servers.map_err(|why| trouble(table, Fault::broken(format!("servers: {why}"))))?;
        let filter = Filter::parse(&table.filter).map_err(|why| trouble(table, Fault::broken(format!("filter: {why}"))))?;
        let session = open(&servers, table, Instant::now() + table.timeout).map_err(|fault| trouble(table, fault))?;
        Ok(Connection { filter, session })
    }

    fn ask(&self, connection: &mut Connection, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        let filter = filter::encode(&connection.filter, key);
        connection.session.ask(table, &filter, Instant::now() + table.timeout).map_err(|fault| trouble(table, fault))
    }
}

fn open(servers: &[Server], table: &Table, deadline: Instant) -> Result<Session, Fault> {
    in_order(servers, deadline, |server, until| Session::open(server, table, until))
}

fn trouble(table: &Table, fault: Fault) -> Trouble {
    let Fault { reason, broken } = fault.at(&format!("table {}", table.name));
    Trouble { reason, broken }
}
