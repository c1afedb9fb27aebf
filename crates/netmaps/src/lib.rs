//! Map servers of others as lookup tables: socketmap (Sendmail's, Postfix's) and Postfix's tcp table.
//!
//! Both ask one key in one request and get one reply; `socketmap` and `tcp_table` say what both look like, with no
//! socket in sight. `line` has the sockets: TCP or Unix, several servers tried in order, everything within the
//! table's timeout.
//!
//! **Trusts** the server for what a key stands for, and for nothing else: a reply that is too long, badly counted, of no
//! known kind, or followed by more than was asked for ends the connection and is no answer. Nor is what a server says in
//! trouble repeated where it repeats the key.

mod line;
mod said;
mod socketmap;
mod tcp_table;

pub use said::{Replies, Said};

use line::{Line, Servers};
use settings::Table;
use tableserver::{Source, Trouble};

/// The kind `socketmap`.
#[derive(Debug, Default)]
pub struct Socketmap {
    servers: Servers,
}

impl Source for Socketmap {
    type Connection = Line;

    fn connect(&self, table: &Table) -> Result<Line, Trouble> {
        self.servers.connect(table)
    }

    fn ask(&self, line: &mut Line, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        let request = socketmap::request(&table.map, key).map_err(Trouble::passing)?;
        self.servers.ask::<socketmap::Reader>(line, table, &request).and_then(|said| said.answer(key))
    }
}

/// The kind `tcp`.
#[derive(Debug, Default)]
pub struct Tcp {
    servers: Servers,
}

impl Source for Tcp {
    type Connection = Line;

    fn connect(&self, table: &Table) -> Result<Line, Trouble> {
        self.servers.connect(table)
    }

    fn ask(&self, line: &mut Line, table: &Table, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        let request = tcp_table::request(key).map_err(Trouble::passing)?;
        self.servers.ask::<tcp_table::Reader>(line, table, &request).and_then(|said| said.answer(key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
