//! A session with a server: TLS, a bind, and one search after the other.

use crate::protocol::{self, Answer, NO_SUCH_OBJECT, Outcome, SUCCESS, answer, collect, named};
use crate::server::Server;
use ber::SEQUENCE;
use settings::Table;
use std::time::Instant;
use tablelink::{Link, Place, Trouble, Values, password, trust};

/// Messages that may come for one search.
const MOST_MESSAGES: usize = 2000;
/// Bytes of one message.
const LONGEST: usize = 256 * 1024;

#[derive(Debug)]
pub struct Session {
    link: Link,
    /// Of the last request.
    message: u32,
}

impl Session {
    pub fn open(server: &Server, table: &Table, deadline: Instant) -> Result<Self, Trouble> {
        let credentials = credentials(table)?;
        let link = Link::connect(&server.place, deadline)?;
        let mut session = Self { link, message: 0 };
        if let Place::Host { host, .. } = &server.place {
            session = match (server.secure, table.tls.as_str()) {
                (true, _) | (_, "yes") => session.secure(table, host)?,
                (_, "starttls") => session.upgrade()?.secure(table, host)?,
                _ => session,
            };
        }
        if let Some((user, password)) = credentials {
            session.bind(user, &password)?;
        }
        Ok(session)
    }

    fn secure(self, table: &Table, host: &str) -> Result<Self, Trouble> {
        let link = self.link.secure(&trust(table.ca.as_deref(), &[])?, host)?;
        Ok(Self { link, ..self })
    }

    fn upgrade(mut self) -> Result<Self, Trouble> {
        let outcome = self.short(protocol::starttls)?;
        match outcome.code {
            SUCCESS => Ok(self),
            code => Err(Trouble::broken(format!("it does not begin TLS: {} {}", named(code), outcome.text))),
        }
    }

    fn bind(&mut self, user: &str, password: &str) -> Result<(), Trouble> {
        if !self.link.is_private() {
            return Err(Trouble::broken("the password would be sent in the clear: write ldaps:// or tls = \"starttls\""));
        }
        let outcome = self.short(|message| protocol::bind(message, user, password))?;
        match outcome.code {
            SUCCESS => Ok(()),
            code => Err(Trouble::broken(format!("it does not let us in as user = \"{user}\": {} {}", named(code), outcome.text))),
        }
    }

    /// An operation with one answer, before there are questions.
    fn short(&mut self, request: impl Fn(u32) -> Vec<u8>) -> Result<Outcome, Trouble> {
        self.message += 1;
        self.link.send(&request(self.message))?;
        let message = self.link.element(SEQUENCE, LONGEST)?;
        match answer(&message, self.message)? {
            Answer::Done(outcome) => Ok(outcome),
            Answer::Leaving => Err(Trouble::broken("the server ends the connection")),
            _ => Err(Trouble::malformed("its answer is none to a bind or to STARTTLS")),
        }
    }

    /// One search.
    pub fn ask(&mut self, table: &Table, filter: &[u8], deadline: Instant) -> Result<Option<Vec<String>>, Trouble> {
        self.link.begin(deadline);
        // 31 bits (RFC 4511 section 4.1.1.1); 0 is the server's.
        self.message = self.message % 0x7fff_ffff + 1;
        self.link.send(&protocol::search(self.message, table, filter))?;
        let mut values = Values::default();
        let (mut trouble, mut elsewhere) = (None, false);
        for _ in 0..MOST_MESSAGES {
            let message = self.link.element(SEQUENCE, LONGEST)?;
            match answer(&message, self.message)? {
                Answer::Entry(entry) => match collect(entry, &table.attributes, &mut values) {
                    // The rest of the answer must be read before the next question.
                    Err(passing) if !passing.broken => trouble = Some(passing),
                    other => other?,
                },
                Answer::Reference => elsewhere = true,
                Answer::Leaving => return Err(Trouble::broken("the server ends the connection")),
                Answer::Done(outcome) => {
                    let said = trouble.map_or_else(|| ended(&outcome, values), Err);
                    return if elsewhere && !table.ignore_referrals { said.and_then(certain) } else { said };
                }
            }
        }
        Err(Trouble::malformed(format!("it answers with more than {MOST_MESSAGES} messages")))
    }
}

fn ended(outcome: &Outcome, values: Values) -> Result<Option<Vec<String>>, Trouble> {
    match outcome.code {
        SUCCESS => Ok(values.answer()),
        NO_SUCH_OBJECT => Ok(None),
        // Its text may hold the key.
        code => Err(Trouble::passing(format!("it does not search: {}", named(code)))),
    }
}

/// Where a part of the tree is on another server, not to have found the key is not to know.
fn certain(found: Option<Vec<String>>) -> Result<Option<Vec<String>>, Trouble> {
    let why = "it has not found the key, and a part of what is searched is on another server (referral), which is not asked; \
        see referrals in zpost.toml(5)";
    found.map(Some).ok_or_else(|| Trouble::passing(why))
}

/// Who we are; `None`: nobody.
fn credentials(table: &Table) -> Result<Option<(&str, String)>, Trouble> {
    match (&table.password_file, table.user.as_str()) {
        (None, "") => Ok(None),
        (Some(file), user) if !user.is_empty() => Ok(Some((user, password(file)?))),
        _ => Err(Trouble::broken("user and password_file need each other; without both the server is asked as nobody")),
    }
}
