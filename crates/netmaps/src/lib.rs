//! Map servers of others as lookup tables: socketmap (Sendmail's, Postfix's) and Postfix's tcp table.
//!
//! Both ask one key in one request and get one reply; `socketmap` and `tcp_table` say what both look like, with no
//! socket in sight.
//!
//! **Trusts** the server for what a key stands for, and for nothing else: a reply that is too long, badly counted, of no
//! known kind, followed by more than was asked for, or not asked for at all, ends the connection and is no answer. Nor is what
//! a server says in trouble repeated where it repeats the key.

mod said;
mod socketmap;
mod tcp_table;

pub use said::{Replies, Said};

use settings::Table;
use std::time::Instant;
use tablelink::{Link, Place};
use tableserver::{Protocol, Servers, Trouble};

/// The kind `socketmap`.
pub type Socketmap = Servers<OneReply<Netstrings>>;

/// The kind `tcp`.
pub type Tcp = Servers<OneReply<Lines>>;

/// How a key is asked for, and what reads the reply.
pub trait Form: Default + Send + Sync + 'static {
    type Reader: Replies;

    /// The request; `Err`: this key cannot be asked for.
    fn request(table: &Table, key: &str) -> Result<Vec<u8>, String>;
}

/// Of socketmap.
#[derive(Debug, Default)]
pub struct Netstrings;

impl Form for Netstrings {
    type Reader = socketmap::Reader;

    fn request(table: &Table, key: &str) -> Result<Vec<u8>, String> {
        socketmap::request(&table.map, key)
    }
}

/// Of tcp tables.
#[derive(Debug, Default)]
pub struct Lines;

impl Form for Lines {
    type Reader = tcp_table::Reader;

    fn request(_: &Table, key: &str) -> Result<Vec<u8>, String> {
        tcp_table::request(key)
    }
}

/// A protocol of single requests and replies.
#[derive(Debug, Default)]
pub struct OneReply<F>(std::marker::PhantomData<F>);

impl<F: Form> Protocol for OneReply<F> {
    type Server = Place;
    type Question = ();
    type Session = Link;

    fn server(&self, written: &str) -> Result<Place, String> {
        match Place::parse(written, 0)? {
            Place::Host { port: 0, .. } => Err(format!("`{written}` has no port")),
            place => Ok(place),
        }
    }

    fn question(&self, _: &Table) -> Result<(), String> {
        Ok(())
    }

    fn open(&self, server: &Place, _: &Table, (): &(), deadline: Instant) -> Result<Link, Trouble> {
        Link::connect(server, deadline)
    }

    fn ask(&self, link: &mut Link, table: &Table, (): &(), key: &str, deadline: Instant) -> Result<Option<Vec<String>>, Trouble> {
        let request = F::request(table, key).map_err(Trouble::passing)?;
        link.begin(deadline);
        link.expect_quiet()?;
        link.send(&request)?;
        let mut reader = F::Reader::default();
        loop {
            if let Some(said) = reader.take(&link.some()?).map_err(Trouble::malformed)? {
                return answer(said, key);
            }
        }
    }
}

/// What a server says in trouble may repeat the key, which must not get into the log.
fn answer(said: Said, key: &str) -> Result<Option<Vec<String>>, Trouble> {
    match said {
        Said::Found(value) => Ok(Some(vec![value])),
        Said::Absent => Ok(None),
        Said::Trouble(words) if words.to_lowercase().contains(&key.to_lowercase()) => {
            Err(Trouble::passing("the server has trouble with this key"))
        }
        Said::Trouble(words) => Err(Trouble::passing(format!("the server says: {words}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
