//! What the session knows, as the spool's envelope and as the Received field.

use crate::connection::Connection;
use crate::context::{Client, Context};
use address::Path;
use envelope::{BodyType, Envelope, EnvelopeRecipient, MessageId};
use message::{Received, received_line};
use smtp::server::{Recipient, Transaction};

/// Everything but the recipients.
pub(crate) fn envelope(client: Client, hello: &str, with: &str, transaction: &Transaction) -> Envelope {
    let (rcvdfrom, identinfo) = match client {
        Client::Network(address) => (format!("{hello} ([{address}])"), None),
        Client::Local(uid) => (format!("localhost (uid {uid})"), Some(format!("uid={uid}"))),
    };
    Envelope {
        external: matches!(client, Client::Network(_)),
        rcvdfrom: Some(rcvdfrom),
        with: Some(with.to_owned()),
        identinfo,
        bodytype: transaction.bodytype,
        smtputf8: transaction.smtputf8,
        channel: matches!(transaction.sender, Path::Null).then(|| "error".to_owned()),
        from: Some(transaction.sender.clone()),
        envid: transaction.envid.clone(),
        terms: transaction.terms,
        ret: transaction.ret,
        ..Envelope::default()
    }
}

/// Who uses the socket for users of this host. Clients of other listeners speak for others.
pub(crate) fn submitter(client: Client, listener: u16, context: &Context) -> Option<u32> {
    match client {
        Client::Local(uid) if context.kind(listener).is_none() => Some(uid),
        Client::Local(_) | Client::Network(_) => None,
    }
}

pub(crate) fn recipient(recipient: Recipient) -> EnvelopeRecipient {
    EnvelopeRecipient::new(recipient.address, recipient.dsn)
}

/// The first field of the content.
pub(crate) fn received(connection: &Connection, context: &Context, id: MessageId, out: &mut Vec<u8>) {
    let Some(transaction) = connection.session.transaction() else { return };
    let client = match connection.client {
        Client::Network(address) => message::Client::Network { helo: connection.session.hello().unwrap_or_default(), address, name: None },
        Client::Local(uid) => message::Client::Local { uid },
    };
    let user = connection.session.user().filter(|_| context.settings.auth.received_user);
    let tls = match (connection.stream.describe(), user) {
        (tls, None) => tls,
        (tls, Some(user)) => Some(format!("{}authenticated as {user}", tls.map(|tls| tls + ", ").unwrap_or_default())),
    };
    let only = match transaction.recipients() {
        [only] => Some(only.address.as_str()),
        _ => None,
    };
    let received = Received {
        client,
        by: &context.machine.hostname,
        protocol: connection.session.with(),
        id: id.as_str(),
        tls: tls.as_deref(),
        recipient: only,
        unix_seconds: daemon::clock::unix_seconds(),
    };
    let from = out.len();
    received_line(&received, out);
    if transaction.bodytype == BodyType::Binary {
        with_crlf(from, out);
    }
}

/// Octets are stored as they came (BINARYMIME), with the line ends of the wire; so must be the field before them.
pub(crate) fn with_crlf(from: usize, out: &mut Vec<u8>) {
    let lines = out.split_off(from);
    for line in lines.split_inclusive(|b| *b == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
}

pub(crate) fn sender_text(transaction: &Transaction) -> String {
    match &transaction.sender {
        Path::Null => "<>".to_owned(),
        Path::Mailbox(address) => address.as_str().to_owned(),
    }
}
