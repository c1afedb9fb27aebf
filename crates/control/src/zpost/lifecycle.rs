//! `zpost stop`, `restart`, `reload`, `upgrade`, `freeze`, `thaw`, `notify`.

use crate::link;
use crate::output::{print, shown};
use crate::site::Site;
use crate::trouble::{EX_TEMPFAIL, EX_USAGE, Trouble};
use ipc::control::Request;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Longer than any drain that has a limit in the configuration needs after it.
const AFTER_DRAIN: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);

/// Has the master do something that needs no more than an answer.
pub fn order(site: &Site, request: &Request, done: &str) -> Result<u8, Trouble> {
    let line = link::order(&site.settings.paths.run, request)?;
    print(format!("{}\n", if line.is_empty() { done } else { &line }))?;
    Ok(0)
}

/// Takes the configuration; with `shadow`, after the routers have tried it for that long; `cancel`: no longer.
pub fn reload(site: &Site, shadow: Option<&str>, cancel: bool) -> Result<u8, Trouble> {
    if cancel {
        return order(site, &Request::ShadowCancel, "cancelled");
    }
    let Some(time) = shadow else { return order(site, &Request::Reload, "reloaded") };
    match settings::duration(time) {
        Some(time) if time.as_secs() > 0 => order(site, &Request::Shadow { seconds: time.as_secs() }, "begun"),
        _ => Err(Trouble::new(EX_USAGE, format!("`{}` is no time; wanted: 90s, 10m, 2h", shown(time)))),
    }
}

/// Stops the suite and waits until its master is gone. A stopped one stays so: exit 0.
pub fn stop(site: &Site, now: bool) -> Result<u8, Trouble> {
    let run = &site.settings.paths.run;
    let Some(first) = link::connect_to(run)? else {
        crate::output::complain("zpost: not running\n");
        return Ok(0);
    };
    let pid = super::status::of(first)?.pid;
    let Some(second) = link::connect_to(run)? else { return Ok(0) };
    second.ask(&Request::Stop { now }, |_| ())?;
    let patience = site.settings.processes.drain.saturating_add(AFTER_DRAIN);
    let deadline = Instant::now().checked_add(patience);
    while alive(pid) {
        if deadline.is_some_and(|d| Instant::now() > d) {
            return Err(Trouble::new(EX_TEMPFAIL, format!("pid {pid} is still there; `zpost stop --now` does not wait for work in hand")));
        }
        std::thread::sleep(GLANCE);
    }
    Ok(0)
}

pub fn restart(site: &Site) -> Result<u8, Trouble> {
    stop(site, false)?;
    super::start::start(site)
}

/// Sends a notification. Only a hint: what is dropped into the spool is found without it too, just later.
pub fn notify(site: &Site, who: &str, name: &str) -> Result<u8, Trouble> {
    let (volume, bare) = name.split_once('/').unwrap_or(("-", name));
    if ![volume, bare].iter().all(|part| spool::is_safe_name(part.as_bytes())) {
        return Err(Trouble::new(EX_USAGE, format!("`{}` is no name of a file in the spool", shown(name))));
    }
    let mut notifier = spool::Notifier::new(&site.settings.paths.run, who).map_err(|e| Trouble::io("cannot make a socket", &e))?;
    notifier.notice(name);
    Ok(0)
}

/// Is this process there, and not just waiting for its parent to look?
fn alive(pid: u32) -> bool {
    let Some(number) = i32::try_from(pid).ok().filter(|p| *p > 0) else { return false };
    if kill(Pid::from_raw(number), None) == Err(Errno::ESRCH) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.starts_with('Z')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_and_the_undead_are_gone() {
        assert!(alive(std::process::id()));
        assert!(!alive(0));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        // Until wait() it is a zombie.
        while alive(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!alive(pid));
    }

    #[test]
    fn stopping_what_is_stopped_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(stop(&crate::site::tests::scratch(folder.path()), false), Ok(0));
    }
}
