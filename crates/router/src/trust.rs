//! Whose file it is, and what its envelope may therefore say (ZMailer's rule: the owner's uid is the identity).

use crate::tables::SystemTables;
use address::{Address, Path};
use envelope::Envelope;
use settings::Settings;
use std::collections::HashSet;

/// Owners whose envelopes are believed: root, this process's own user, the suite's configured users.
#[derive(Debug)]
pub struct Trusted(HashSet<u32>);

/// Why a sender could not be made.
#[derive(Debug, PartialEq, Eq)]
pub enum SenderFault {
    /// Set the file aside.
    Unknown(String),
    /// Try again later.
    Temporary(String),
}

impl Trusted {
    pub fn new(settings: &Settings) -> Self {
        let mut uids = HashSet::from([0, nix::unistd::geteuid().as_raw()]);
        for name in std::iter::once(&settings.users.default).chain(settings.users.services.values()) {
            uids.extend(nix::unistd::User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()));
        }
        Self(uids)
    }

    pub fn contains(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }

    #[cfg(test)]
    pub fn nobody() -> Self {
        Self(HashSet::new())
    }
}

/// The reverse path of a message: what the envelope says where its owner is trusted, else the owner's own address.
/// `domain`: of this host's users ([`Settings::users_domain`]).
pub fn sender(envelope: &Envelope, trusted: bool, owner: u32, domain: &str, tables: &mut SystemTables) -> Result<Path, SenderFault> {
    if trusted {
        match &envelope.from {
            Some(Path::Mailbox(address)) => return Ok(Path::Mailbox(qualified(address, domain))),
            Some(Path::Null) => return Ok(Path::Null),
            None if envelope.errormsg => return Ok(Path::Null),
            None => {}
        }
    }
    let account = match tables.owner(owner) {
        Ok(Some(account)) => account,
        Ok(None) => return Err(SenderFault::Unknown(format!("the file's owner, uid {owner}, has no account"))),
        Err(error) => return Err(SenderFault::Temporary(error.to_string())),
    };
    Address::parse(&format!("{}@{domain}", account.name))
        .map(Path::Mailbox)
        .map_err(|fault| SenderFault::Unknown(format!("the file owner's name {} makes no address: {fault}", account.name)))
}

fn qualified(address: &Address, domain: &str) -> Address {
    match address.domain() {
        Some(_) => address.clone(),
        None => Address::parse(&format!("{address}@{domain}")).unwrap_or_else(|_| address.clone()),
    }
}
