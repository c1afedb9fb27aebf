//! AUTH: the session's exchange carried to the authserver and back, and what a login brings.

use crate::connection::{Awaiting, Connection, Stream};
use crate::context::Client;
use crate::logins::Exchange;
use crate::sync::Key;
use crate::worker::Worker;
use ipc::auth::{AuthPeer, Identity, Refused, Said};
use settings::{ListenerKind, SenderRule};
use status::{Enhanced, Reply};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Who has logged in, as policies see it; by a certificate nobody has a list.
pub(crate) fn user<'c>(c: &'c Connection, rule: SenderRule) -> Option<policy::User<'c>> {
    let name = c.session.user()?;
    let identity = c.login.as_ref().and_then(|login| login.identity.as_ref());
    let (mechanism, senders) = identity.map_or(("EXTERNAL", &[][..]), |identity| (&identity.mechanism, &identity.senders));
    Some(policy::User { name, mechanism, senders, rule })
}

/// The login of a session, or the one it is about.
#[derive(Debug, Default)]
pub(crate) struct Login {
    /// Of the exchange that is open.
    exchange: Option<u64>,
    /// Who has logged in.
    pub identity: Option<Identity>,
}

impl Worker {
    /// AUTH.
    pub(crate) fn authenticate(&mut self, c: &mut Connection, key: Key, mechanism: String, initial: Option<Vec<u8>>) {
        let peer = self.auth_peer(c);
        c.awaiting = Awaiting::Login;
        let number = self.logins.begin(key, mechanism, initial, peer, self.poll.registry(), self.now);
        c.login = Some(Box::new(Login { exchange: Some(number), identity: None }));
    }

    /// The client's answer to a challenge.
    pub(crate) fn auth_response(&mut self, c: &mut Connection, key: Key, response: Vec<u8>) {
        match c.login.as_ref().and_then(|login| login.exchange) {
            Some(number) => {
                c.awaiting = Awaiting::Login;
                self.logins.respond(key, number, response, self.poll.registry(), self.now);
            }
            None => c.session.not_authenticated(&refusal(Refused::Temporary)),
        }
    }

    /// The client gave up, or is gone.
    pub(crate) fn auth_cancelled(&mut self, c: &mut Connection) {
        if let Some(number) = c.login.as_mut().and_then(|login| login.exchange.take()) {
            self.logins.cancel(number, self.poll.registry());
        }
    }

    fn auth_peer(&self, c: &Connection) -> AuthPeer {
        let (local, bindings) = match &c.stream {
            Stream::Tls(stream) => (stream.socket.local_addr().ok(), stream.bindings()),
            Stream::Tcp(stream) => (stream.local_addr().ok(), Vec::new()),
            Stream::Unix(_) | Stream::Gone => (None, Vec::new()),
        };
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let service = match self.context.kind(c.listener) {
            Some(ListenerKind::Submission | ListenerKind::Submissions) => "submission",
            Some(ListenerKind::Lmtp) => "lmtp",
            Some(ListenerKind::Smtp) | None => "smtp",
        };
        AuthPeer {
            address: if let Client::Network(address) = c.client { address } else { loopback },
            local: local.map_or(loopback, |address| address.ip().to_canonical()),
            hello: c.session.hello().unwrap_or_default().to_owned(),
            tls: matches!(c.stream, Stream::Tls(_)),
            bindings,
            service: service.to_owned(),
        }
    }

    pub(crate) fn hear_logins(&mut self) {
        for (exchange, said) in self.logins.receive(self.poll.registry()) {
            self.auth_said(exchange, said);
        }
    }

    /// Exchanges that the authserver leaves without an answer.
    pub(crate) fn tend_logins(&mut self) {
        let lost = self.logins.tend(self.poll.registry(), self.now);
        if lost.is_empty() {
            return;
        }
        self.counters.add("helper_failures", lost.len() as u64);
        daemon::event!(Warning, "no_answer", authserver = lost.len());
        for exchange in lost {
            self.auth_said(exchange, Said::Refused { user: None, reason: Refused::Temporary, delay: Duration::ZERO });
        }
    }

    fn auth_said(&mut self, (key, number): Exchange, said: Said) {
        let Some(mut c) = self.take_connection(key) else { return };
        if c.awaiting == Awaiting::Login && c.login.as_ref().is_some_and(|login| login.exchange == Some(number)) {
            c.awaiting = Awaiting::Nothing;
            self.auth_goes_on(&mut c, said);
        }
        self.settle(key, c);
    }

    fn auth_goes_on(&mut self, c: &mut Connection, said: Said) {
        c.deadline = self.now + self.command_timeout(c);
        match said {
            Said::Challenge(message) => c.session.challenge(&message),
            Said::Accepted(identity) => {
                self.counters.add("authenticated", 1);
                let rights = self.context.rights_of_user(c, self.scheduler.exists());
                c.session.authenticated(&identity.user, rights);
                c.login = Some(Box::new(Login { exchange: None, identity: Some(identity) }));
            }
            Said::Refused { reason, delay, .. } => {
                c.login = None;
                c.session.not_authenticated(&refusal(reason));
                self.note(c);
                if !delay.is_zero() && !c.session.is_closed() {
                    c.conduct.tarpit.wait_until(self.now + delay);
                }
            }
        }
    }
}

fn refusal(reason: Refused) -> Reply {
    match reason {
        Refused::Credentials => Reply::new(535, Enhanced::permanent(7, 8), "authentication credentials invalid"),
        Refused::Malformed => Reply::new(501, Enhanced::permanent(5, 2), "malformed authentication message"),
        Refused::Mechanism => Reply::new(504, Enhanced::permanent(5, 4), "authentication mechanism not available"),
        Refused::Temporary => Reply::new(454, Enhanced::transient(7, 0), "temporary authentication failure, try again later"),
        Refused::Encryption => Reply::new(538, Enhanced::permanent(7, 11), "encryption is required for authentication"),
        Refused::Locked => Reply::new(421, Enhanced::transient(7, 0), "too many failed logins, try again later"),
    }
}
