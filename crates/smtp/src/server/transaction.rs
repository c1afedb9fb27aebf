//! One mail transaction: from MAIL to the verdict on its content.

use super::relay::RelayPermitted;
use address::{Address, Path};
use envelope::{BodyType, RecipientDsn, Ret, Terms};

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
    pub terms: Terms,
    /// AUTH= (RFC 4954 section 5): checked xtext or `<>`; of clients that are not trusted never more than `<>`.
    pub submitter: Option<String>,
    /// Each recipient gets its own reply at the end of data.
    pub prdr: bool,
    /// The priority is less than the client asked for.
    pub(super) lowered: bool,
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
        Self {
            sender,
            declared_size: 0,
            bodytype: BodyType::default(),
            smtputf8: false,
            ret: None,
            envid: None,
            terms: Terms::default(),
            submitter: None,
            prdr: false,
            lowered: false,
            recipients: Vec::new(),
        }
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
