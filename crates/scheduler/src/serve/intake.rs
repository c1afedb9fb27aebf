//! How messages become known: notices that come as datagrams, and the scan that finds what no datagram told of.

use crate::io::{Lane, Order};
use crate::model::Now;
use envelope::MessageId;
use spool::TransportScan;
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Loads under way at once.
const LOADS: usize = 256;
/// Notices that wait; the scan finds the rest.
const NOTICES: usize = 100_000;
/// The scan stops to fetch names when so many wait to be loaded.
const FOUND: usize = 8192;
/// Failed loads in one second after which notices wait for the next: forged names cost no more than this.
const FAILED_LOADS: u32 = 500;
/// Datagrams read in one turn.
const DATAGRAMS: usize = 2000;
/// Hash folders of `transport/`.
const FOLDERS: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Notice,
    FirstScan,
    Scan,
}

/// What one turn of reading datagrams brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub datagrams: u64,
    pub malformed: u64,
    /// More may wait in the socket.
    pub more: bool,
}

#[derive(Debug)]
pub struct Intake {
    notices: VecDeque<MessageId>,
    noticed: HashSet<MessageId>,
    found: VecDeque<MessageId>,
    loading: HashMap<MessageId, Source>,
    /// `None`: a step is under way.
    scan: Option<TransportScan>,
    first_scan: bool,
    next_step: u64,
    failed: u32,
    second: u64,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            notices: VecDeque::new(),
            noticed: HashSet::new(),
            found: VecDeque::new(),
            loading: HashMap::new(),
            scan: Some(TransportScan::default()),
            first_scan: true,
            next_step: 0,
            failed: 0,
            second: 0,
        }
    }
}

/// Reads waiting datagrams; what stands in those that are well-formed.
pub fn hear(socket: &UnixDatagram, notices: &mut Vec<spool::Notice>) -> Heard {
    let mut heard = Heard::default();
    let mut buffer = [0; 512];
    for _ in 0..DATAGRAMS {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                heard.datagrams += 1;
                match spool::parse_notice(buffer.get(..length).unwrap_or_default()) {
                    Ok(notice) => notices.push(notice),
                    Err(_) => heard.malformed += 1,
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return heard,
        }
    }
    heard.more = true;
    heard
}

impl Intake {
    /// A message that is said to be there. False: not a message id.
    pub fn announced(&mut self, name: &str) -> bool {
        let Ok(id) = MessageId::parse(name) else { return false };
        if self.notices.len() < NOTICES && self.noticed.insert(id) {
            self.notices.push_back(id);
        }
        true
    }

    /// Orders the loads and scan steps that are due. `skip`: known already, or being removed.
    pub fn pump(&mut self, pool: &mut Lane<'_>, period: Duration, now: Now, skip: impl Fn(MessageId) -> bool) {
        if self.second != now.ms / 1000 {
            self.second = now.ms / 1000;
            self.failed = 0;
        }
        while self.loading.len() < LOADS && self.failed < FAILED_LOADS {
            let Some(id) = self.notices.pop_front() else { break };
            self.noticed.remove(&id);
            self.load(id, Source::Notice, pool, &skip);
        }
        let source = if self.first_scan { Source::FirstScan } else { Source::Scan };
        while self.loading.len() < LOADS {
            let Some(id) = self.found.pop_front() else { break };
            self.load(id, source, pool, &skip);
        }
        if now.ms >= self.next_step
            && self.found.len() < FOUND
            && let Some(scan) = self.scan.take()
        {
            let wait = if self.first_scan { 0 } else { u64::try_from((period / FOLDERS).as_millis()).unwrap_or(u64::MAX) };
            self.next_step = now.ms.saturating_add(wait);
            pool.order(Order::Scan(scan));
        }
    }

    fn load(&mut self, id: MessageId, source: Source, pool: &mut Lane<'_>, skip: impl Fn(MessageId) -> bool) {
        if !skip(id) && !self.loading.contains_key(&id) {
            self.loading.insert(id, source);
            pool.order(Order::Load(id));
        }
    }

    /// A load has come back. True: a scan had to find it, though it came in the life of this process.
    pub fn loaded(&mut self, id: MessageId, found: bool) -> bool {
        let source = self.loading.remove(&id);
        if !found && source == Some(Source::Notice) {
            self.failed = self.failed.saturating_add(1);
        }
        found && source == Some(Source::Scan)
    }

    /// A scan step has come back. True: the first walk is complete.
    pub fn scanned(&mut self, scan: TransportScan, ids: io::Result<Option<Vec<MessageId>>>) -> Option<Pass> {
        match ids {
            Ok(Some(ids)) => {
                self.found.extend(ids);
                self.scan = Some(scan);
                None
            }
            Ok(None) => {
                self.scan = Some(TransportScan::default());
                let first = std::mem::replace(&mut self.first_scan, false);
                Some(if first { Pass::First } else { Pass::Later })
            }
            Err(e) => {
                daemon::event!(Error, "scan_failed", folder = scan.next, text = e);
                // Not at once again, and not for ever at this folder.
                self.next_step = self.next_step.saturating_add(1000);
                self.scan = Some(TransportScan { next: scan.next.saturating_add(1) });
                None
            }
        }
    }

    /// Milliseconds until there is something to do without any event.
    pub fn sleep_ms(&self, now: Now) -> u64 {
        if !self.notices.is_empty() && self.loading.len() < LOADS {
            return if self.failed < FAILED_LOADS { 0 } else { 1000 - now.ms % 1000 };
        }
        if self.scan.is_some() && self.found.len() < FOUND { self.next_step.saturating_sub(now.ms) } else { u64::MAX }
    }
}

/// A complete walk over the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    First,
    Later,
}
