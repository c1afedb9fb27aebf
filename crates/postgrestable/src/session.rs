//! A session with a server: TLS, a login, the statement prepared, and one execution after the other.

use crate::login::Login;
use crate::message::{self, SSL_REQUEST, class, complaint, counted, demand};
use settings::{Statement, Table};
use std::time::Instant;
use tablelink::{Link, Place, Trouble, Values, password, shown, trust};

/// Messages of a login or of one answer, notices among them.
const MOST_MESSAGES: usize = 12_000;
/// The protocol's name in TLS.
const ALPN: &[u8] = b"postgresql";

#[derive(Debug)]
pub struct Session {
    link: Link,
}

impl Session {
    pub fn open(place: &Place, table: &Table, statement: &Statement, deadline: Instant) -> Result<Self, Trouble> {
        if table.user.is_empty() {
            return Err(Trouble::broken("user: PostgreSQL has no questions from nobody"));
        }
        let secret = table.password_file.as_deref().map(password).transpose()?;
        let mut link = Link::connect(place, deadline)?;
        if let Place::Host { host, .. } = place {
            link = match table.tls.as_str() {
                "yes" => direct(link.secure(&trust(table.ca.as_deref(), &[ALPN])?, host))?,
                "starttls" => upgrade(link)?.secure(&trust(table.ca.as_deref(), &[])?, host)?,
                _ => link,
            };
        }
        let mut session = Self { link };
        session.log_in(table, secret.as_deref())?;
        session.prepare(table, statement)?;
        Ok(session)
    }

    fn log_in(&mut self, table: &Table, secret: Option<&str>) -> Result<(), Trouble> {
        self.link.send(&message::startup(&table.user, &table.database))?;
        let mut login = Login::begin(&table.user, secret, self.link.is_private());
        for _ in 0..MOST_MESSAGES {
            match message::message(&mut self.link)? {
                (b'R', content) => {
                    if let Some(response) = login.respond(&demand(&content)?)? {
                        self.link.send(&response)?;
                    }
                }
                (b'Z', _) => return login.finished(),
                (b'S' | b'K' | b'N' | b'v', _) => {}
                (b'E', content) => return Err(refused("does not let us in", &content)),
                _ => return Err(Trouble::malformed("its answer is none to a login")),
            }
        }
        Err(Trouble::malformed("its login does not end"))
    }

    fn prepare(&mut self, table: &Table, statement: &Statement) -> Result<(), Trouble> {
        // The server is to give up first: then the session is of use for the next question.
        let milliseconds = (table.timeout * 9 / 10).as_millis().max(1);
        let sets = format!("SET default_transaction_read_only = on; SET statement_timeout = {milliseconds}");
        self.link.send(&message::simple(&sets))?;
        self.until_ready("does not take our settings", |_, _| Ok(()))?;
        self.link.send(&message::prepare(&statement.text, statement.bound.len()))?;
        let mut columns = 0;
        self.until_ready("does not take the query", |kind, content| {
            if kind == b'T' {
                columns = counted(content)?;
            }
            Ok(())
        })?;
        if columns == 0 { Err(Trouble::broken("query: its answer has no column")) } else { Ok(()) }
    }

    /// Reads to the end of an answer. No key is in what is asked so far: the server's own words can be told.
    fn until_ready(&mut self, what: &str, mut each: impl FnMut(u8, &[u8]) -> Result<(), Trouble>) -> Result<(), Trouble> {
        for _ in 0..MOST_MESSAGES {
            match message::message(&mut self.link)? {
                (b'Z', _) => return Ok(()),
                (b'E', content) => return Err(refused(what, &content)),
                (kind, content) => each(kind, &content)?,
            }
        }
        Err(Trouble::malformed("its answer does not end"))
    }

    /// One execution.
    pub fn ask(&mut self, statement: &Statement, key: &str, deadline: Instant) -> Result<Option<Vec<String>>, Trouble> {
        self.link.begin(deadline);
        self.link.send(&message::execute(&statement.bound, key))?;
        let mut values = Values::default();
        let (mut trouble, mut complete) = (None, false);
        for _ in 0..MOST_MESSAGES {
            match message::message(&mut self.link)? {
                // The rest must be read before the next question.
                (b'D', content) => match message::row(&content, &mut values) {
                    Err(passing) if !passing.broken => trouble = Some(passing),
                    other => other?,
                },
                (b'E', content) => trouble = Some(failed(&content)),
                (b'C', _) => complete = true,
                (b's', _) => trouble = Some(Trouble::passing("the answer has too many rows")),
                (b'Z', _) => return end(trouble, complete, values),
                (b'2' | b'N' | b'S' | b'A', _) => {}
                _ => return Err(Trouble::malformed("its answer is none to a query")),
            }
        }
        Err(Trouble::malformed("its answer does not end"))
    }
}

fn end(trouble: Option<Trouble>, complete: bool, values: Values) -> Result<Option<Vec<String>>, Trouble> {
    match trouble {
        Some(trouble) => Err(trouble),
        None if complete => Ok(values.answer()),
        None => Err(Trouble::malformed("its answer ends in the middle")),
    }
}

/// TLS from the first byte: only the server's word for the protocol tells that this is no other service with its certificate.
fn direct(secured: Result<Link, Trouble>) -> Result<Link, Trouble> {
    let older = "; PostgreSQL knows that since version 17: for others write tls = \"starttls\"";
    match secured {
        Ok(link) if link.protocol() == Some(ALPN) => Ok(link),
        Ok(_) => Err(Trouble::broken(format!("the server does not say that it speaks PostgreSQL inside TLS (ALPN){older}"))),
        // It does speak TLS.
        Err(trouble) if trouble.reason.contains("certificate") => Err(trouble),
        Err(trouble) => Err(Trouble { reason: trouble.reason + older, ..trouble }),
    }
}

/// A session begun in the clear asks for TLS; without it there is no session.
fn upgrade(mut link: Link) -> Result<Link, Trouble> {
    link.send(&SSL_REQUEST)?;
    match link.array()? {
        [b'S'] => Ok(link),
        [b'N'] => Err(Trouble::broken("the server has no TLS, and tls = \"starttls\" demands it")),
        [other] => Err(Trouble::malformed(format!("it answers `{}` where it could begin TLS", shown(&[other])))),
    }
}

fn refused(what: &str, content: &[u8]) -> Trouble {
    let said = complaint(content);
    Trouble::broken(format!("it {what}: {} (SQLSTATE {})", said.text, said.code))
}

/// The server's words about an execution may hold the key: only the number is told.
fn failed(content: &[u8]) -> Trouble {
    let said = complaint(content);
    let reason = format!("the query failed: SQLSTATE {} ({})", said.code, class(&said.code));
    // The statement is unknown, or its plan is out of date: it has to be prepared again.
    let stale = ["26000", "0A000"].contains(&said.code.as_str());
    if said.fatal || stale { Trouble::broken(reason) } else { Trouble::passing(reason) }
}
