//! `zpost show ID`.

use super::queue;
use crate::fields::Message;
use crate::moment::now_seconds;
use crate::offline::{self, Head};
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_DATAERR, EX_NOINPUT, EX_USAGE, Trouble};
use envelope::MessageId;
use ipc::control::QueuedMessage;
use serde_json::json;
use spool::{Place, Spool, Volumes};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

pub fn run(site: &Site, name: &str, body: bool, json: bool) -> Result<u8, Trouble> {
    let volumes = offline::open(&site.settings)?;
    let (spool, place) = find(&volumes, name)?;
    let file = spool.read_message(place, name).map_err(|e| Trouble::io(format!("{}/{name}", place.name()), &e))?;
    let head = offline::head(&file).map_err(|e| Trouble::new(EX_DATAERR, format!("{}/{name}: {e}", place.name())));
    let control = MessageId::parse(name).ok().filter(|_| place == Place::Queue).and_then(|id| offline::control(spool, id).ok().flatten());
    let message = control.map(|parsed| offline::message(&parsed));
    let reason = spool.read_reason(place, name).unwrap_or_default();
    if json {
        let document = document(name, place, &reason, message.as_ref(), &head?, if body { Some(&file) } else { None })?;
        print_json(&document)?;
        return Ok(0);
    }
    let mut out = format!("message {name} in {}/\n", place.name());
    if !reason.is_empty() {
        out.push_str(&format!("reason: {}\n", shown(&reason)));
    }
    if let Some(message) = &message {
        out.push_str(&queue::text(std::slice::from_ref(message), now_seconds()));
    }
    print(out)?;
    let head = head?;
    print(format!("\n{}\n{}", envelope_text(&head), shown_lines(&head.headers)))?;
    if body { copy_body(&file, &head).map(|()| 0) } else { Ok(0) }
}

/// A name that may be a message id or the name of a dropped file.
fn find<'v>(volumes: &'v Volumes, name: &str) -> Result<(&'v Spool, Place), Trouble> {
    if let Ok(id) = MessageId::parse(name) {
        let found = volumes.find(id).map_err(|e| Trouble::io("cannot look into the spool", &e))?;
        return found.map(|(spool, place)| (&**spool, place)).ok_or_else(|| {
            Trouble::new(EX_NOINPUT, format!("{name} is not in the spool; see `zpost trace {name}` for what became of it"))
        });
    }
    if !spool::is_safe_name(name.as_bytes()) {
        return Err(Trouble::new(EX_USAGE, format!("`{}` is no message id", shown(name))));
    }
    let there = offline::find_name(volumes, name, &[Place::Router, Place::Deferred, Place::Freezer]);
    there.ok_or_else(|| Trouble::new(EX_NOINPUT, format!("{name} is not in the spool")))
}

fn envelope_text(head: &Head) -> String {
    let mut bytes = Vec::new();
    envelope::write_envelope(&head.envelope, &mut bytes);
    shown_lines(&bytes)
}

/// Lines made harmless for a terminal, one by one; tabs fold headers and stay.
fn shown_lines(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().map(|line| line.split('\t').map(shown).collect::<Vec<_>>().join("\t") + "\n").collect()
}

/// The body as it is: who asks for it gets every byte.
fn copy_body(file: &File, head: &Head) -> Result<(), Trouble> {
    let start = head.body_offset.saturating_add(u64::try_from(head.headers.len()).unwrap_or(u64::MAX));
    let mut file = file;
    let mut piece = vec![0; 64 * 1024];
    file.seek(SeekFrom::Start(start)).map_err(|e| Trouble::io("the message", &e))?;
    loop {
        match file.read(&mut piece).map_err(|e| Trouble::io("the message", &e))? {
            0 => return Ok(()),
            n => print(piece.get(..n).unwrap_or_default())?,
        }
    }
}

fn document(
    name: &str,
    place: Place,
    reason: &str,
    message: Option<&QueuedMessage>,
    head: &Head,
    body: Option<&File>,
) -> Result<serde_json::Value, Trouble> {
    let envelope = &head.envelope;
    let recipients: Vec<_> = envelope.recipients.iter().map(|r| r.address.as_str()).collect();
    let headers: Vec<_> = message::fields(&head.headers).map(|f| json!([String::from_utf8_lossy(f.name), f.text()])).collect();
    let mut value = json!({
        "id": name,
        "place": place.name(),
        "reason": Some(reason).filter(|r| !r.is_empty()),
        "envelope": { "from": envelope.from.as_ref().map(|p| p.as_str()), "to": recipients, "received_from": envelope.rcvdfrom, "with": envelope.with },
        "message": message.map(Message::from),
        "headers": headers,
    });
    if let (Some(mut file), Some(object)) = (body, value.as_object_mut()) {
        let start = head.body_offset.saturating_add(u64::try_from(head.headers.len()).unwrap_or(u64::MAX)).saturating_add(1);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes)).map_err(|e| Trouble::io("the message", &e))?;
        object.insert("body".to_owned(), String::from_utf8_lossy(&bytes).into());
    }
    Ok(value)
}
