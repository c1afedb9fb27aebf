//! A scratch suite: the real programs under a temporary folder, and the third-party programs around them.
//!
//! Every test gets its own folder, ports and processes; everything ends when the [`Suite`] is dropped.
//! Run as root, the suite runs as `nobody`, so that tests see what an ordinary user would.

pub mod clients;
pub mod dialogue;
pub mod dns;
pub mod dovecot;
pub mod exim;
pub mod flood;
pub mod killer;
pub mod late;
pub mod load;
pub mod logins;
mod logs;
pub mod maps;
pub mod memory;
pub mod pem;
mod ports;
pub mod postfix;
pub mod servers;
pub mod services;
pub mod sink;
mod suite;
pub mod tables;
pub mod tls;
pub mod tls_sink;
pub mod wire;
pub mod zone;

pub use dovecot::Dovecot;
pub use ports::free_port;
pub use postfix::Postfix;
pub use sink::Sink;
pub use suite::{ORDINARY, Suite, SuiteBuilder, programs};

use std::path::Path;
use std::time::{Duration, Instant};

/// Waits until `ready` says true; looks again every few milliseconds. Panics with `what` after `limit`: a limit is only
/// there to end a hopeless test, so make it generous.
pub fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < limit, "gave up waiting after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Generous: nothing here depends on speed.
pub const LONG: Duration = Duration::from_secs(120);

/// Files in a folder, by name; empty when the folder does not exist.
pub fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Is a program of this name installed?
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
        || Path::new("/usr/sbin").join(program).exists()
}
