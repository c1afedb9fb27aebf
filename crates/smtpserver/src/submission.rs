//! Messages of users are mended (RFC 6409 section 8): those of submission listeners and of the local socket, and no others.
//!
//! The header is small enough to be in memory before the first piece goes to a thread; where it is not, nobody knows what is
//! missing, and the message stays as it is.

use crate::connection::Connection;
use crate::context::Client;
use crate::envelopes::with_crlf;
use crate::messages::Incoming;
use crate::worker::Worker;
use address::Path;
use envelope::BodyType;
use message::Mending;
use smtp::server::{Protocol, Transaction};

impl Worker {
    /// Is a message of this session to be mended?
    pub(crate) fn mends(&self, c: &Connection) -> bool {
        let wanted = self.context.settings.submission;
        let any = wanted.add_date || wanted.add_message_id || wanted.add_from || wanted.add_sender;
        any && (c.session.protocol() == Protocol::Submission || matches!(c.client, Client::Local(_)))
    }

    /// Once for each message, while its header is in the buffer. `last`: all of the message is.
    pub(crate) fn mend(&self, message: &mut Incoming, user: Option<&str>, transaction: &Transaction, last: bool) {
        if !std::mem::take(&mut message.mends) {
            return;
        }
        let wanted = self.context.settings.submission;
        let hostname = &self.context.machine.hostname;
        let message_id = format!("<{}@{hostname}>", message.id);
        let login = user.map(|user| if user.contains('@') { user.to_owned() } else { format!("{user}@{hostname}") });
        let from = match &transaction.sender {
            Path::Mailbox(address) => Some(address.as_str()),
            Path::Null => login.as_deref(),
        };
        let mending = Mending {
            date: wanted.add_date.then(daemon::clock::unix_seconds),
            message_id: wanted.add_message_id.then_some(message_id.as_str()),
            from: from.filter(|_| wanted.add_from),
            sender: login.as_deref().filter(|_| wanted.add_sender),
            without_bcc: false,
        };
        let limit = usize::try_from(self.context.settings.server.max_header_bytes).unwrap_or(usize::MAX);
        let theirs = message.content.get(message.added..).unwrap_or_default();
        let Some(mut mended) = message::mend(theirs, last, limit, &mending) else { return };
        for range in mended.removed.iter().rev() {
            message.content.drain(message.added + range.start..message.added + range.end);
        }
        if transaction.bodytype == BodyType::Binary {
            with_crlf(0, &mut mended.added);
        }
        message.content.splice(message.added..message.added, mended.added.iter().copied());
        message.added += mended.added.len();
    }
}
