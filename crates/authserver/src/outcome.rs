//! How exchanges end: the log, the counts, delays and locks, the answer.

use crate::Found;
use crate::exchange::Exchange;
use crate::failures::Limits;
use crate::server::{Key, Out, Server};
use ipc::auth::{FromAuth, Identity, Refused, Said};
use std::time::Duration;

/// Senders listed for one user.
const MOST_SENDERS: usize = 500;

/// How an exchange ended.
pub enum End {
    Accepted(Found),
    Refused(Refused, String),
}

impl Server {
    /// The end of an exchange: the log, the counts, the answer.
    pub(crate) fn finish(&mut self, key: Key, exchange: Exchange, end: End, desk: &mut Out) {
        if let Some(ticket) = exchange.ticket {
            self.tickets.remove(&ticket);
        }
        let end = match end {
            End::Accepted(found) if self.auth.refuse_users.contains(&found.user.to_lowercase()) => {
                End::Refused(Refused::Credentials, "this user never logs in (auth.refuse_users)".to_owned())
            }
            End::Accepted(found) if self.failures.is_locked(exchange.peer.address, Some(&found.user), self.now) => {
                End::Refused(Refused::Locked, "locked out".to_owned())
            }
            other => other,
        };
        let said = match end {
            End::Accepted(found) => match self.backends.senders(&found.user.to_lowercase()) {
                Ok(senders) => self.accepted(&exchange, found, senders, desk),
                Err(reason) => self.refused(exchange, Refused::Temporary, &reason, desk),
            },
            End::Refused(refused, reason) => self.refused(exchange, refused, &reason, desk),
        };
        desk.answer(key.0, FromAuth { number: key.1, said });
    }

    /// `listed`: senders by `sender_logins`.
    fn accepted(&self, exchange: &Exchange, found: Found, listed: Vec<String>, desk: &Out) -> Said {
        let user = found.user.to_lowercase();
        let mut senders = found.senders;
        senders.extend(listed);
        senders.truncate(MOST_SENDERS);
        desk.started.counters.add("accepted", 1);
        let (peer, mechanism) = (&exchange.peer, &exchange.mechanism);
        daemon::event!(Info, "login", user = user, peer = peer.address, mechanism = mechanism, tls = peer.tls, service = peer.service);
        Said::Accepted(Identity { user, mechanism: mechanism.clone(), senders })
    }

    fn refused(&mut self, exchange: Exchange, reason: Refused, text: &str, desk: &Out) -> Said {
        let Exchange { peer, user, mechanism, .. } = exchange;
        let mut delay = Duration::ZERO;
        let counters = &desk.started.counters;
        match reason {
            Refused::Temporary => {
                counters.add("failures", 1);
                daemon::event!(
                    Warning,
                    "login_undecided",
                    user = user.as_deref().unwrap_or_default(),
                    peer = peer.address,
                    mechanism = mechanism,
                    reason = text
                );
            }
            Refused::Credentials | Refused::Malformed => {
                counters.add("refused", 1);
                let consequence = self.failures.count(peer.address, user.as_deref(), &Limits::of(&self.auth), self.now);
                delay = consequence.delay;
                self.teller.failed(peer.address, user.as_deref());
                for what in consequence.locked {
                    counters.add("lockouts", 1);
                    daemon::event!(
                        Warning,
                        "locked_out",
                        what = what,
                        peer = peer.address,
                        user = user.as_deref().unwrap_or_default(),
                        seconds = self.auth.lock_time.as_secs()
                    );
                }
            }
            Refused::Mechanism | Refused::Encryption | Refused::Locked => counters.add("refused", 1),
        }
        if reason != Refused::Temporary {
            let name = user.as_deref().unwrap_or_default();
            daemon::event!(
                Info,
                "login_failed",
                user = name,
                peer = peer.address,
                mechanism = mechanism,
                tls = peer.tls,
                service = peer.service,
                reason = text
            );
        }
        Said::Refused { user, reason, delay }
    }
}
