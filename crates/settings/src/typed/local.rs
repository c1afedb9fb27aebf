//! Mail that is delivered on this host.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    Maildir,
    Mbox,
    Lmtp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSource {
    /// System accounts.
    Passwd,
    /// Every local part is a user.
    Any,
    /// A text table: one user a line, optional blanks and home folder after it; `#` comments.
    Table(PathBuf),
    /// A declared table; its values are home folders, or empty.
    Declared(String),
}

/// One of `[local] aliases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasSource {
    /// In Sendmail's form.
    File(PathBuf),
    /// A declared table; its values are addresses with commas between.
    Declared(String),
}

/// `[local]`
#[derive(Debug, Clone, PartialEq)]
pub struct Local {
    /// Normalised. Default: the hostname.
    pub domains: Vec<String>,
    pub delivery: DeliveryKind,
    /// Pattern with %u user, %d domain, %h home, %% percent.
    pub maildir: String,
    pub mbox: String,
    /// Next hop of `delivery = "lmtp"`: `unix:/path` or `host:port`.
    pub lmtp: String,
    pub users: UserSource,
    /// Looked up in this order.
    pub aliases: Vec<AliasSource>,
    /// Declared tables of mailboxes (ZMailer's mboxmap).
    pub mailboxes: Vec<String>,
    /// Characters that begin the detail of `user+detail`; empty: none. Default `+`.
    pub detail: String,
    /// Mail that a root suite delivers for users without system account belongs to this user. Default: none.
    pub user: Option<String>,
    /// Runs the administrator's programs of aliases in an agent that is root. Default `nobody`.
    pub alias_user: Option<String>,
    /// Follow `.forward`. Default true.
    pub forward: bool,
    /// Run programs that a `.forward` names. Default true.
    pub forward_programs: bool,
    /// What such a program may take. Default 5 min.
    pub forward_time: Duration,
    /// Wait for a home folder that is missing. Default true.
    pub require_home: bool,
    /// Default never.
    pub detail_folders: DetailFolders,
    /// Bytes of a Maildir; 0: no limit. Default 0.
    pub quota: u64,
    /// Over quota fails instead of being deferred. Default false.
    pub quota_fails: bool,
    /// In the order they are taken in. Default dot, fcntl.
    pub mbox_locks: Vec<MboxLock>,
    /// Default 30 s.
    pub mbox_lock_time: Duration,
    /// Default 5 min.
    pub mbox_lock_stale: Duration,
    /// `unix:/path` or `udp:address:port`. Default: none.
    pub notify: String,
}

/// `[local] detail_folders`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetailFolders {
    Never,
    Existing,
    Made,
}

/// `[local] mbox_locks`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MboxLock {
    Dot,
    Fcntl,
    Flock,
}

/// `[[pipe]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    pub name: String,
    /// Program and arguments with %-words.
    pub program: Vec<String>,
    /// `pipe`, or a channel of its own.
    pub channel: String,
    pub user: Option<String>,
    pub group: Option<String>,
    pub folder: Option<PathBuf>,
    pub umask: u32,
    pub timeout: Duration,
    /// Bytes.
    pub max_output: usize,
    pub processes: usize,
    pub flags: String,
}
