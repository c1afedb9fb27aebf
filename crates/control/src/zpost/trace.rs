//! `zpost trace ID`.

use super::step::{Step, parse};
use crate::fields::Message;
use crate::offline;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_NOINPUT, EX_USAGE, Trouble};
use envelope::MessageId;
use ipc::control::QueuedMessage;
use memchr::memmem::Finder;
use serde_json::json;
use spool::{Place, Spool};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// The log file's name; rotated ones have something behind it.
const LOG: &str = "zpost.log";

/// Where the message is now.
#[derive(Debug)]
struct Now {
    place: Place,
    reason: String,
    message: Option<QueuedMessage>,
}

pub fn run(site: &Site, id: &str, json: bool) -> Result<u8, Trouble> {
    let id = parse_id(id)?;
    let (steps, unread) = steps(&site.settings.paths.log, id)?;
    for (path, why) in &unread {
        crate::output::complain(&format!("zpost: {} is not read: {why}\n", path.display()));
    }
    if !site.settings.log.to_file {
        crate::output::complain(
            "zpost: [log] to is \"stderr\", so the steps are where the supervisor keeps the log; this is what the spool knows\n",
        );
    }
    let now = now(site, id)?;
    if steps.is_empty() && now.is_none() {
        return Err(Trouble::new(EX_NOINPUT, format!("no trace of {id} in the log files nor in the spool")));
    }
    if json {
        let place = now.as_ref().map(|n| n.place.name());
        let message = now.as_ref().and_then(|n| n.message.as_ref()).map(Message::from);
        let reason = now.as_ref().map(|n| n.reason.as_str()).filter(|r| !r.is_empty());
        let steps: Vec<_> = steps.iter().map(step_json).collect();
        print_json(&json!({ "id": id.as_str(), "steps": steps, "place": place, "reason": reason, "message": message }))?;
    } else {
        print(text(&steps, now.as_ref()))?;
    }
    Ok(0)
}

pub fn parse_id(text: &str) -> Result<MessageId, Trouble> {
    MessageId::parse(text).map_err(|_| Trouble::new(EX_USAGE, format!("`{}` is no message id", shown(text))))
}

/// Files that were not read, and why.
type Unread = Vec<(PathBuf, String)>;

/// All steps in the log files of a folder, in the order of time, and the files that cannot be read.
fn steps(folder: &Path, id: MessageId) -> Result<(Vec<Step>, Unread), Trouble> {
    let (mut steps, mut unread) = (Vec::new(), Vec::new());
    for path in log_files(folder)? {
        let compressed = path.extension().is_some_and(|e| ["gz", "xz", "zst", "bz2"].iter().any(|c| e == *c));
        let fault = if compressed { Some("it is compressed".to_owned()) } else { scan(&path, id, &mut steps).err().map(|e| e.to_string()) };
        unread.extend(fault.map(|fault| (path, fault)));
    }
    // RFC 3339 in UTC sorts as text; the sort is stable, so lines of one millisecond stay as they were written.
    steps.sort_by(|a, b| a.time.cmp(&b.time));
    Ok((steps, unread))
}

/// The log file and the rotated ones, oldest first.
fn log_files(folder: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| Trouble::io(folder.display(), &e))?,
    };
    let names = entries.filter_map(Result::ok).filter(|e| e.file_name().to_string_lossy().starts_with(LOG));
    let mut files: Vec<_> = names.map(|e| (e.metadata().and_then(|m| m.modified()).ok(), e.path())).collect();
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Only lines that hold the id are looked at closely.
fn scan(path: &Path, id: MessageId, steps: &mut Vec<Step>) -> std::io::Result<()> {
    let finder = Finder::new(id.as_str().as_bytes());
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if finder.find(&line).is_some() {
            let text = String::from_utf8_lossy(&line);
            steps.extend(parse(text.trim_end()).filter(|s| s.is_about(id.as_str())));
        }
        line.clear();
    }
    Ok(())
}

fn now(site: &Site, id: MessageId) -> Result<Option<Now>, Trouble> {
    let volumes = match offline::open(&site.settings) {
        Ok(volumes) => volumes,
        Err(trouble) => {
            crate::output::complain(&format!("zpost: {}\n", trouble.text));
            return Ok(None);
        }
    };
    let found = volumes.find(id).map_err(|e| Trouble::io("cannot look into the spool", &e))?;
    Ok(found.map(|(spool, place)| Now { place, reason: reason(spool, place, id), message: routed(spool, place, id) }))
}

fn reason(spool: &Spool, place: Place, id: MessageId) -> String {
    if matches!(place, Place::Deferred | Place::Freezer) {
        spool.read_reason(place, id.as_str()).unwrap_or_default()
    } else {
        String::new()
    }
}

fn routed(spool: &Spool, place: Place, id: MessageId) -> Option<QueuedMessage> {
    if place != Place::Queue {
        return None;
    }
    offline::control(spool, id).ok().flatten().map(|parsed| offline::message(&parsed))
}

fn step_json(step: &Step) -> serde_json::Value {
    let fields: serde_json::Map<_, _> = step.fields.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    json!({ "time": step.time, "service": step.service, "pid": step.pid, "event": step.event, "fields": fields })
}

fn text(steps: &[Step], now: Option<&Now>) -> String {
    let mut out = String::new();
    for step in steps {
        let fields = step.fields.iter().filter(|(k, _)| k != "id").map(|(k, v)| format!(" {k}={}", quoted(v)));
        out.push_str(&format!("{}  {}[{}]  {}{}\n", step.time, step.service, step.pid, step.event, fields.collect::<String>()));
    }
    match now {
        None => out.push_str("now: not in the spool\n"),
        Some(Now { place, reason, message }) => {
            let why = if reason.is_empty() { String::new() } else { format!(": {}", shown(reason)) };
            out.push_str(&format!("now: in {}/{why}\n", place.name()));
            for r in message.iter().flat_map(|m| &m.recipients) {
                out.push_str(&format!("  <{}> {}/{} {}\n", shown(&r.address), shown(&r.channel), shown(&r.host), r.state));
                if let Some(text) = super::queue::report(&r.report) {
                    out.push_str(&format!("    ({text})\n"));
                }
            }
        }
    }
    out
}

fn quoted(value: &str) -> String {
    let shown = shown(value);
    if shown.is_empty() || shown.contains(' ') { format!("\"{shown}\"") } else { shown }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_steps_in_all_files_and_sorts_them() {
        let folder = tempfile::tempdir().unwrap();
        let id = envelope::IdSource::new(1).next(1_700_000_000_000_000);
        let line = |time: &str, event: &str| format!("2026-01-01T00:00:0{time}Z router[1]: {event} id={id} text=\"a b\"\n");
        let other = "2026-01-01T00:00:09.000Z router[1]: routed id=other\n";
        std::fs::write(folder.path().join(LOG), format!("{}{other}", line("3.000", "delivered"))).unwrap();
        std::fs::write(folder.path().join("zpost.log.1"), format!("{}{}junk {id}\n", line("2.000", "routed"), line("1.000", "accepted")))
            .unwrap();
        std::fs::write(folder.path().join("zpost.log.2.gz"), "x").unwrap();
        let (steps, unread) = steps(folder.path(), id).unwrap();
        assert_eq!(steps.iter().map(|s| s.event.as_str()).collect::<Vec<_>>(), ["accepted", "routed", "delivered"]);
        assert_eq!(unread, [(folder.path().join("zpost.log.2.gz"), "it is compressed".to_owned())]);
        assert_eq!(text(&steps[..1], None), "2026-01-01T00:00:01.000Z  router[1]  accepted text=\"a b\"\nnow: not in the spool\n");
    }

    #[test]
    fn no_log_folder_is_no_steps() {
        let folder = tempfile::tempdir().unwrap();
        assert!(log_files(&folder.path().join("none")).unwrap().is_empty());
        assert_eq!(parse_id("../../etc").unwrap_err().code, EX_USAGE);
    }
}
