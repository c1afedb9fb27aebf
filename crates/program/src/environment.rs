//! The environment of a program: ZMailer's list, nothing inherited.

use envelope::Notify;
use ipc::agents::{Job, JobRecipient};

/// Whose program it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub user: String,
    pub home: String,
    /// `/bin/sh` where empty.
    pub shell: String,
}

/// Variables for one recipient of a job (of a job of many, the first one). `message_id` is the Message-ID field's text.
/// A value with a NUL byte could not be passed and is left out; addresses hold no control bytes at all.
pub fn environment(job: &Job, recipient: Option<&JobRecipient>, account: &Account, message_id: &str) -> Vec<(String, String)> {
    let mut list: Vec<(&str, String)> = vec![
        ("HOME", account.home.clone()),
        ("USER", account.user.clone()),
        ("LOGNAME", account.user.clone()),
        ("SHELL", if account.shell.is_empty() { "/bin/sh".to_owned() } else { account.shell.clone() }),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("IFS", " \t\n".to_owned()),
        ("SENDER", sender(&job.sender)),
        ("INFROM", sender(&job.sender)),
        ("MSGSPOOLID", job.message.clone()),
        ("MESSAGEID", message_id.to_owned()),
    ];
    list.extend(std::env::var("TZ").ok().map(|zone| ("TZ", zone)));
    list.extend(job.envid.clone().map(|envid| ("ENVID", envid)));
    if let Some(recipient) = recipient {
        list.push(("RECIPIENT", recipient.user.clone()));
        list.push(("INRCPT", recipient.original.clone().unwrap_or_else(|| recipient.user.clone())));
        list.extend(recipient.dsn.orcpt.clone().map(|orcpt| ("ORCPT", orcpt)));
        list.extend(recipient.dsn.notify.map(|notify: Notify| ("NOTIFY", notify.to_string())));
    }
    list.into_iter().filter(|(_, value)| !value.contains('\0')).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// As programs expect it: nobody is `<>`.
fn sender(sender: &str) -> String {
    if sender.is_empty() { "<>".to_owned() } else { sender.to_owned() }
}
