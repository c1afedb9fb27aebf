//! `[lists] folder`: a file of addresses for each list, and `NAME.toml` beside it where a list is run in its own manner.

use crate::{Keeper, ListManner, TableError, Watched};
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// Bytes of a `NAME.toml`.
const MAX_MANNER: u64 = 64 * 1024;
/// Such files remembered; beyond that all are forgotten.
const MAX_MANNERS: usize = 1000;
/// Longest name of a list in bytes.
const MAX_NAME: usize = 100;

/// A list that is there; its members are not read yet.
#[derive(Debug, Clone)]
pub struct ListEntry {
    /// Of the file of addresses, for [`crate::Lists::read`].
    pub path: String,
    /// Whose file that is.
    pub uid: u32,
    pub manner: Rc<ListManner>,
    /// Whose word the manner is; the administrator's where there is none.
    pub keeper: Keeper,
}

/// The folder.
#[derive(Debug)]
pub struct ListFolder {
    folder: PathBuf,
    manners: HashMap<String, Watched<ListManner>>,
}

impl ListFolder {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), manners: HashMap::new() }
    }

    /// The list of this name, given in lower case. A folder that is not there is trouble, not a folder without lists.
    pub fn find(&mut self, now: Instant, name: &str) -> Result<Option<ListEntry>, TableError> {
        if !is_name(name) {
            return Ok(None);
        }
        let path = self.folder.join(name);
        let Some(metadata) = self.look(&path)? else { return Ok(None) };
        if metadata.is_dir() {
            return Ok(None);
        }
        let path = path.to_str().ok_or_else(|| TableError::Permanent(format!("{}: not UTF-8", path.display())))?.to_owned();
        let (manner, keeper) = self.manner(now, name)?;
        Ok(Some(ListEntry { path, uid: metadata.uid(), manner, keeper }))
    }

    fn look(&self, path: &Path) -> Result<Option<std::fs::Metadata>, TableError> {
        let trouble = |e: io::Error| TableError::Temporary(format!("{}: {e}", path.display()));
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata)),
            // A link that leads nowhere is trouble: somebody means a list to be there.
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_ok() => Err(trouble(e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => match std::fs::metadata(&self.folder) {
                Ok(folder) if folder.is_dir() => Ok(None),
                Ok(_) => Err(TableError::Temporary(format!("{}: not a folder", self.folder.display()))),
                Err(e) => Err(TableError::Temporary(format!("{}: {e}", self.folder.display()))),
            },
            Err(e) => Err(trouble(e)),
        }
    }

    fn manner(&mut self, now: Instant, name: &str) -> Result<(Rc<ListManner>, Keeper), TableError> {
        let path = self.folder.join(format!("{name}.toml"));
        if self.look(&path)?.is_none() {
            self.manners.remove(name);
            return Ok((Rc::default(), Keeper::Administrator));
        }
        if self.manners.len() >= MAX_MANNERS && !self.manners.contains_key(name) {
            self.manners.clear();
        }
        let file = self.manners.entry(name.to_owned()).or_insert_with(|| Watched::new(path, MAX_MANNER).careful());
        let manner = file.read(now, ListManner::parse)?;
        Ok((manner, file.keeper()))
    }
}

/// A name that is one plain component of a path, and neither hidden nor a list's other file.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let first = name.chars().next().is_some_and(char::is_alphanumeric);
    first && name.len() <= MAX_NAME && name.chars().all(plain) && !name.ends_with(".toml")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_stay_in_the_folder() {
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "-x", "a\0", "a\n", "a b", "list.toml", "a~", &"x".repeat(101)]
        {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_name("staff") && is_name("zpost-users.2") && is_name("m\u{fc}ll"));
    }

    #[test]
    fn lists_with_and_without_a_manner() {
        let scratch = tempfile::tempdir().unwrap();
        let place = scratch.path().join("lists");
        let mut folder = ListFolder::new(&place);
        let mut now = Instant::now();
        assert!(matches!(folder.find(now, "staff"), Err(TableError::Temporary(_))), "no folder is trouble");
        std::fs::create_dir(&place).unwrap();
        assert!(folder.find(now, "staff").unwrap().is_none());
        std::fs::write(place.join("staff"), "a@b\n").unwrap();
        std::fs::create_dir(place.join("archive")).unwrap();
        assert!(folder.find(now, "archive").unwrap().is_none());
        assert_eq!(*folder.find(now, "staff").unwrap().unwrap().manner, ListManner::default());
        std::fs::write(place.join("staff.toml"), "moderated = true\n").unwrap();
        assert!(folder.find(now, "staff").unwrap().unwrap().manner.moderated);
        std::fs::write(place.join("staff.toml"), "moderated = true\nnonsense = 1\n").unwrap();
        now += Duration::from_secs(1);
        let trouble = folder.find(now, "staff").unwrap_err().to_string();
        assert!(trouble.contains("staff.toml") && trouble.contains("nonsense"), "{trouble}");
        std::fs::remove_file(place.join("staff.toml")).unwrap();
        assert!(!folder.find(now, "staff").unwrap().unwrap().manner.moderated);
        std::os::unix::fs::symlink("nowhere", place.join("lost")).unwrap();
        assert!(folder.find(now, "lost").is_err());
    }
}
