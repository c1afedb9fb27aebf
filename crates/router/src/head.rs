//! The first part of a message file: envelope and headers, in one read for nearly every message.

use envelope::{Envelope, parse_envelope};
use message::{HeaderScanner, Progress};
use spool::InputFile;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at first.
const FIRST: usize = 64 * 1024;
/// Bytes of an envelope at most: some hundred thousand recipients.
const MAX_ENVELOPE: usize = 16 * 1024 * 1024;
/// Bytes of headers at most: a loop must not hide its hops behind a megabyte of them.
const MAX_HEADERS: usize = 1024 * 1024;

/// What the file says before its body.
#[derive(Debug)]
pub struct Head {
    pub envelope: Envelope,
    /// Where the headers begin.
    pub offset: usize,
    /// Bytes of headers, without the empty line behind them.
    pub header: usize,
    pub hops: usize,
    pub message_id: Option<String>,
    /// `TLS-Required: No` (RFC 8689 section 5).
    pub tls_not_required: bool,
}

impl Head {
    /// What only our own programs may say of what was done already is not believed of others.
    pub fn of_a_stranger(&mut self) {
        self.envelope.formed = false;
        self.envelope.recipients.iter_mut().for_each(|recipient| recipient.via = None);
    }
}

#[derive(Debug)]
pub enum HeadFault {
    /// The text for the reason file.
    Malformed(String),
    Io(io::Error),
}

/// Reads files into one buffer that is kept between them.
#[derive(Debug, Default)]
pub struct HeadReader(Vec<u8>);

impl HeadReader {
    pub fn read(&mut self, input: &InputFile) -> Result<Head, HeadFault> {
        self.0.clear();
        self.0.shrink_to(FIRST);
        let (envelope, offset) = self.envelope(input)?;
        self.headers(input, offset)?;
        let content = self.0.get(offset..).unwrap_or_default();
        let summary = message::scan(content, MAX_HEADERS).ok_or_else(headers_too_large)?;
        let message_id = summary.message_id.and_then(|range| content.get(range)).and_then(message_id);
        Ok(Head {
            envelope,
            offset,
            header: summary.end.header,
            hops: summary.received,
            message_id,
            tls_not_required: summary.tls_not_required,
        })
    }

    /// The message that was read last, from its headers on: all of them, and what came with them.
    pub fn content(&self, head: &Head) -> &[u8] {
        self.0.get(head.offset..).unwrap_or_default()
    }

    fn envelope(&mut self, input: &InputFile) -> Result<(Envelope, usize), HeadFault> {
        let mut wanted = FIRST;
        loop {
            let more = self.fill(input, wanted)?;
            match parse_envelope(&self.0) {
                Ok(parsed) => return Ok(parsed),
                Err(fault) if fault.is_incomplete() && more && wanted < MAX_ENVELOPE => wanted *= 4,
                Err(fault) if fault.is_incomplete() && more => {
                    return Err(HeadFault::Malformed(format!("the envelope is larger than {MAX_ENVELOPE} bytes")));
                }
                Err(fault) => return Err(HeadFault::Malformed(fault.to_string())),
            }
        }
    }

    /// Reads until the buffer holds all headers.
    fn headers(&mut self, input: &InputFile, offset: usize) -> Result<(), HeadFault> {
        let mut scanner = HeaderScanner::new(MAX_HEADERS);
        loop {
            let last = self.0.len() as u64 >= input.size;
            match scanner.feed(self.0.get(offset..).unwrap_or_default(), last) {
                Progress::Complete(_) => return Ok(()),
                Progress::TooLarge => return Err(headers_too_large()),
                Progress::More => self.fill(input, self.0.len().saturating_add(FIRST * 4))?,
            };
        }
    }

    /// Reads until the buffer holds `wanted` bytes or the whole file; true when the file holds more.
    fn fill(&mut self, input: &InputFile, wanted: usize) -> Result<bool, HeadFault> {
        let end = usize::try_from(input.size).unwrap_or(usize::MAX).min(wanted);
        let mut have = self.0.len();
        self.0.resize(end.max(have), 0);
        while have < end {
            let space = self.0.get_mut(have..end).unwrap_or_default();
            match input.file.read_at(space, have as u64) {
                Ok(0) => return Err(HeadFault::Malformed("the file became shorter".to_owned())),
                Ok(read) => have += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(HeadFault::Io(e)),
            }
        }
        Ok((end as u64) < input.size)
    }
}

fn headers_too_large() -> HeadFault {
    HeadFault::Malformed(format!("the headers are larger than {MAX_HEADERS} bytes"))
}

/// Only for the log: what would not fit a word of it is left out.
fn message_id(value: &[u8]) -> Option<String> {
    let good = !value.is_empty() && value.len() <= 255 && value.iter().all(u8::is_ascii_graphic);
    good.then(|| String::from_utf8_lossy(value).into_owned())
}
