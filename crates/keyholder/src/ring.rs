//! The keys of one configuration.

use daemon::Contacts;
use ipc::keys::Sign;
use tls::keys::shape::{Side, is_signed_by};
use tls::keys::{PrivateKey, private_keys};

/// The memory files of the master, and which side of handshakes their keys are for.
pub const FILES: [(&str, Side); 2] = [("keys", Side::Server), ("identity_key", Side::Client)];

#[derive(Debug, Default)]
pub struct Ring(Vec<PrivateKey>);

impl Ring {
    /// Takes the memory files.
    pub fn read(contacts: &mut Contacts) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (name, side) in FILES {
            let Some(memory) = contacts.take(name) else { continue };
            let mut text = daemon::read_memory(memory).map_err(|e| format!("{name}: {e}"))?;
            let read = private_keys(&text, side).map_err(|e| format!("{name}: {e}"));
            text.fill(0);
            keys.extend(read?);
        }
        Ok(Self(keys))
    }

    /// The key for a question. One that stands on both sides has two entries: the message says which is meant.
    pub fn find(&self, question: &Sign) -> Option<&PrivateKey> {
        let mut same = self.0.iter().filter(|key| *key.id() == question.key);
        let first = same.next()?;
        let fits = |key: &&PrivateKey| is_signed_by(key.side(), question.scheme, &question.message);
        Some(Some(first).filter(fits).or_else(|| same.find(fits)).unwrap_or(first))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
