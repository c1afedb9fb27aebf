//! The conversation with the authserver. Unlike a question to the other helpers an exchange has turns, so it is not put
//! again when the authserver dies: whoever is in one is told to come again.

use crate::sync::Key;
use ipc::auth::{AuthPeer, FromAuth, Said, Secret, ToAuth};
use ipc::{Caller, Channel, RecvError};
use mio::{Interest, Registry, Token};
use settings::Auth;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Added by the authserver to the time of a back-end, and by us to its own.
const GRACE: Duration = Duration::from_secs(3);

/// What the authserver takes at most for one answer: back-ends are asked one after the other, and it should be the one to
/// say that their time is over.
pub(crate) fn patience(auth: &Auth) -> Duration {
    let backends = u32::try_from(auth.backends.len()).unwrap_or(u32::MAX);
    auth.timeout.saturating_add(GRACE).saturating_mul(backends).saturating_add(GRACE)
}

/// An exchange that waits for the authserver, or did.
pub(crate) type Exchange = (Key, u64);

pub(crate) struct Logins {
    token: Token,
    caller: Option<Caller>,
    channel: Option<Channel<ToAuth, FromAuth>>,
    patience: Duration,
    /// Those that the authserver owes an answer.
    open: HashMap<u64, (Key, Instant)>,
    next: u64,
    lost: Vec<Exchange>,
}

impl Logins {
    pub fn new(token: Token, caller: Option<Caller>, patience: Duration) -> Self {
        Self { token, caller, channel: None, patience, open: HashMap::new(), next: 1, lost: Vec::new() }
    }

    /// Begins an exchange; gives its number.
    pub fn begin(
        &mut self,
        key: Key,
        mechanism: String,
        initial: Option<Vec<u8>>,
        peer: AuthPeer,
        registry: &Registry,
        now: Instant,
    ) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.connect(registry);
        self.say(key, number, &ToAuth::Begin { number, mechanism, initial: initial.map(Secret), peer }, registry, now);
        number
    }

    /// The client's next message.
    pub fn respond(&mut self, key: Key, number: u64, response: Vec<u8>, registry: &Registry, now: Instant) {
        self.say(key, number, &ToAuth::Respond { number, response: Secret(response) }, registry, now);
    }

    /// The client has given up, or has gone.
    pub fn cancel(&mut self, number: u64, registry: &Registry) {
        self.open.remove(&number);
        if let Some(channel) = &mut self.channel
            && channel.send(&ToAuth::Cancel { number }).is_err()
        {
            self.broken(registry);
        }
    }

    fn connect(&mut self, registry: &Registry) {
        if self.channel.is_none() {
            self.channel = self.caller.as_ref().and_then(|caller| caller.call().ok());
            if let Some(channel) = &mut self.channel
                && registry.register(channel, self.token, Interest::READABLE).is_err()
            {
                self.channel = None;
            }
        }
    }

    fn say(&mut self, key: Key, number: u64, frame: &ToAuth, registry: &Registry, now: Instant) {
        self.open.insert(number, (key, now + self.patience));
        if self.channel.as_mut().is_none_or(|channel| channel.send(frame).is_err()) {
            self.broken(registry);
        }
    }

    /// The other side is gone, and every exchange with it.
    fn broken(&mut self, registry: &Registry) {
        if let Some(mut channel) = self.channel.take() {
            let _ = registry.deregister(&mut channel);
        }
        self.lost.extend(self.open.drain().map(|(number, (key, _))| (key, number)));
    }

    /// Takes the answers that have come.
    pub fn receive(&mut self, registry: &Registry) -> Vec<(Exchange, Said)> {
        let mut answers = Vec::new();
        while let Some(channel) = &mut self.channel {
            match channel.recv() {
                Ok(Some((FromAuth { number, said }, _))) => {
                    answers.extend(self.open.remove(&number).map(|(key, _)| ((key, number), said)));
                }
                Ok(None) => break,
                Err(error) => {
                    if !matches!(error, RecvError::Closed) {
                        daemon::event!(Warning, "helper_failed", reason = error);
                    }
                    self.broken(registry);
                }
            }
        }
        answers
    }

    /// Exchanges without an answer: its time is over, or the authserver is gone.
    pub fn tend(&mut self, registry: &Registry, now: Instant) -> Vec<Exchange> {
        if self.waits_for_room() && self.channel.as_mut().is_some_and(|channel| channel.flush().is_err()) {
            self.broken(registry);
        }
        let late = self.open.extract_if(|_, (_, at)| *at <= now).map(|(number, (key, _))| (key, number));
        self.lost.extend(late);
        std::mem::take(&mut self.lost)
    }

    fn waits_for_room(&self) -> bool {
        self.channel.as_ref().is_some_and(|channel| channel.pending() > 0)
    }

    /// When `tend` wants to be called again.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        if !self.lost.is_empty() {
            return Some(now);
        }
        let room = self.waits_for_room().then(|| now + crate::helper::ROOM_AGAIN);
        self.open.values().map(|(_, at)| *at).min().into_iter().chain(room).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use settings::Backend;

    #[test]
    fn the_authserver_is_waited_for_until_its_last_back_end_has_had_its_time() {
        let timeout = Duration::from_secs(60);
        let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mx.example\"\n";
        let auth = settings::parse(text, "test").unwrap().auth;
        let auth = Auth { backends: vec![Backend::File, Backend::Ldap], timeout, ..auth };
        assert!(patience(&auth) > timeout * 2);
    }
}
