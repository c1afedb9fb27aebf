//! Tables that servers answer for: a protocol, and what is alike whatever the protocol is.
//!
//! The servers of a table are tried in the order in which it names them, but those that failed within the last half minute
//! after the others. A server that takes a connection and then breaks off, is silent or talks nonsense costs no answer where
//! another one is in reach before the question's deadline. A connection that has answered before is another matter: servers
//! close those that have nothing to do, and are none the worse for it. All of connecting (names, sockets, TLS, login) and of a question is within the table's timeout.

use crate::{Source, Trouble};
use settings::Table;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tablelink::in_order;

/// A server that failed is tried after the others for so long.
const SHUNNED: Duration = Duration::from_secs(30);

/// A protocol that servers of tables speak.
pub trait Protocol: Default + Send + Sync + 'static {
    /// Where a server is; shown in the log.
    type Server: fmt::Display;
    /// What a server is asked, a key aside: a statement, a filter.
    type Question;
    /// A connection in which questions can be asked.
    type Session;

    /// As the table writes it.
    fn server(&self, written: &str) -> Result<Self::Server, String>;

    /// Of the table's declaration.
    fn question(&self, table: &Table) -> Result<Self::Question, String>;

    /// Connects, with TLS and a login where the table wants them.
    fn open(&self, server: &Self::Server, table: &Table, question: &Self::Question, deadline: Instant) -> Result<Self::Session, Trouble>;

    /// One key. After a `broken` trouble the session is not used again.
    fn ask(
        &self,
        session: &mut Self::Session,
        table: &Table,
        question: &Self::Question,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, Trouble>;
}

/// The servers of all tables of a protocol.
#[derive(Debug, Default)]
pub struct Servers<P> {
    protocol: P,
    /// Those that failed, and when.
    failed: Mutex<HashMap<String, Instant>>,
}

/// What a thread keeps.
#[derive(Debug)]
pub struct Connection<P: Protocol> {
    server: String,
    question: P::Question,
    session: P::Session,
    answered: bool,
}

impl<P: Protocol> Source for Servers<P> {
    type Connection = Connection<P>;

    fn connect(&self, table: &Table) -> Result<Connection<P>, Trouble> {
        self.open(table, Instant::now() + table.timeout)
    }

    fn ask(&self, connection: &mut Connection<P>, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        let deadline = Instant::now() + table.timeout;
        let trouble = match self.ask_by(connection, table, key, deadline) {
            Err(trouble) if trouble.broken && !connection.answered => trouble,
            said => return said,
        };
        let elsewhere = table.servers.len() > 1 && Instant::now() < deadline;
        let other = if elsewhere { self.open(table, deadline).ok().filter(|other| other.server != connection.server) } else { None };
        let Some(other) = other else { return Err(trouble) };
        *connection = other;
        self.ask_by(connection, table, key, deadline)
    }
}

impl<P: Protocol> Servers<P> {
    fn open(&self, table: &Table, deadline: Instant) -> Result<Connection<P>, Trouble> {
        let question = self.protocol.question(table).map_err(Trouble::broken)?;
        let servers: Result<Vec<P::Server>, String> = table.servers.iter().map(|written| self.protocol.server(written)).collect();
        let servers = self.good_ones_first(servers.map_err(|why| Trouble::broken(format!("servers: {why}")))?);
        in_order(&servers, deadline, |server, until| {
            let session = self.protocol.open(server, table, &question, until);
            session.map(|session| (server.to_string(), session)).inspect_err(|_| self.blame(&server.to_string()))
        })
        .map(|(server, session)| Connection { server, question, session, answered: false })
    }

    fn ask_by(&self, connection: &mut Connection<P>, table: &Table, key: &str, deadline: Instant) -> Result<Option<Vec<String>>, Trouble> {
        let Connection { server, question, session, answered } = connection;
        let said = self.protocol.ask(session, table, question, key, deadline);
        let broken = said.as_ref().is_err_and(|trouble| trouble.broken);
        if broken && !*answered {
            self.blame(server);
        }
        *answered |= !broken;
        said.map_err(|trouble| trouble.at(server))
    }

    fn good_ones_first(&self, servers: Vec<P::Server>) -> Vec<P::Server> {
        let mut failed = self.failed();
        failed.retain(|_, since| since.elapsed() < SHUNNED);
        let (mut good, shunned): (Vec<_>, Vec<_>) = servers.into_iter().partition(|server| !failed.contains_key(&server.to_string()));
        good.extend(shunned);
        good
    }

    fn blame(&self, server: &str) {
        self.failed().insert(server.to_owned(), Instant::now());
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
