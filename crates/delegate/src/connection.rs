//! One connection: a question at a time.

use crate::pool::Question;
use crate::protocol::{Answer, AnswerReader};
use mio::{Registry, Token};
use nexthop::{Candidate, Socket};
use settings::{Bind, PolicyService};
use std::io::{self, Read, Write};
use std::time::Instant;

#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    made: bool,
    pub question: Option<Question>,
    /// Bytes of the question that are written.
    written: usize,
    reader: AnswerReader,
    /// Questions answered.
    pub answered: u64,
    pub begun: Instant,
    /// Since the last answer.
    pub idle_since: Instant,
}

/// How far a connection has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Waiting,
    Answered(Answer),
    /// It is over; why.
    Broken(String),
}

impl Connection {
    pub const fn new(socket: Socket, question: Question, now: Instant) -> Self {
        let reader = AnswerReader::new();
        Self { socket, made: false, question: Some(question), written: 0, reader, answered: 0, begun: now, idle_since: now }
    }

    /// Begins the connection to a service.
    pub fn socket(service: &PolicyService, registry: &Registry, token: Token) -> io::Result<Socket> {
        let mut socket = Socket::connect(&match &service.server {
            Bind::Tcp(address) => Candidate::Network { name: service.name.clone(), address: *address },
            Bind::Unix(path) => Candidate::Socket(path.clone()),
        })?;
        socket.register(registry, token)?;
        Ok(socket)
    }

    /// The next question, on a connection that has none.
    pub fn put(&mut self, question: Question) -> Progress {
        self.question = Some(question);
        self.written = 0;
        self.advance()
    }

    /// Writes and reads what can be.
    pub fn advance(&mut self) -> Progress {
        match self.try_advance() {
            Ok(Some(answer)) => Progress::Answered(answer),
            Ok(None) => Progress::Waiting,
            Err(why) => Progress::Broken(why),
        }
    }

    /// It was closed for want of questions, and not because of this one.
    pub const fn was_idle(&self) -> bool {
        self.answered > 0 && self.reader.is_empty()
    }

    fn try_advance(&mut self) -> Result<Option<Answer>, String> {
        if !self.made {
            self.made = self.socket.connected().map_err(|e| format!("no connection: {e}"))?.is_some();
            if !self.made {
                return Ok(None);
            }
        }
        self.write().map_err(|e| format!("the connection broke: {e}"))?;
        self.read()
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(question) = &self.question else { return Ok(()) };
        while let Some(rest) = question.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.written = self.written.saturating_add(length),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Answer>, String> {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(_) if self.question.is_none() => return Err("it spoke unasked".to_owned()),
                Ok(length) => {
                    if let Some(answer) = self.reader.take(buffer.get(..length).unwrap_or_default())? {
                        return Ok(Some(answer));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(format!("the connection broke: {e}")),
            }
        }
    }
}
