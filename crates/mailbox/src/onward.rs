//! Copies that a user's `.forward` sends on: one new message for all addresses, durable before anything is reported.
//!
//! The sender stays, so that failures are reported to who wrote the message. In front of the content come a Received
//! line, which counts as a hop, and Delivered-To, by which this agent knows the message should it come back.

use crate::original::Original;
use address::{Address, Path};
use envelope::{Envelope, EnvelopeRecipient, MessageId, Notify, RecipientDsn};
use ipc::agents::{Job, JobRecipient};
use settings::Settings;
use spool::{Notifier, Spool, Submitter};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Submits, from any thread.
#[derive(Debug)]
pub struct Onward {
    settings: Arc<Settings>,
    /// Opened at the first message: most agents never send one on, and some may not.
    entrance: Mutex<Option<(Submitter, Notifier)>>,
}

impl Onward {
    pub const fn new(settings: Arc<Settings>) -> Self {
        Self { settings, entrance: Mutex::new(None) }
    }

    /// Parts addresses into those that are the user's own mailbox and those to send to.
    pub fn split(&self, addresses: Vec<String>, user: &str, domain: &str) -> Result<(bool, Vec<Address>), String> {
        let (mut own, mut others) = (false, Vec::new());
        for text in addresses {
            let domain = if domain.is_empty() { self.settings.users_domain() } else { domain };
            let address = Address::parse(&text).and_then(|address| match address.domain() {
                Some(_) => Ok(address),
                None => Address::parse(&format!("{text}@{domain}")),
            });
            match address {
                Ok(address) if self.is_own(&address, user) => own = true,
                Ok(address) => others.push(address),
                Err(fault) => return Err(fault.to_string()),
            }
        }
        Ok((own, others))
    }

    fn is_own(&self, address: &Address, user: &str) -> bool {
        let name = address.unquoted_local();
        let bare = name.find(|c| self.settings.local.detail.contains(c)).filter(|at| *at > 0).and_then(|at| name.get(..at));
        let same = name.eq_ignore_ascii_case(user) || bare.is_some_and(|bare| bare.eq_ignore_ascii_case(user));
        let Some(Ok(domain)) = address.domain().map(address::normalise) else { return same };
        let host = address::normalise(&self.settings.identity.hostname).is_ok_and(|host| host == domain);
        same && (self.settings.is_local_domain(&domain) || (host && self.settings.hostname_is_local()))
    }

    /// Sends a message on. `alone`: this is all that becomes of it, so that the sender's wishes for reports go with it
    /// (RFC 3461 section 5.2.7.2); else success is not reported from afar (5.2.7.3).
    pub fn submit(&self, job: &Job, recipient: &JobRecipient, to: Vec<Address>, alone: bool, message: &File) -> io::Result<MessageId> {
        let original = Original::open(message, job)?;
        let dsn = carried(recipient, alone);
        let sender = || Address::parse(&job.sender).map(Path::Mailbox).map_err(|e| io::Error::other(format!("the sender: {e}")));
        let envelope = Envelope {
            bodytype: job.bodytype,
            smtputf8: job.smtputf8,
            envid: job.envid.clone(),
            ret: job.ret,
            terms: job.terms,
            forwarded: true,
            formed: true,
            from: Some(if job.sender.is_empty() { Path::Null } else { sender()? }),
            recipients: to.into_iter().map(|address| EnvelopeRecipient::new(address, dsn.clone())).collect(),
            ..Envelope::default()
        };
        let mut entrance = self.entrance.lock().unwrap_or_else(PoisonError::into_inner);
        let (submitter, notifier) = match &mut *entrance {
            Some(open) => open,
            closed => closed.insert(self.open()?),
        };
        let id = submitter.next_id();
        let mut draft = submitter.draft(id, &envelope)?;
        draft.write(&self.front(&id, &recipient.user))?;
        original.copy(&mut |piece| draft.write(piece))?;
        draft.commit()?;
        notifier.notice(id.as_str());
        Ok(id)
    }

    fn open(&self) -> io::Result<(Submitter, Notifier)> {
        let paths = &self.settings.paths;
        Ok((Submitter::new(Arc::new(Spool::open(&paths.postoffice)?)), Notifier::new(&paths.run, "router")?))
    }

    fn front(&self, id: &MessageId, address: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let received = message::Received {
            client: message::Client::Local { uid: nix::unistd::geteuid().as_raw() },
            by: &self.settings.identity.hostname,
            protocol: "local",
            id: id.as_str(),
            tls: None,
            recipient: None,
            unix_seconds: daemon::clock::unix_seconds(),
        };
        message::received_line(&received, &mut out);
        message::delivered_to(address, &mut out);
        out
    }
}

fn carried(recipient: &JobRecipient, alone: bool) -> RecipientDsn {
    let mut dsn = recipient.dsn.clone();
    if let (false, Some(notify)) = (alone, &mut dsn.notify) {
        notify.success = false;
        if !(notify.failure || notify.delay) {
            *notify = Notify { never: true, success: false, failure: false, delay: false };
        }
    }
    dsn
}
