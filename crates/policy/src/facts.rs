//! What the driver knows of a session.

use address::{Address, Path};
use settings::{ListenerKind, SenderRule};
use smtp::server::Standing;
use std::net::IpAddr;

/// Everything a layer may look at; what is not known yet is empty.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// None: a Unix socket of this machine.
    pub client: Option<IpAddr>,
    pub listener: ListenerKind,
    /// In `[relay] networks`, of this machine, or trusted otherwise by the configuration: not looked up in lists, not
    /// greylisted.
    pub friend: bool,
    pub user: Option<User<'a>>,
    pub tls: bool,
    pub hello: &'a str,
    /// Said by EHLO.
    pub extended: bool,
    /// The client's port.
    pub port: u16,
    pub sender: Option<&'a Path>,
    pub declared_size: u64,
    /// Accepted so far.
    pub recipients: usize,
    /// The one that was accepted, where there is no other.
    pub only: Option<&'a Address>,
    /// Each recipient gets a reply of its own at the end (LMTP, PRDR), so that they may fare differently.
    pub verdicts: bool,
    /// The message, once all of it is there.
    pub message: Option<Message<'a>>,
    pub candidate: Option<(&'a Address, Standing)>,
    /// The connection's number, for policy services.
    pub number: u64,
}

/// What is known of a message only at its end.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub id: &'a str,
    /// Bytes that came.
    pub size: u64,
}

/// Who has logged in.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    /// Lower case.
    pub name: &'a str,
    pub mechanism: &'a str,
    /// `user@domain`, `@domain`, `*`; empty: what the rule says.
    pub senders: &'a [String],
    pub rule: SenderRule,
}

impl Facts<'_> {
    /// The word of `[[listener]] kind`.
    pub const fn listener_word(&self) -> &'static str {
        match self.listener {
            ListenerKind::Smtp => "smtp",
            ListenerKind::Submission => "submission",
            ListenerKind::Submissions => "submissions",
            ListenerKind::Lmtp => "lmtp",
        }
    }

    /// Its client is a user's program, and no server that comes again by itself.
    pub(crate) const fn is_submission(&self) -> bool {
        let here = matches!(self.listener, ListenerKind::Submission | ListenerKind::Submissions);
        here || self.user.is_some() || self.client.is_none()
    }

    /// The sender as rules see it: `<>`, or lower case with a normal domain.
    pub(crate) fn sender_key(&self) -> String {
        match self.sender {
            None => String::new(),
            Some(Path::Null) => "<>".to_owned(),
            Some(Path::Mailbox(address)) => mailbox_key(address),
        }
    }

    pub(crate) fn sender_domain(&self) -> Option<String> {
        match self.sender? {
            Path::Null => None,
            Path::Mailbox(address) => address::normalise(address.domain()?).ok(),
        }
    }
}

/// `user@domain`, lower case, the domain in its normal form; a bare local part stays so.
pub(crate) fn mailbox_key(address: &Address) -> String {
    let local = address.unquoted_local().to_lowercase();
    match address.domain().map(|domain| address::normalise(domain).unwrap_or_else(|_| domain.to_lowercase())) {
        Some(domain) => format!("{local}@{domain}"),
        None => local,
    }
}
