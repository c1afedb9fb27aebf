//! The content of a job: the message file from the header on, with the header edited where the job says so. Whoever reads
//! a message for a job reads it through this, so that every agent, conversion and count sees the same content.

use crate::agents::Job;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where the bytes of a content are. Without edits there is no head, and nothing is read or copied to find that out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The edited beginning.
    pub head: Vec<u8>,
    /// Where the rest begins in the file.
    pub offset: u64,
    /// Bytes of the rest.
    pub rest: u64,
}

impl Job {
    /// What the job's content is made of. Reads only what the edits reach over.
    pub fn content(&self, message: &File) -> io::Result<Content> {
        if self.edits.is_empty() {
            return Ok(Content { head: Vec::new(), offset: self.body_offset, rest: self.size });
        }
        let mut header = vec![0; usize::try_from(self.edits.end()).map_err(io::Error::other)?];
        message.read_exact_at(&mut header, self.body_offset)?;
        let head = self.edits.apply(&header).ok_or(io::ErrorKind::InvalidData)?;
        let rest = self.size.checked_sub(head.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Content { head, offset: self.body_offset.saturating_add(self.edits.end()), rest })
    }
}

impl Content {
    /// Bytes in all.
    pub const fn size(&self) -> u64 {
        self.rest.saturating_add(self.head.len() as u64)
    }

    /// Fills the buffer from `at` on, as far as the content goes; how much that is. A file that is shorter than the job
    /// says is an error: half a message must not go out. By position: the file's own is shared with others.
    pub fn read_at(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size().saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..left).unwrap_or_default();
        let begin = usize::try_from(at).unwrap_or(usize::MAX).min(self.head.len());
        let from_head = self.head.get(begin..).unwrap_or_default();
        let count = from_head.len().min(left);
        let (first, second) = buffer.split_at_mut_checked(count).ok_or(io::ErrorKind::InvalidInput)?;
        first.copy_from_slice(from_head.get(..count).unwrap_or_default());
        if !second.is_empty() {
            let behind = at.saturating_add(count as u64).saturating_sub(self.head.len() as u64);
            file.read_exact_at(second, self.offset.saturating_add(behind))?;
        }
        Ok(left)
    }

    /// Gives the whole content piece by piece.
    pub fn pass(&self, file: &File, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (mut piece, mut at) = (vec![0; 64 * 1024], 0u64);
        loop {
            let length = self.read_at(file, &mut piece, at)?;
            if length == 0 {
                return Ok(());
            }
            sink(piece.get(..length).unwrap_or_default())?;
            at = at.saturating_add(length as u64);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_part_of_it_is_there_once() {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "envelopeBODY").unwrap();
        let content = Content { head: b"HEAD".to_vec(), offset: 8, rest: 4 };
        for from in 0..=9 {
            for length in 0..10 {
                let mut buffer = vec![0; length];
                let read = content.read_at(&file, &mut buffer, from as u64).unwrap();
                let expected: Vec<u8> = b"HEADBODY".iter().skip(from).take(length).copied().collect();
                assert_eq!(&buffer[..read], expected, "{length} from {from}");
            }
        }
        let mut all = Vec::new();
        content.pass(&file, &mut |piece| all.write_all(piece)).unwrap();
        assert_eq!(all, b"HEADBODY");
        let short = Content { rest: 5, ..content };
        assert!(short.pass(&file, &mut |_| Ok(())).is_err());
    }
}
