//! `zpost status`.

use crate::link::{Link, connect_to};
use crate::moment::span;
use crate::output::{print, print_json, shown, table};
use crate::site::Site;
use crate::trouble::{EX_SOFTWARE, Trouble};
use ipc::control::{Reply, Request, Status};
use nix::sys::statvfs::statvfs;
use serde_json::json;
use settings::Settings;
use spool::Part;
use std::io;

/// LSB: the program is not running.
const STOPPED: u8 = 3;

/// The status that the master at the other end gives.
pub fn of(link: Link) -> Result<Status, Trouble> {
    let mut status = None;
    link.ask(&Request::Status, |reply| {
        if let Reply::Status(s) = reply {
            status = Some(s);
        }
    })?;
    status.ok_or_else(|| Trouble::new(EX_SOFTWARE, "the master's answer is no status"))
}

pub fn run(site: &Site, json: bool) -> Result<u8, Trouble> {
    let Some(link) = connect_to(&site.settings.paths.run)? else {
        if json {
            print_json(&json!({ "state": "stopped" }))?;
        } else {
            print("stopped\n")?;
        }
        return Ok(STOPPED);
    };
    let mut status = of(link)?;
    status.troubles.extend(full_disks(&site.settings));
    // Who may not look there is not told.
    let parts = super::freeze::kept(site);
    let healthy = status.troubles.is_empty();
    if json {
        print_json(&document(&status, &parts))?;
    } else {
        print(text(&status) + &frozen(&parts))?;
    }
    Ok(u8::from(!healthy))
}

/// Disks that take no new mail. Looked at here and not by the master, which must not wait for a disk.
fn full_disks(settings: &Settings) -> Vec<String> {
    let least = settings.server.min_free_bytes;
    let roots = std::iter::once(settings.paths.postoffice.as_path()).chain(settings.volume_roots().map(|(_, path)| path));
    roots
        .filter_map(|root| {
            let disk = statvfs(root).ok()?;
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            let (have, want) = (free >> 20, least >> 20);
            (free < least).then(|| format!("{}: {have} MiB free, new mail needs {want} ([server] min_free_bytes)", root.display()))
        })
        .collect()
}

fn word(status: &Status) -> &'static str {
    if status.troubles.is_empty() { "healthy" } else { "degraded" }
}

/// A line for each part that is frozen.
fn frozen(parts: &io::Result<Vec<Part>>) -> String {
    match parts {
        Ok(parts) => parts.iter().map(|part| format!("frozen: {}\n", shown(&part.to_string()))).collect(),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            format!("frozen: everything, for {}; `zpost thaw --all` ends it\n", shown(&e.to_string()))
        }
        Err(_) => String::new(),
    }
}

fn document(status: &Status, parts: &io::Result<Vec<Part>>) -> serde_json::Value {
    let mut value = serde_json::to_value(status).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("state".to_owned(), word(status).into());
        let parts = parts.as_ref().ok().map(|parts| parts.iter().map(super::freeze::document).collect::<Vec<_>>());
        object.insert("frozen_parts".to_owned(), json!(parts));
    }
    value
}

fn text(status: &Status) -> String {
    let Status { version, pid, generation, uptime_seconds, frozen, sessions, listeners, processes, troubles, shadow } = status;
    let frozen = if *frozen { ", frozen: nothing is delivered" } else { "" };
    let mut out = format!(
        "{} pid {pid}, version {version}, generation {generation}, up {}, {sessions} sessions{frozen}\n",
        word(status),
        span(*uptime_seconds)
    );
    for listener in listeners {
        out.push_str(&format!("listening on {listener}\n"));
    }
    if !shadow.is_empty() {
        out.push_str(&format!("a configuration is tried: {}\n", shown(shadow)));
    }
    for trouble in troubles {
        out.push_str(&format!("trouble: {}\n", shown(trouble)));
    }
    let heading = ["PROCESS", "PID", "STATE", "RESTARTS", "SESSIONS", "LAST END"].map(str::to_owned).to_vec();
    let rows = processes.iter().map(|p| {
        let pid = if p.pid == 0 { "-".to_owned() } else { p.pid.to_string() };
        vec![format!("{}/{}", p.service, p.index), pid, p.state.clone(), p.restarts.to_string(), p.sessions.to_string(), shown(&p.last_end)]
    });
    out.push_str(&table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>()));
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::link::tests::fake;
    use ipc::control::ProcessStatus;

    fn status(troubles: &[&str]) -> Status {
        let router = ProcessStatus {
            service: "router".to_owned(),
            index: 1,
            pid: 77,
            state: "ready".to_owned(),
            restarts: 2,
            sessions: 0,
            last_end: "signal 9".to_owned(),
        };
        Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            generation: 1,
            uptime_seconds: 65,
            frozen: true,
            sessions: 3,
            listeners: vec!["smtp 127.0.0.1:25".to_owned()],
            processes: vec![router],
            troubles: troubles.iter().map(|t| (*t).to_owned()).collect(),
            shadow: String::new(),
        }
    }

    #[test]
    fn says_all_on_few_lines() {
        assert_eq!(
            text(&status(&["router/1 restarts too often"])),
            "degraded pid 7, version 0.1.0, generation 1, up 1m, 3 sessions, frozen: nothing is delivered\n\
             listening on smtp 127.0.0.1:25\n\
             trouble: router/1 restarts too often\n\
             PROCESS   PID  STATE  RESTARTS  SESSIONS  LAST END\n\
             router/1  77   ready  2         0         signal 9\n"
        );
    }

    #[test]
    fn the_exit_status_tells_healthy_degraded_and_stopped() {
        for (troubles, code) in [(&[][..], 0), (&["x"][..], 1)] {
            let folder = tempfile::tempdir().unwrap();
            let site = crate::site::tests::scratch(folder.path());
            std::fs::create_dir(&site.settings.paths.run).unwrap();
            assert_eq!(run(&site, false), Ok(STOPPED));
            let _server = fake(&site.settings.paths.run, vec![Reply::Status(status(troubles))]);
            assert_eq!(run(&site, true), Ok(code));
        }
    }

    #[test]
    fn json_has_the_state_in_a_word() {
        assert_eq!(document(&status(&[]), &Ok(Vec::new())).get("state").unwrap(), "healthy");
    }
}
