//! A session with a next hop, on its socket.

use crate::dialogue::{Dialogue, Event};
use crate::hop::Name;
use ipc::callahead::Verdict;
use mio::{Registry, Token};
use nexthop::{Candidate, Socket};
use smtp::client::Flavour;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

#[derive(Debug)]
pub struct Session {
    pub hop: Name,
    socket: Socket,
    made: bool,
    dialogue: Dialogue,
    out: Vec<u8>,
    /// Whom it is asking about.
    pub recipient: Option<String>,
    /// Recipients decided.
    pub served: u32,
    /// Where else the recipient can be asked about when this comes to nothing.
    pub others: VecDeque<Candidate>,
    /// Of the question, or of being idle.
    pub deadline: Instant,
}

/// What became of the question in hand.
#[derive(Debug)]
pub enum Step {
    Waiting,
    Said(Verdict),
    Broken(String),
}

/// Where a session begins.
#[derive(Debug)]
pub struct Begin<'a> {
    pub hop: Name,
    pub flavour: Flavour,
    pub hello: &'a str,
    pub candidate: &'a Candidate,
    pub others: VecDeque<Candidate>,
    pub deadline: Instant,
}

impl Session {
    pub fn connect(begin: Begin<'_>, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = Socket::connect(begin.candidate)?;
        socket.register(registry, token)?;
        Ok(Self {
            hop: begin.hop,
            socket,
            made: false,
            dialogue: Dialogue::new(begin.flavour, begin.hello.to_owned()),
            out: Vec::new(),
            recipient: None,
            served: 0,
            others: begin.others,
            deadline: begin.deadline,
        })
    }

    /// It takes a question, now or when the one before is taken back.
    pub fn is_free(&self) -> bool {
        self.recipient.is_none() && !self.dialogue.is_over()
    }

    pub fn ask(&mut self, recipient: String, deadline: Instant) -> Step {
        self.deadline = deadline;
        match self.dialogue.ask(&recipient, &mut self.out) {
            Some(verdict) => Step::Said(verdict),
            None => {
                self.recipient = Some(recipient);
                self.write().map_or_else(|e| Step::Broken(e.to_string()), |()| Step::Waiting)
            }
        }
    }

    /// Goes on as far as the socket lets it.
    pub fn advance(&mut self) -> Step {
        self.try_advance().unwrap_or_else(Step::Broken)
    }

    /// Says goodbye, as far as that goes at once.
    pub fn quit(&mut self) {
        self.dialogue.quit(&mut self.out);
        let _ = self.write();
    }

    fn try_advance(&mut self) -> Result<Step, String> {
        if !self.made {
            self.made = self.socket.connected().map_err(|e| e.to_string())?.is_some();
            if !self.made {
                return Ok(Step::Waiting);
            }
        }
        let broke = |e: io::Error| format!("the connection broke: {e}");
        self.write().map_err(broke)?;
        let mut buffer = [0; 4096];
        loop {
            let length = match self.socket.read(&mut buffer) {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Waiting),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(broke(e)),
            };
            let events = self.dialogue.receive(buffer.get(..length).unwrap_or_default(), &mut self.out);
            // What follows a verdict in the same bytes was said unasked; the next event finds the session over.
            match events.into_iter().next() {
                Some(Event::Said(verdict)) => {
                    // Should this fail, the next event finds it out; the verdict stands.
                    let _ = self.write();
                    return Ok(Step::Said(verdict));
                }
                Some(Event::Ended(why)) => return Err(why),
                None => self.write().map_err(broke)?,
            }
        }
    }

    pub fn is_over(&self) -> bool {
        self.dialogue.is_over()
    }

    fn write(&mut self) -> io::Result<()> {
        while self.made && !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => drop(self.out.drain(..length.min(self.out.len()))),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
