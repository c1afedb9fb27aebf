//! One copy of a message and the mailbox it goes to.

use crate::original::Original;
use crate::verdict::Verdict;
use crate::{maildir, mbox, notice};
use ipc::deliveries::{Manner, Place, PlaceKind};
use std::path::{Path, PathBuf};

/// A copy for one recipient.
#[derive(Debug)]
pub struct Copy<'a> {
    pub original: &'a Original<'a>,
    /// Empty: `<>`.
    pub sender: &'a str,
    /// The recipient's address.
    pub address: &'a str,
    /// The account, for the notifier.
    pub user: &'a str,
    /// Of `user+detail`.
    pub detail: Option<&'a str>,
    pub manner: &'a Manner,
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
    pub fn new(place: &Place) -> Self {
        let path = PathBuf::from(&place.path);
        match place.kind {
            PlaceKind::Maildir => Self::Maildir(path),
            PlaceKind::Mbox => Self::Mbox(path),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Maildir(path) | Self::Mbox(path) => path,
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Maildir(_) => "maildir",
            Self::Mbox(_) => "mbox",
        }
    }

    /// Delivers as the user that this process runs as.
    pub fn deliver(&self, copy: &Copy<'_>) -> Verdict {
        let done = match self {
            Self::Maildir(path) => maildir::deliver(path, copy).map(|file| (0, file)),
            Self::Mbox(path) => mbox::deliver(path, copy).map(|before| (before, path.clone())),
        };
        match done {
            Err(verdict) => verdict,
            Ok((offset, file)) => {
                notice::tell(&copy.manner.notify, copy.user, offset, &file.to_string_lossy());
                Verdict::delivered(format!("delivered to {}", self.word()))
            }
        }
    }
}
