//! Giving up rights: a process that has everything it needs enters its sandbox, for good.
//!
//! Two walls, each of which holds files and programs off by itself. **Landlock**: no file or folder of the system can be
//! opened, made or executed any more, and no TCP port listened on; what is open stays open. **seccomp**: only the system calls
//! that the process uses; any other fails with EPERM, and those that nothing but an intruder makes (exec, ptrace and the like)
//! kill it. With them: no new rights by set-id programs, no core dumps.
//!
//! Both hold for the calling thread and those it makes afterwards: enter before the first thread.
//!
//! **Invariant:** there is no way out, and nothing here knows what a service does but its list of system calls.

mod calls;
mod files;

use nix::sys::resource::{Resource, setrlimit};
use settings::Sandbox;
use std::fmt;

/// What holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walls {
    pub files: bool,
    pub calls: bool,
}

impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.files, self.calls) {
            (true, true) => "landlock,seccomp",
            (true, false) => "landlock",
            (false, true) => "seccomp",
            (false, false) => "none",
        })
    }
}

/// Enters the sandbox of a process that speaks to other hosts and has no files: ta-smtp. `Ok`: what holds, and why anything
/// does not; `Err`: the configuration requires what this system lacks, and the process must not go on.
pub fn enter_client(wish: Sandbox) -> Result<(Walls, Vec<String>), String> {
    if wish == Sandbox::Off {
        return Ok((Walls { files: false, calls: false }, Vec::new()));
    }
    let mut lacking = Vec::new();
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        lacking.push(format!("core dumps: {e}"));
    }
    if let Err(e) = nix::sys::prctl::set_no_new_privs() {
        lacking.push(format!("no_new_privs: {e}"));
    }
    let files = files::give_up().map_err(|e| lacking.push(format!("landlock: {e}"))).is_ok();
    let calls = calls::filter_client().map_err(|e| lacking.push(format!("seccomp: {e}"))).is_ok();
    if wish == Sandbox::Require && !lacking.is_empty() {
        return Err(lacking.join("; "));
    }
    Ok((Walls { files, calls }, lacking))
}

#[cfg(test)]
mod tests;
