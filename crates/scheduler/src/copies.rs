//! Copies of messages with other headers, for agents that know nothing of header edits. A copy is a file without a name on the
//! message's volume; the jobs of one message with the same edits share it, each with a descriptor of its own for reading.

use crate::model::EditsPlace;
use envelope::{Edits, MessageId};
use spool::{Spool, Unnamed};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

/// Copies that are kept for further jobs; agents may hold more of them.
const MOST: usize = 4;
/// A copy that no job wanted for so long is not kept.
pub const IDLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Copy {
    id: MessageId,
    place: EditsPlace,
    file: Unnamed,
    used: Instant,
}

/// Those of one I/O thread, which has all jobs of a message.
#[derive(Debug, Default)]
pub struct Copies(Vec<Copy>);

impl Copies {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A descriptor of the copy that is there.
    pub fn find(&mut self, id: MessageId, place: EditsPlace) -> Option<File> {
        let copy = self.0.iter_mut().find(|copy| copy.id == id && copy.place == place)?;
        copy.used = Instant::now();
        copy.file.reader().ok()
    }

    /// Makes a copy of a message, of which `header` is the beginning of the header that the edits are about.
    pub fn make(
        &mut self,
        spool: &Spool,
        id: MessageId,
        place: EditsPlace,
        edits: &Edits,
        header: &[u8],
        message: &File,
    ) -> io::Result<File> {
        let head = edits.apply(header).ok_or(io::ErrorKind::InvalidData)?;
        let mut whole = spool.unnamed()?;
        whole.0.write_all(&head)?;
        let mut rest = message;
        rest.seek(SeekFrom::Start(place.header.saturating_add(edits.end())))?;
        io::copy(&mut rest, &mut whole.0)?;
        whole.0.rewind()?;
        let Ok(reader) = whole.reader() else {
            // Without /proc nobody else can have it, for positions would be shared.
            return Ok(whole.0);
        };
        if self.0.len() >= MOST
            && let Some(oldest) = self.0.iter().enumerate().min_by_key(|(_, copy)| copy.used).map(|(at, _)| at)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(Copy { id, place, file: whole, used: Instant::now() });
        Ok(reader)
    }

    /// The message is gone.
    pub fn forget(&mut self, id: MessageId) {
        self.0.retain(|copy| copy.id != id);
    }

    /// Lets go of those that are wanted no more.
    pub fn tidy(&mut self) {
        self.0.retain(|copy| copy.used.elapsed() < IDLE);
    }
}
