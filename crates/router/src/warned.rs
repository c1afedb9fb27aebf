//! Files that are nobody's word because others can write them: said once in the log, until they are somebody's again.

use daemon::event;
use lookup::Keeper;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;

/// Paths remembered; beyond that all are forgotten, and said again.
const MAX_PATHS: usize = 1000;

/// What has been said.
#[derive(Debug, Default)]
pub struct Warned(HashSet<String>);

impl Warned {
    /// A file was used; this is its keeper.
    pub fn look(&mut self, path: &str, keeper: Keeper) {
        if keeper != Keeper::Nobody {
            self.0.remove(path);
            return;
        }
        if self.0.contains(path) {
            return;
        }
        if self.0.len() >= MAX_PATHS {
            self.0.clear();
        }
        event!(Warning, "unsafe_file", path = path, reason = reason(path));
        self.0.insert(path.to_owned());
    }
}

fn reason(path: &str) -> String {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o022 != 0 => {
            format!("others than its owner can write it (mode {:o}); it may name addresses only", metadata.mode() & 0o7777)
        }
        Ok(_) => "others than its owner can change a folder or a link that leads to it; it may name addresses only".to_owned(),
        Err(e) => format!("it cannot be looked at: {e}"),
    }
}
