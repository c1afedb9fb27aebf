//! A session with a server: TLS, a login, the statement prepared, and one execution after the other.

use crate::login::{self, Challenge, Greeting, Reply, proof, reply};
use crate::packet::{Packets, malformed};
use crate::statement::{self, Column, complaint, first, has_more, is_end, named};
use settings::{Statement, Table};
use std::time::Instant;
use tablelink::{Link, Place, Trouble, Values, password, trust};

/// Steps of a login.
const MOST_STEPS: usize = 6;
/// Rows of one answer, with those that are too many for it.
const MOST_ROWS: usize = 100_000;

#[derive(Debug)]
pub struct Session {
    packets: Packets,
    statement: u32,
}

impl Session {
    pub fn open(place: &Place, table: &Table, statement: &Statement, deadline: Instant) -> Result<Self, Trouble> {
        if table.user.is_empty() {
            return Err(Trouble::broken("user: MySQL has no questions from nobody"));
        }
        let secret = table.password_file.as_deref().map(password).transpose()?;
        let mut packets = connect(place, table, secret.as_deref(), deadline)?;
        let statement = prepare(&mut packets, statement)?;
        Ok(Self { packets, statement })
    }

    /// One execution.
    pub fn ask(&mut self, statement: &Statement, key: &str, deadline: Instant) -> Result<Option<Vec<String>>, Trouble> {
        self.packets.link.begin(deadline);
        self.packets.command(&statement::execute(self.statement, &statement.bound, key))?;
        let columns = match self.packets.receive()?.as_slice() {
            [0xff, rest @ ..] => return Err(failed(rest)),
            [0, ..] => return Err(Trouble::broken("query: its answer has no column")),
            [columns @ ..=0xfa] => u16::from(*columns),
            _ => return Err(malformed()),
        };
        // What was true when the statement was prepared may not be any more: a table that was altered has the server prepare
        // it again, and say so nowhere else.
        let column = Column::parse(&definitions(&mut self.packets, columns)?.ok_or_else(malformed)?)?;
        let mut values = Values::default();
        let mut trouble = None;
        for _ in 0..=MOST_ROWS {
            let packet = self.packets.receive()?;
            match packet.as_slice() {
                [0xff, rest @ ..] => return Err(failed(rest)),
                end if is_end(end) && has_more(end) => return Err(Trouble::broken("query: it has more than one result")),
                end if is_end(end) => return trouble.map_or_else(|| Ok(values.answer()), Err),
                row => {
                    let pushed = first(row, column, columns)?.map_or(Ok(()), |value| values.push(&value));
                    match pushed {
                        // The rest must be read before the next question.
                        Err(passing) if !passing.broken => trouble = Some(passing),
                        other => other?,
                    }
                }
            }
        }
        Err(Trouble::broken("the answer has too many rows"))
    }
}

fn connect(place: &Place, table: &Table, secret: Option<&str>, deadline: Instant) -> Result<Packets, Trouble> {
    let mut link = Link::connect(place, deadline)?;
    let host = if let Place::Host { host, .. } = place { Some(host) } else { None };
    let secure = |link: Link| host.map_or_else(|| Err(malformed()), |host| link.secure(&trust(table.ca.as_deref(), &[])?, host));
    let tls = if host.is_some() { table.tls.as_str() } else { "no" };
    if tls == "yes" {
        link = secure(link)?;
    }
    let mut packets = Packets::new(link);
    let greeting = packets.receive()?;
    if let [0xff, rest @ ..] = greeting.as_slice() {
        return Err(refused("does not greet us", rest));
    }
    let greeting = Greeting::parse(&greeting)?;
    if tls == "starttls" {
        if greeting.abilities & login::TLS == 0 {
            return Err(Trouble::broken("the server has no TLS, and tls = \"starttls\" demands it"));
        }
        packets.send(&login::begin(true))?;
        packets = packets.secure(secure)?;
    }
    log_in(&mut packets, table, secret, &greeting, tls == "starttls")?;
    limit(&mut packets, table, greeting.is_mariadb())?;
    Ok(packets)
}

fn log_in(packets: &mut Packets, table: &Table, secret: Option<&str>, greeting: &Greeting, tls: bool) -> Result<(), Trouble> {
    let Challenge { plugin, .. } = &greeting.challenge;
    // A plug-in that is none of ours is only the server's default: it names the user's when it knows the user.
    let first = proof(&greeting.challenge, secret).unwrap_or_default();
    let private = packets.link.is_private();
    packets.send(&login::respond(tls, &table.user, &table.database, &first, plugin)?)?;
    for _ in 0..MOST_STEPS {
        match reply(&packets.receive()?)? {
            Reply::In => return Ok(()),
            Reply::Remembered => {}
            Reply::Switch(challenge) => packets.send(&proof(&challenge, secret)?)?,
            Reply::Password => packets.send(&open_password(secret, private)?)?,
            Reply::No(rest) => return Err(refused("does not let us in", rest)),
        }
    }
    Err(Trouble::malformed("its login does not end"))
}

/// caching_sha2_password, when the server has not seen the password since its start.
fn open_password(secret: Option<&str>, private: bool) -> Result<Vec<u8>, Trouble> {
    match secret {
        Some(secret) if private => Ok([secret.as_bytes(), b"\0"].concat()),
        Some(_) => Err(Trouble::broken("the server wants the password in the clear: write tls = \"starttls\"")),
        None => Err(Trouble::broken("the server wants a password, and there is no password_file")),
    }
}

/// Reading only, and no longer than we wait.
fn limit(packets: &mut Packets, table: &Table, mariadb: bool) -> Result<(), Trouble> {
    // The server is to give up first: then the session is of use for the next question.
    let milliseconds = (table.timeout * 9 / 10).as_millis().max(1);
    let time = if mariadb {
        format!("SET SESSION max_statement_time = {}.{:03}", milliseconds / 1000, milliseconds % 1000)
    } else {
        format!("SET SESSION max_execution_time = {milliseconds}")
    };
    for text in ["SET SESSION TRANSACTION READ ONLY", &time] {
        packets.command(&statement::query(text))?;
        match packets.receive()?.as_slice() {
            [0, ..] => {}
            [0xff, rest @ ..] => return Err(refused("does not take our settings", rest)),
            _ => return Err(malformed()),
        }
    }
    Ok(())
}

/// The number of the statement.
fn prepare(packets: &mut Packets, statement: &Statement) -> Result<u32, Trouble> {
    packets.command(&statement::prepare(&statement.text))?;
    let packet = packets.receive()?;
    if let [0xff, rest @ ..] = packet.as_slice() {
        return Err(refused("does not take the query", rest));
    }
    let prepared = statement::prepared(&packet)?;
    if usize::from(prepared.parameters) != statement.bound.len() {
        return Err(Trouble::broken("query: a `?` of its own is in it; write %k, %u or %d"));
    }
    if prepared.columns == 0 {
        return Err(Trouble::broken("query: its answer has no column"));
    }
    definitions(packets, prepared.parameters)?;
    // One that cannot be a text is told of before there is a question.
    Column::parse(&definitions(packets, prepared.columns)?.ok_or_else(malformed)?)?;
    Ok(prepared.statement)
}

/// So many definitions and what ends them; the first.
fn definitions(packets: &mut Packets, count: u16) -> Result<Option<Vec<u8>>, Trouble> {
    let mut kept = None;
    for number in 0..count {
        let packet = packets.receive()?;
        if is_end(&packet) || packet.first() == Some(&0xff) {
            return Err(malformed());
        }
        if number == 0 {
            kept = Some(packet);
        }
    }
    if count > 0 && !is_end(&packets.receive()?) { Err(malformed()) } else { Ok(kept) }
}

/// No key is in what was asked so far: the server's own words can be told.
fn refused(what: &str, rest: &[u8]) -> Trouble {
    let said = complaint(rest);
    Trouble::broken(format!("it {what}: {} (error {})", said.text, said.code))
}

/// The server's words about an execution may hold the key: only the number is told.
fn failed(rest: &[u8]) -> Trouble {
    let code = complaint(rest).code;
    let reason = format!("the query failed: error {code} ({})", named(code));
    // Sessions that are at their end, and statements that have to be prepared again.
    if [1053, 1243, 1317, 1615, 1927, 4031].contains(&code) { Trouble::broken(reason) } else { Trouble::passing(reason) }
}
