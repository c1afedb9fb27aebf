//! Where next hops are.

use crate::hop::{ADDRESSES_HOLD, MOST_CANDIDATES, Name, Place};
use crate::lookups::Answered;
use crate::prober::Prober;
use ipc::dns::{Answer, Question};
use mio::Registry;
use nexthop::{Candidate, Dead, Destination, exchangers, host};
use std::collections::VecDeque;
use std::time::Instant;

impl Prober {
    pub(crate) fn locate(&mut self, name: &Name, now: Instant, registry: &Registry) {
        let Some(flavour) = name.flavour() else { return self.pause(name, "its channel is neither smtp nor lmtp", now) };
        let (question, port) = match Destination::parse(&name.host, flavour, self.settings.client.port) {
            Err(why) => return self.pause(name, why, now),
            Ok(Destination::Socket(path)) => return self.found(name, Ok(VecDeque::from([Candidate::Socket(path)])), now),
            Ok(Destination::Address(address)) => {
                let found = host(&address.ip().to_string(), &[address.ip()], address.port(), &self.ourselves);
                return self.found(name, found, now);
            }
            Ok(Destination::Exchangers { domain, port }) => (Question::MailHosts { domain, validate: false }, port),
            Ok(Destination::Host { name, port }) => (Question::Addresses { host: name }, port),
        };
        match self.lookups.ask(name.clone(), question, port, self.settings.call_ahead.timeout, registry) {
            Ok(()) => drop(self.hops.get_mut(name).map(|hop| hop.place = Place::Asked)),
            Err(why) => self.pause(name, &why, now),
        }
    }

    pub(crate) fn located(&mut self, (name, port, answer): Answered, now: Instant) {
        let found = match answer {
            Ok(Answer::MailHosts(hosts)) => exchangers(&hosts.hosts, port, &self.ourselves),
            Ok(Answer::Addresses(ips)) => host(&name.host, &ips, port, &self.ourselves),
            Ok(_) => Err(Dead::NoAddress),
            Err(trouble) => return self.pause(&name, &format!("its address is not known: {trouble:?}"), now),
        };
        self.found(&name, found, now);
    }

    pub(crate) fn found(&mut self, name: &Name, found: Result<VecDeque<Candidate>, Dead>, now: Instant) {
        match found {
            Ok(mut candidates) => {
                candidates.truncate(MOST_CANDIDATES);
                if let Some(hop) = self.hops.get_mut(name) {
                    hop.place = Place::Known { candidates, until: now + ADDRESSES_HOLD };
                }
            }
            // A question to ourselves would come back as a question to ourselves.
            Err(Dead::Loop) => self.pause(name, "it is this host", now),
            Err(Dead::NoAddress) => self.pause(name, "it has no address", now),
        }
    }
}
