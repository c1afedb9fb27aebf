//! Whose file it is, and what its envelope may therefore say (ZMailer's rule: the owner's uid is the identity).

use crate::rules::Rules;
use crate::tables::{SystemTables, Tables as _};
use address::{Address, Path};
use envelope::Envelope;
use lookup::TableError;
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
    /// A table has not answered yet.
    Pending,
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

/// Whose message it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Submitter {
    /// The reverse path.
    pub path: Path,
    /// Of an owner who is not trusted to say who wrote it: who he is.
    pub user: Option<Address>,
    /// The sender that he gave and may not use.
    pub denied: Option<Address>,
}

impl Submitter {
    /// As the header names him: in the form that the sender has by now.
    pub fn of_submission<'a>(&'a self, message_id: &'a str, unix_seconds: u64) -> crate::submission::Sender<'a> {
        let user = self.user.as_ref().map(|own| self.path.address().unwrap_or(own)).map(Address::as_str);
        crate::submission::Sender { path: &self.path, user, message_id, unix_seconds }
    }
}

/// The reverse path of a message: what the envelope says where its owner is trusted, or may send so; else the owner's own
/// address.
pub fn sender(envelope: &Envelope, trusted: bool, owner: u32, rules: &Rules, tables: &mut SystemTables) -> Result<Submitter, SenderFault> {
    let domain = &rules.users_domain;
    if trusted {
        let path = |path| Ok(Submitter { path, user: None, denied: None });
        match &envelope.from {
            Some(Path::Mailbox(address)) => return path(Path::Mailbox(qualified(address, domain))),
            Some(Path::Null) => return path(Path::Null),
            None if envelope.errormsg => return path(Path::Null),
            None => {}
        }
    }
    let account = match tables.owner(owner) {
        Ok(Some(account)) => account.name,
        // Taken over the socket already, and so delivered: containers have users without accounts.
        Ok(None) if envelope.submitter == Some(owner) => format!("uid{owner}"),
        Ok(None) => return Err(SenderFault::Unknown(format!("the file's owner, uid {owner}, has no account"))),
        Err(error) => return Err(SenderFault::Temporary(error.to_string())),
    };
    let is_his = |address: &Address| {
        let local = address.unquoted_local();
        let bare = rules.without_detail(&local).unwrap_or(&local);
        bare.eq_ignore_ascii_case(&account) && (trusted || rules.is_own_domain(address))
    };
    let wished = match &envelope.from {
        Some(Path::Mailbox(address)) if !trusted => Some(qualified(address, domain)),
        _ => None,
    };
    let mut denied = None;
    if let Some(wished) = wished {
        if is_his(&wished) || may_send(&account, &wished, &rules.headers.senders, tables)? {
            return Ok(Submitter { path: Path::Mailbox(wished.clone()), user: Some(wished), denied });
        }
        denied = Some(wished);
    }
    // How he likes his address to be written (ZMailer's loginname), as long as it is his.
    let liked = envelope.loginname.as_deref().and_then(|text| Address::parse(text.trim_matches(['<', '>'])).ok());
    let own = match liked.map(|address| qualified(&address, domain)).filter(is_his) {
        Some(liked) => liked,
        None => Address::parse(&format!("{account}@{domain}"))
            .map_err(|fault| SenderFault::Unknown(format!("the file owner's name {account} makes no address: {fault}")))?,
    };
    // The null sender names nobody, and programs that answer for their user must have it (RFC 3834 section 3.3).
    let path = if envelope.from == Some(Path::Null) { Path::Null } else { Path::Mailbox(own.clone()) };
    Ok(Submitter { path, user: (!trusted).then_some(own), denied })
}

/// `[headers] senders`
fn may_send(user: &str, wished: &Address, names: &[String], tables: &mut SystemTables) -> Result<bool, SenderFault> {
    let domain = wished.domain().unwrap_or_default();
    for name in names {
        match tables.find(name, user) {
            Ok(None) => {}
            Ok(Some(found)) => {
                let allows = |value: &String| {
                    let value = value.trim();
                    let of_domain = value.strip_prefix('@').is_some_and(|own| own.eq_ignore_ascii_case(domain));
                    value == "*" || of_domain || value.eq_ignore_ascii_case(wished.as_str())
                };
                if found.values.iter().flat_map(|value| value.split(',').map(str::to_owned)).any(|value| allows(&value)) {
                    return Ok(true);
                }
            }
            Err(TableError::Pending) => return Err(SenderFault::Pending),
            Err(error) => return Err(SenderFault::Temporary(error.to_string())),
        }
    }
    Ok(false)
}

fn qualified(address: &Address, domain: &str) -> Address {
    match address.domain() {
        Some(_) => address.clone(),
        None => Address::parse(&format!("{address}@{domain}")).unwrap_or_else(|_| address.clone()),
    }
}
