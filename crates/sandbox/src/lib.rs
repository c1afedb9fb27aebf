//! Giving up rights: a process that has everything it needs enters its sandbox, for good.
//!
//! Two walls, each of which holds files and programs off by itself. **Landlock**: no file or folder of the system can be
//! opened, made or executed any more but what [`Needs`] names, no TCP port listened on, no other process signalled; what is
//! open stays open. **seccomp**: only the system calls that the process uses; any other fails with EPERM, and those that
//! nothing but an intruder makes (exec, ptrace and the like) kill it. With them: no new rights by set-id programs, no core dumps.
//!
//! Both hold for the calling thread and those it makes afterwards: enter before the first thread.
//!
//! **Invariant:** there is no way out, and nothing here knows what a service does but its list of system calls.

mod calls;
mod files;
mod granted;
pub mod trial;

pub use granted::{AUTHORITIES, Granted, NAMES, folder};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use settings::Sandbox;
use std::fmt;
use std::path::PathBuf;

/// What a process goes on using.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    pub network: Network,
    pub folders: &'a [(PathBuf, Folder)],
    /// Bytes of memory at most (RLIMIT_DATA); `None`: as before.
    pub memory: Option<u64>,
    /// No process of the same user may look into it, neither a debugger nor by /proc.
    pub secret: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Sockets that it has, and conversations with the suite.
    Given,
    /// Connections to other hosts, too.
    Out,
}

/// What may be done in a folder. Reading is its own right, and not among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folder {
    /// Files read, in it and below; or one file, where the path is that of a file.
    Read,
    /// Files made, written, removed, moved elsewhere.
    Make,
    /// Files moved here, and then out of reach.
    Place,
    /// Files moved here; made and written.
    PlaceAndWrite,
}

impl Needs<'_> {
    /// A process that speaks to other hosts and has no files: ta-smtp.
    pub const fn client() -> Self {
        Self { network: Network::Out, folders: &[], memory: None, secret: false }
    }

    /// One that has only its conversations.
    pub const fn nothing() -> Self {
        Self { network: Network::Given, folders: &[], memory: None, secret: false }
    }
}

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

/// Enters the sandbox. `Ok`: what holds, and why anything does not; `Err`: the configuration requires what this system lacks,
/// and the process must not go on.
pub fn enter(wish: Sandbox, needs: &Needs<'_>) -> Result<(Walls, Vec<String>), String> {
    if wish == Sandbox::Off {
        return Ok((Walls { files: false, calls: false }, Vec::new()));
    }
    let mut lacking = Vec::new();
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        lacking.push(format!("core dumps: {e}"));
    }
    if needs.secret
        && let Err(e) = nix::sys::prctl::set_dumpable(false)
    {
        lacking.push(format!("dumpable: {e}"));
    }
    if let Some(Err(e)) = needs.memory.map(|bytes| limit(Resource::RLIMIT_DATA, bytes)) {
        lacking.push(format!("memory limit: {e}"));
    }
    if let Err(e) = nix::sys::prctl::set_no_new_privs() {
        lacking.push(format!("no_new_privs: {e}"));
    }
    let files = files::give_up(needs).map_err(|e| lacking.push(format!("landlock: {e}"))).is_ok();
    let calls = calls::filter(needs).map_err(|e| lacking.push(format!("seccomp: {e}"))).is_ok();
    if wish == Sandbox::Require && !lacking.is_empty() {
        return Err(lacking.join("; "));
    }
    Ok((Walls { files, calls }, lacking))
}

/// Lowers a limit, for good; a lower one stays.
fn limit(resource: Resource, most: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let most = most.min(hard);
    setrlimit(resource, most, most)
}

/// [`enter`] for a process of the suite: what holds, and what this system lacks, goes to the log. Before the first thread:
/// the walls hold for those made later. An error says what to do about it.
pub fn confine(wish: Sandbox, needs: &Needs<'_>) -> std::io::Result<()> {
    // The first line logged reads the time zone.
    daemon::event!(Debug, "confining");
    daemon::log::flush();
    let (walls, lacking) = enter(wish, needs)
        .map_err(|why| std::io::Error::other(format!("sandbox: {why}; [processes] sandbox = \"try\" goes on without")))?;
    for why in lacking {
        daemon::event!(Warning, "sandbox_lacks", reason = why);
    }
    daemon::event!(Debug, "sandboxed", walls = walls);
    if trial::wanted() {
        trial::run(needs.network == Network::Out);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
