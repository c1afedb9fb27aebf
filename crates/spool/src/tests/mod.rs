//! The states of the spool and every way between them, with the power failing after each step.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod accepting;
mod routing;
mod scheduling;
mod shape;

use crate::{Owners, Place, Spool, Submitter, TransportScan};
use address::{Address, Path as MailPath};
use envelope::{Control, ControlRecipient, Envelope, EnvelopeRecipient, MessageId, Quad, RecipientDsn, RecipientState};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) struct Office {
    _root: tempfile::TempDir,
    pub path: PathBuf,
    pub spool: Arc<Spool>,
    pub submitter: Submitter,
}
pub(super) fn office() -> Office {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("postoffice");
    Spool::create(&path, &Owners::default()).unwrap();
    let spool = Arc::new(Spool::open(&path).unwrap());
    Office { _root: root, path, submitter: Submitter::new(spool.clone()), spool }
}
pub(super) const CONTENT: &[u8] = b"Subject: hello\n\nbody\n";

pub(super) fn envelope() -> Envelope {
    let address = |text| Address::parse(text).unwrap();
    Envelope {
        from: Some(MailPath::Mailbox(address("sender@example.org"))),
        recipients: vec![EnvelopeRecipient::new(address("rcpt@local.example"), RecipientDsn::default())],
        ..Envelope::default()
    }
}
pub(super) fn control(id: MessageId, recipients: usize) -> Control {
    let recipient = |n| ControlRecipient {
        offset: 0,
        state: RecipientState::Queued,
        quad: Quad { channel: "smtp".into(), host: "example.org".into(), user: format!("user{n}@example.org"), attributes: "-".into() },
        original: None,
        via: None,
        dsn: RecipientDsn::default(),
        form: 0,
    };
    Control {
        id,
        body_offset: 100,
        size: CONTENT.len() as u64,
        arrived: 1,
        sender: MailPath::Null,
        edits: Vec::new(),
        forms: Vec::new(),
        bodytype: Default::default(),
        smtputf8: false,
        envid: None,
        ret: None,
        terms: Default::default(),
        message_id: None,
        recipients: (0..recipients).map(recipient).collect(),
    }
}
impl Office {
    pub fn control_bytes(&self, id: MessageId, recipients: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        envelope::write_control(&control(id, recipients), &mut bytes);
        bytes
    }
    pub fn accepted(&mut self) -> MessageId {
        let id = self.submitter.next_id();
        self.submitter.submit(id, &envelope(), CONTENT).unwrap();
        id
    }
    /// Accepted and routed.
    pub fn queued(&mut self, recipients: usize) -> MessageId {
        let id = self.accepted();
        self.spool.enqueue(id.as_str(), id, &self.control_bytes(id, recipients)).unwrap();
        id
    }
    pub fn text(&self, place: Place, name: &str) -> String {
        let mut text = String::new();
        self.spool.read_message(place, name).unwrap().read_to_string(&mut text).unwrap();
        text
    }
    pub fn scan(&self) -> Vec<MessageId> {
        let (mut scan, mut ids) = (TransportScan::default(), Vec::new());
        while let Some(found) = self.spool.scan_step(&mut scan).unwrap() {
            ids.extend(found);
        }
        ids
    }
    /// Every file below the postoffice.
    pub fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(&self.path).unwrap().display().to_string());
                }
            }
        }
        files.sort();
        files
    }
    pub fn queue_path(&self, folder: &str, id: MessageId) -> PathBuf {
        self.path.join(folder).join(format!("{:02x}", id.hash())).join(id.as_str())
    }
}
