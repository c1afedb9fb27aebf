//! The message as it lies in the spool.

use ipc::Content;
use ipc::agents::Job;
use std::fs::File;
use std::io;

/// Bytes read at once; the header is looked at within the first piece of [`HEADER`] bytes.
const PIECE: u64 = 128 * 1024;
const HEADER: u64 = 256 * 1024;
/// Delivered-To fields remembered.
const MAX_FIELDS: usize = 100;

/// A message's content. Its first bytes are kept, so that a small one is read once for all recipients.
#[derive(Debug)]
pub struct Original<'a> {
    file: &'a File,
    content: Content,
    head: Vec<u8>,
    delivered_to: Vec<String>,
}

impl<'a> Original<'a> {
    pub fn open(file: &'a File, job: &Job) -> io::Result<Self> {
        let content = job.content(file)?;
        let head = read(file, &content, 0, content.size().min(HEADER))?;
        let values = message::fields(&head).filter(|field| field.is("Delivered-To")).take(MAX_FIELDS).map(|field| field.text());
        let delivered_to = values.collect();
        Ok(Self { file, content, head, delivered_to })
    }

    /// Bytes of the content.
    pub const fn size(&self) -> u64 {
        self.content.size()
    }

    /// The Message-ID field, or nothing.
    pub fn message_id(&self) -> String {
        message::fields(&self.head).find(|field| field.is("Message-ID")).map(|field| field.text()).unwrap_or_default()
    }

    /// Whether the message has been delivered to this address before: then it runs in a circle.
    pub fn was_delivered_to(&self, address: &str) -> bool {
        self.delivered_to.iter().any(|earlier| earlier.eq_ignore_ascii_case(address))
    }

    /// The beginning that is not in the file, and where in it the rest is.
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// Gives the whole content piece by piece. A file shorter than it should be is an error, never a shorter message.
    pub fn copy(&self, put: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        put(&self.head)?;
        let mut done = self.head.len() as u64;
        while done < self.size() {
            let piece = read(self.file, &self.content, done, (self.size() - done).min(PIECE))?;
            put(&piece)?;
            done += piece.len() as u64;
        }
        Ok(())
    }
}

fn read(file: &File, content: &Content, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    content.read_at(file, &mut piece, at)?;
    Ok(piece)
}
