//! How sessions come and go.

use crate::behalf::HEADER_TIME;
use crate::certificates::Offer;
use crate::conduct::Conduct;
use crate::connection::{Connection, Stream};
use crate::context::Client;
use crate::sync::Key;
use crate::worker::{FIRST_SESSION, Worker};
use ipc::master::Session;
use ipc::rates::Kind;
use mio::Token;
use smtp::server::Security;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

impl Worker {
    /// A client's socket from the master.
    pub(crate) fn welcome(&mut self, arrival: &Session, end: OwnedFd) {
        self.counters.add("sessions", 1);
        self.spare_descriptors();
        if let Err(e) = self.open(arrival, end) {
            daemon::event!(Warning, "no_session", reason = e);
            self.ended.push(arrival.number);
        }
    }

    fn open(&mut self, arrival: &Session, end: OwnedFd) -> io::Result<()> {
        let client = Client::of(&arrival.peer);
        let mut stream = Stream::new(end, client)?;
        let refuse = match (&arrival.refuse, self.draining) {
            (Some(text), _) => Some(text.as_str()),
            (None, true) => Some("this server is shutting down, try again"),
            (None, false) => None,
        };
        if let Some(text) = &arrival.refuse
            && self.noise.allows(self.now)
        {
            daemon::event!(Info, "rejected", stage = "connection", peer = client, code = 421, text = text);
        }
        let machine = self.context.machine.clone();
        let session = match refuse {
            Some(text) => smtp::server::Session::refused(machine, text),
            None => {
                let protocol = self.context.protocol(arrival.listener);
                let security = self.security(client, arrival.listener);
                smtp::server::Session::new(
                    machine,
                    protocol,
                    self.context.rights(client, arrival.listener, security == Security::Tls, self.scheduler.exists()),
                    security,
                )
            }
        };
        let deadline = self.now + self.context.settings.server.command_timeout;
        let address = if let Client::Network(address) = client { Some(address) } else { None };
        let stranger = self.context.settings.is_stranger(self.context.kind(arrival.listener), address);
        let mut conduct = Conduct::new(self.now, stranger);
        let tls = self.tls(client, arrival.listener);
        let heralded = !self.context.is_behind_proxy(arrival.listener);
        if !heralded && !self.is_balancer(client) {
            return Err(io::Error::other(format!("{client} is no load balancer of [server] proxies")));
        }
        // A PROXY header comes before the handshake.
        if let (true, true, Some(offer)) = (heralded, self.context.is_implicit_tls(arrival.listener), &tls) {
            stream.secure(offer)?;
            conduct.handshaking = true;
        }
        let slot = self.connections.vacant();
        if let Err(e) = stream.register(self.poll.registry(), Token(FIRST_SESSION + slot)) {
            self.connections.release(slot);
            return Err(e);
        }
        // The first event says that the socket is writable, and whether the client spoke before it was greeted.
        let mut connection = Box::new(Connection::new(stream, arrival.number, client, session, conduct, deadline));
        connection.tls = tls;
        connection.listener = arrival.listener;
        connection.heralded = heralded;
        if !heralded {
            connection.deadline = self.now + HEADER_TIME;
        }
        self.connections.put(slot, connection);
        Ok(())
    }

    /// TLS is for the network; a Unix socket is on this machine.
    fn tls(&self, client: Client, listener: u16) -> Option<Arc<Offer>> {
        self.certificates.of(listener).filter(|_| matches!(client, Client::Network(_))).cloned()
    }

    fn security(&self, client: Client, listener: u16) -> Security {
        match self.tls(client, listener) {
            Some(_) if self.context.is_implicit_tls(listener) => Security::Tls,
            Some(_) => Security::Offered,
            None => Security::Plain,
        }
    }

    /// The connection of a key, unless that session has ended.
    pub(crate) fn take_connection(&mut self, key: Key) -> Option<Box<Connection>> {
        let connection = self.connections.take(key.slot)?;
        if connection.number == key.number {
            return Some(connection);
        }
        self.connections.put(key.slot, connection);
        None
    }

    /// Moves a session on and puts it back, or ends it.
    pub(crate) fn settle(&mut self, key: Key, mut c: Box<Connection>) {
        if !self.advance(&mut c, key) {
            return self.end(key.slot, c);
        }
        if self.draining && c.is_idle() {
            c.session.close(421, "4.3.2", "this server is shutting down");
            if !self.advance(&mut c, key) {
                return self.end(key.slot, c);
            }
        }
        if !c.writable {
            c.deadline = c.deadline.min(self.now + self.context.settings.server.write_timeout);
        }
        let look = self.next_look(&c);
        if c.timer.is_none_or(|at| at > look) {
            c.timer = Some(look);
            self.timers.set(look, key);
        }
        self.connections.put(key.slot, c);
    }

    pub(crate) fn end(&mut self, slot: usize, mut c: Box<Connection>) {
        self.auth_cancelled(&mut c);
        if !c.session.is_closed() && c.session.transaction().is_some() {
            self.counters.add("aborts", 1);
            self.tally.count(c.client, Kind::Abort, 1);
            daemon::event!(Info, "lost_connection", peer = c.client, receiving = c.session.is_receiving());
        }
        c.stream.close();
        self.drop_message(&mut c);
        self.ended.push(c.number);
        self.connections.release(slot);
    }

    /// A timer has come; the deadline may have moved meanwhile.
    pub(crate) fn timer(&mut self, key: Key) {
        let Some(mut c) = self.take_connection(key) else { return };
        if c.timer.is_some_and(|at| at > self.now) {
            // A later one was set for a deadline that has become earlier since: this is that one's leftover.
            return self.connections.put(key.slot, c);
        }
        c.timer = None;
        self.look_after(key, c);
    }

    /// Takes no more: sessions between messages are told to come again, the others may finish theirs.
    pub(crate) fn drain(&mut self) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        for slot in self.connections.occupied() {
            if let Some(c) = self.connections.take(slot) {
                let key = Key { slot, number: c.number };
                self.settle(key, c);
            }
        }
    }
}
