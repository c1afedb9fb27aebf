//! What the handshake of TLS has told of the client.

use crate::connection::{Connection, Stream};
use crate::worker::Worker;
use smtp::server::Rights;
use std::sync::Arc;

impl Worker {
    /// A client whose certificate is known is as one that has logged in: it may send to any domain, and needs no login.
    pub(crate) fn identify(&mut self, c: &mut Connection) {
        let Stream::Tls(stream) = &c.stream else { return };
        self.counters.add("tls_sessions", 1);
        if stream.is_resumed() {
            self.counters.add("tls_resumed", 1);
        }
        let Some(user) = stream.user() else {
            if let Some(shown) = stream.fingerprint()
                && self.noise.allows(self.now)
            {
                let fingerprint: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
                daemon::event!(Info, "client_certificate_unknown", peer = c.client, fingerprint = fingerprint);
            }
            return;
        };
        daemon::event!(Info, "client_certificate", peer = c.client, user = user);
        let rights = Rights { relay: true, login_required: false, ..c.session.rights().as_ref().clone() };
        c.session.identified(&user, Arc::new(rights));
    }
}
