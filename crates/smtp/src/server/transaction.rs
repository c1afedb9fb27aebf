//! One mail transaction: from MAIL to the verdict on its content.

use super::relay::RelayPermitted;
use address::{Address, Path};
use envelope::{BodyType, RecipientDsn, Ret};

/// Sender, recipients and what MAIL said. Dropped as a whole.
#[derive(Debug)]
pub struct Transaction {
    pub sender: Path,
    /// SIZE as declared, 0 when not.
    pub declared_size: u64,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    pub ret: Option<Ret>,
    /// Checked xtext.
    pub envid: Option<String>,
    recipients: Vec<Recipient>,
}

/// An accepted recipient.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipient {
    pub address: Address,
    pub dsn: RecipientDsn,
}

impl Transaction {
    pub(super) fn new(sender: Path) -> Self {
        Self { sender, declared_size: 0, bodytype: BodyType::default(), smtputf8: false, ret: None, envid: None, recipients: Vec::new() }
    }

    /// The only way into the envelope: the permission is used up by it.
    pub(super) fn add(&mut self, recipient: Recipient, permission: RelayPermitted) {
        let RelayPermitted { .. } = permission;
        self.recipients.push(recipient);
    }

    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Gives the recipients away.
    pub fn take_recipients(&mut self) -> Vec<Recipient> {
        std::mem::take(&mut self.recipients)
    }
}
