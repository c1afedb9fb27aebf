//! The sandbox of a worker, entered once everything is open and before the first thread.
//!
//! Two limits that suggest themselves are not set. RLIMIT_FSIZE: the log is a file too, of any size. RLIMIT_NPROC: it counts
//! the processes of the user, which the suite's others share; the filter allows threads and no processes.

use crate::worker::Worker;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sandbox::{Folder, Needs};
use settings::Settings;
use std::io;
use std::path::PathBuf;

/// For everything but sessions: conversations, folders, drafts.
const OTHER_DESCRIPTORS: u64 = 1024;
/// Bytes of memory that no worker needs; beyond them it is the worker that dies, not the host.
const LEAST_MEMORY: u64 = 4 << 30;
/// What a session may take with TLS and both its buffers full.
const SESSION: u64 = 256 * 1024;
/// Messages of the greatest size in memory at a time: large ones are streamed, so this is generous.
const LARGE: u64 = 16;

/// From here on no file but those of the spool can be made, none read, nothing executed, nobody called.
pub(crate) fn enter(worker: Worker) -> io::Result<Worker> {
    let settings = &worker.context.settings;
    let mut folders = Vec::new();
    for (_, spool) in worker.disks.volumes.usable() {
        let [public, router, freezer] = spool.acceptance_folders()?;
        folders.extend([(public, Folder::Make), (router, Folder::Place), (freezer, Folder::PlaceAndWrite)]);
    }
    limit_descriptors(settings);
    let needs = Needs { folders: &folders, memory: Some(memory(settings)), ..Needs::nothing() };
    sandbox::confine(settings.processes.sandbox, &needs)?;
    if sandbox::trial::wanted() {
        trial(&folders);
    }
    Ok(worker)
}

fn limit_descriptors(settings: &Settings) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let most = u64::from(settings.connections.total).saturating_mul(2).saturating_add(OTHER_DESCRIPTORS).min(hard);
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

fn memory(settings: &Settings) -> u64 {
    let sessions = u64::from(settings.connections.total).saturating_mul(SESSION);
    LEAST_MEMORY.saturating_add(sessions).saturating_add(settings.server.max_message_size.saturating_mul(LARGE))
}

/// What a worker that is taken over would try of the spool.
fn trial(folders: &[(PathBuf, Folder)]) {
    use std::fs::{File, read_dir};
    let postoffice = folders.first().and_then(|(public, _)| public.parent()).unwrap_or(std::path::Path::new("/"));
    let at = |name: &str| postoffice.join(name);
    sandbox::trial::say([
        ("list_queue", read_dir(at("queue")).map(drop)),
        ("list_public", read_dir(at("public")).map(drop)),
        ("list_router", read_dir(at("router")).map(drop)),
        ("make_in_queue", File::create(at("queue/trial")).map(drop)),
        ("make_in_router", File::create(at("router/trial")).map(drop)),
        ("make_folder_in_public", std::fs::create_dir(at("public/trial"))),
    ]);
}
