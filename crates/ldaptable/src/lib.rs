//! LDAP servers as lookup tables (RFC 4511; filters RFC 4515, URIs RFC 4516), version 3.
//!
//! **Does.** One search for a key: the values of the table's attributes in all entries found. Simple bind, or none; TLS by
//! `ldaps://`, or StartTLS.
//!
//! **Trusts** no server: lengths, numbers, results and whole answers are checked; referrals are not followed, and what may be
//! at their end counts as not known.
//!
//! **Invariant:** what a key holds is a value of a parsed filter, with a length of its own on the wire: there is nothing that
//! it could end or begin.

mod filter;
mod protocol;
mod server;
mod session;

use server::Server;
use session::Session;
use settings::Table;
use settings::search::Filter;
use std::time::Instant;
use tableserver::{Protocol, Servers, Trouble};

/// The kind.
pub type Ldap = Servers<Ldap3>;

/// Version 3 of the protocol.
#[derive(Debug, Default)]
pub struct Ldap3;

impl Protocol for Ldap3 {
    type Server = Server;
    type Question = Filter;
    type Session = Session;

    fn server(&self, written: &str) -> Result<Server, String> {
        Server::parse(written)
    }

    fn question(&self, table: &Table) -> Result<Filter, String> {
        Filter::parse(&table.filter).map_err(|why| format!("filter: {why}"))
    }

    fn open(&self, server: &Server, table: &Table, _: &Filter, deadline: Instant) -> Result<Session, Trouble> {
        Session::open(server, table, deadline)
    }

    fn ask(
        &self,
        session: &mut Session,
        table: &Table,
        filter: &Filter,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, Trouble> {
        session.ask(table, &filter::encode(filter, key), deadline)
    }
}
