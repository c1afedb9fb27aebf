//! Looking without touching: for the commands, also when the suite is stopped.

use crate::folder::{Folder, HASH_FOLDERS, hashed};
use crate::{Spool, is_safe_name};
use envelope::MessageId;
use std::fs::File;
use std::io::{self, Read};

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Public,
    Router,
    Queue,
    Deferred,
    Freezer,
}
impl Place {
    /// In the order that a message passes through them: who looks in this order cannot miss one that moves on.
    pub const ALL: [Self; 5] = [Self::Public, Self::Router, Self::Queue, Self::Deferred, Self::Freezer];
    /// The folder's name.
    pub const fn name(self) -> &'static str {
        self.folder().name()
    }
    const fn folder(self) -> Folder {
        match self {
            Self::Public => Folder::Public,
            Self::Router => Folder::Router,
            Self::Queue => Folder::Queue,
            Self::Deferred => Folder::Deferred,
            Self::Freezer => Folder::Freezer,
        }
    }
}
/// A reason file is read up to this size.
const REASON_LIMIT: u64 = 4096;

impl Spool {
    /// Where the message of this id is, if anywhere. Folders that the caller may not enter are passed over, unless
    /// that leaves nothing: then it is the error.
    pub fn find(&self, id: MessageId) -> io::Result<Option<Place>> {
        let mut denied = None;
        for place in Place::ALL {
            let found = match place {
                Place::Queue => self.exists(Folder::Queue, &hashed(id)),
                _ => self.exists(place.folder(), id.as_str()),
            };
            match found {
                Ok(true) => return Ok(Some(place)),
                Ok(false) => {}
                Err(e) => denied = Some(e),
            }
        }
        denied.map_or(Ok(None), Err)
    }

    /// Opens a message file read-only. In `queue/` the name has to be an id.
    pub fn read_message(&self, place: Place, name: &str) -> io::Result<File> {
        if !is_safe_name(name.as_bytes()) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        match place {
            Place::Queue => self.open_message(MessageId::parse(name).map_err(|_| io::ErrorKind::InvalidInput)?),
            _ => self.open_read(place.folder(), name),
        }
    }

    /// Names of the messages in a folder, sorted; reason files left out.
    pub fn read_names(&self, place: Place) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut take = |name: &[u8]| {
            if let Ok(text) = std::str::from_utf8(name)
                && is_safe_name(name)
                && !text.ends_with(".reason")
            {
                names.push(text.to_owned());
            }
        };
        if place == Place::Queue {
            for hash in 0..HASH_FOLDERS {
                self.names(Folder::Queue, &format!("{hash:02x}"), &mut take)?;
            }
        } else {
            self.names(place.folder(), ".", &mut take)?;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Why a message in `deferred/` or `freezer/` is there.
    pub fn read_reason(&self, place: Place, name: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        let file = self.read_message(place, &format!("{name}.reason"))?;
        file.take(REASON_LIMIT).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Puts a message of `deferred/` or `freezer/` back into `router/` (zpost release), and forgets the reason.
    pub fn resubmit(&self, place: Place, name: &str) -> io::Result<()> {
        if !is_safe_name(name.as_bytes()) || !matches!(place, Place::Deferred | Place::Freezer) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.move_message(place.folder(), name, Folder::Router, name)?;
        self.remove_if_there(place.folder(), &format!("{name}.reason"))?;
        Ok(())
    }

    /// Removes a message of `deferred/` or `freezer/` for good (zpost delete).
    pub fn discard(&self, place: Place, name: &str) -> io::Result<()> {
        if !is_safe_name(name.as_bytes()) || !matches!(place, Place::Deferred | Place::Freezer) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.remove_file(place.folder(), name)?;
        self.remove_if_there(place.folder(), &format!("{name}.reason"))?;
        Ok(())
    }
}
