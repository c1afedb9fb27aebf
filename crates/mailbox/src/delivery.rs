//! One copy of a message and the mailbox it goes to.

use crate::original::Original;
use crate::verdict::Verdict;
use crate::{maildir, mbox};
use settings::DeliveryKind;
use std::path::{Path, PathBuf};

/// A copy for one recipient.
#[derive(Debug)]
pub struct Copy<'a> {
    pub original: &'a Original<'a>,
    /// Empty: `<>`.
    pub sender: &'a str,
    /// The recipient's address.
    pub address: &'a str,
    pub hostname: &'a str,
    /// Unix seconds.
    pub now: u64,
}

impl Copy<'_> {
    /// The fields put in front of the content.
    pub fn trace_fields(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        message::return_path(self.sender, &mut out);
        message::delivered_to(self.address, &mut out);
        out
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailbox {
    Maildir(PathBuf),
    Mbox(PathBuf),
}

impl Mailbox {
    /// `None` for deliveries that are not into a file.
    pub fn new(kind: DeliveryKind, path: PathBuf) -> Option<Self> {
        match kind {
            DeliveryKind::Maildir => Some(Self::Maildir(path)),
            DeliveryKind::Mbox => Some(Self::Mbox(path)),
            DeliveryKind::Lmtp => None,
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Maildir(path) | Self::Mbox(path) => path,
        }
    }

    /// The word on the command line of a delivery as another user.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Maildir(_) => "maildir",
            Self::Mbox(_) => "mbox",
        }
    }

    pub fn from_word(word: &str, path: PathBuf) -> Option<Self> {
        match word {
            "maildir" => Some(Self::Maildir(path)),
            "mbox" => Some(Self::Mbox(path)),
            _ => None,
        }
    }

    /// Delivers as the user that this process runs as.
    pub fn deliver(&self, copy: &Copy<'_>) -> Verdict {
        if copy.original.was_delivered_to(copy.address) {
            return Verdict::failed(4, 6, format!("mail for {} loops: it has been delivered there before", copy.address));
        }
        let done = match self {
            Self::Maildir(path) => maildir::deliver(path, copy),
            Self::Mbox(path) => mbox::deliver(path, copy),
        };
        done.map_or_else(|verdict| verdict, |()| Verdict::delivered(format!("delivered to {}", self.word())))
    }
}
