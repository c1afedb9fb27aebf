//! Clients that come through others: a PROXY header of a load balancer, XCLIENT and XFORWARD of a trusted relay.
//!
//! What is known of the client begins anew with its address: rights, first contact, limits. Only the master's limits on
//! connections were counted before, for the address that connected.

use crate::connection::{Connection, Stream};
use crate::context::Client;
use crate::worker::Worker;
use settings::ListenerKind;
use smtp::server::{Protocol, Rights, Said, Security, Stand};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// For the PROXY header: balancers send it at once.
pub(crate) const HEADER_TIME: Duration = Duration::from_secs(5);

impl Worker {
    /// Looks for the PROXY header before anything else. False: it is not there yet, or the session is over.
    pub(crate) fn hear_header(&mut self, c: &mut Connection) -> bool {
        if !c.readable {
            return false;
        }
        let mut seen = [0; proxy::LONGEST];
        let count = match c.stream.peek(&mut seen) {
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                c.readable = false;
                return false;
            }
            Err(_) => 0,
        };
        match proxy::read_header(seen.get(..count).unwrap_or_default()) {
            proxy::Header::Complete { used, ends } => {
                // They have been looked at: they are there.
                let Some(Ok(taken)) = seen.get_mut(..used).map(|header| c.stream.read(header)) else { return self.no_header(c, "gone") };
                if taken != used {
                    return self.no_header(c, "gone");
                }
                c.heralded = true;
                if let Some(ends) = ends {
                    self.becomes(c, ends.client.ip());
                }
                self.secure_at_once(c)
            }
            proxy::Header::More if count > 0 && !c.half_closed => {
                // The next bytes bring the next event.
                c.readable = false;
                false
            }
            proxy::Header::More => self.no_header(c, "gone"),
            proxy::Header::Wrong(reason) => self.no_header(c, reason),
        }
    }

    /// Whoever has no header learns nothing.
    fn no_header(&mut self, c: &mut Connection, reason: &str) -> bool {
        self.counters.add("protocol_errors", 1);
        if self.noise.allows(self.now) {
            daemon::event!(Info, "no_proxy_header", peer = c.client, reason = reason);
        }
        c.session.close(421, "4.7.0", "no");
        c.session.output().clear();
        false
    }

    /// TLS from the first byte begins behind the header.
    fn secure_at_once(&mut self, c: &mut Connection) -> bool {
        if c.session.security() != Security::Tls {
            return true;
        }
        let Some(config) = c.tls.take() else { return true };
        c.conduct.handshaking = true;
        c.deadline = self.now + self.command_timeout(c);
        if c.stream.secure(&config).is_err() {
            return self.no_header(c, "no TLS");
        }
        true
    }

    /// May a load balancer at this address name clients?
    pub(crate) fn is_balancer(&self, client: Client) -> bool {
        let proxies = &self.context.settings.extensions.proxies;
        let Client::Network(address) = client else { return true };
        // Whoever may name clients may name one that relays: nobody but this machine, unless the configuration says so.
        if proxies.is_empty() { address.is_loopback() } else { proxies.iter().any(|network| network.contains(address)) }
    }

    /// From here on the client is another one.
    fn becomes(&mut self, c: &mut Connection, address: IpAddr) {
        c.client = Client::Network(address.to_canonical());
        let kind = match c.session.protocol() {
            Protocol::Smtp => ListenerKind::Smtp,
            Protocol::Submission => ListenerKind::Submission,
            Protocol::Lmtp => ListenerKind::Lmtp,
        };
        c.conduct.stranger = self.context.settings.is_stranger(Some(kind), Some(address));
        c.conduct.known = false;
        c.conduct.asked = false;
        c.policy = policy::Session::default();
        c.conduct.passed = false;
        let tls = c.session.security() == Security::Tls;
        let rights = self.context.rights(c.client, c.listener, tls, self.scheduler.exists());
        c.session.set_rights(rights);
    }

    /// XCLIENT.
    pub(crate) fn stand(&mut self, c: &mut Connection, stand: Stand) {
        let peer = c.client;
        let before = Arc::clone(c.session.rights());
        match &stand.address {
            Some(Said::Is(address)) => self.becomes(c, *address),
            // Nobody's address: it has no rights anywhere.
            Some(_) => self.becomes(c, Ipv4Addr::UNSPECIFIED.into()),
            None => {}
        }
        self.auth_cancelled(c);
        c.login = None;
        let user = stand.user(c.session.user().map(Into::into));
        let tls = c.session.security() == Security::Tls;
        let of_client = self.context.rights(c.client, c.listener, tls, self.scheduler.exists());
        // It is the same peer that speaks, or its client, whose commands many proxies pass on from here: that one must not
        // be whoever it likes. What XFORWARD says goes to the log and gives no right.
        let xclient = before.xclient && self.context.settings.extensions.xclient_repeated;
        let mut rights = Rights { xclient, xforward: before.xforward, ..Rights::clone(&of_client) };
        rights.relay |= user.is_some();
        let name = stand.name.clone().and_then(Said::value).unwrap_or_default();
        daemon::event!(Info, "xclient", peer = peer, client = c.client, name = name, user = user.unwrap_or_default());
        c.session.restart(stand, Arc::new(rights));
        // Met like everybody who connects.
        c.greeted = false;
    }

    /// XFORWARD: for the log, and nowhere else.
    pub(crate) fn forwarded(&self, c: &Connection, said: &[(String, String)]) {
        let of = |name: &str| said.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str());
        daemon::event!(
            Info,
            "xforward",
            peer = c.client,
            client = of("addr"),
            name = of("name"),
            helo = of("helo"),
            proto = of("proto"),
            ident = of("ident"),
            source = of("source")
        );
    }
}

impl Stream {
    /// What has come, left where it is; in the clear only.
    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buffer),
            Self::Unix(_) | Self::Tls(_) | Self::Gone => Ok(0),
        }
    }
}
