//! `:include:` files and the files of lists, kept in memory while they are in use.

use crate::alias_syntax::{Value, parse_aliases, parse_list};
use crate::{Keeper, TableError, Watched};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

/// Bytes of one list file.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Lists remembered; beyond that all are forgotten and read anew.
const MAX_LISTS: usize = 64;

/// The entries of one list, and whose word they are.
#[derive(Debug, Clone)]
pub struct List {
    pub values: Rc<[Value]>,
    pub keeper: Keeper,
    /// Of the file.
    pub uid: u32,
    /// Everybody on this host can read it.
    pub open: bool,
}

impl List {
    /// Entries of the administrator's.
    pub fn of(values: Rc<[Value]>) -> Self {
        Self { values, keeper: Keeper::Administrator, uid: 0, open: true }
    }

    /// Whether whoever names the file could read it without our help: else its entries would come out as failures to him.
    pub fn is_open_to(&self, keeper: Keeper) -> bool {
        match keeper {
            Keeper::Administrator => true,
            Keeper::User(uid) => self.open || self.uid == uid,
            Keeper::Nobody => self.open,
        }
    }
}

/// The lists read so far.
#[derive(Debug, Default)]
pub struct Lists(HashMap<String, Watched<Rc<[Value]>>>);

impl Lists {
    pub fn read(&mut self, now: Instant, path: &str) -> Result<List, TableError> {
        if self.0.len() >= MAX_LISTS && !self.0.contains_key(path) {
            self.0.clear();
        }
        let table = self.0.entry(path.to_owned()).or_insert_with(|| Watched::new(path, MAX_FILE).careful());
        let values = table.read(now, |text| parse_list(text).map(Rc::from))?;
        let (uid, mode) = table.metadata().map_or((u32::MAX, 0), |metadata| (metadata.uid(), metadata.mode()));
        let open = mode & 0o004 != 0 && Path::new(path).ancestors().skip(1).all(can_be_entered);
        Ok(List { values: Rc::clone(&values), keeper: table.keeper(), uid, open })
    }

    /// Whether there is such a file to be read, at the price of opening it.
    pub fn exists(&self, path: &str) -> Result<(), TableError> {
        Watched::<()>::new(path, MAX_FILE).careful().exists()
    }
}

/// Whether a value stands in a list or alias file that is the word of the user `uid` or of the administrator; else why not.
pub fn stands_in(path: &Path, value: &Value, uid: u32) -> Result<(), String> {
    let mut file = Watched::new(path, MAX_FILE).careful();
    let text = file.read(Instant::now(), |text| Ok::<_, String>(text.to_owned())).map_err(|error| error.to_string())?;
    if !matches!(file.keeper(), Keeper::Administrator) && file.keeper() != Keeper::User(uid) {
        return Err(format!("{}: others than the user with uid {uid} can have written it", path.display()));
    }
    let listed = parse_list(&text).is_ok_and(|values| values.contains(value));
    let aliased = || parse_aliases(&text).0.iter().any(|line| line.values.as_ref().is_ok_and(|values| values.contains(value)));
    if listed || aliased() { Ok(()) } else { Err(format!("{}: that does not stand there any more", path.display())) }
}

fn can_be_entered(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn reads_a_list_and_forgets_when_there_are_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut lists = Lists::default();
        for n in 0..=MAX_LISTS {
            let path = folder.path().join(n.to_string());
            std::fs::write(&path, "a@b\nc@d\n").unwrap();
            assert_eq!(lists.read(Instant::now(), path.to_str().unwrap()).unwrap().values.len(), 2);
            lists.exists(path.to_str().unwrap()).unwrap();
        }
        assert_eq!(lists.0.len(), 1);
        assert!(matches!(lists.read(Instant::now(), "/nonexistent/list"), Err(TableError::Temporary(_))));
        assert!(lists.exists("/nonexistent/list").is_err() && lists.exists(folder.path().to_str().unwrap()).is_err());
    }

    #[test]
    fn a_private_file_is_read_for_its_owner_and_the_administrator_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "a@b\n").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let read = || Lists::default().read(Instant::now(), path.to_str().unwrap()).unwrap();
        let list = read();
        assert!(list.is_open_to(Keeper::Administrator) && list.is_open_to(Keeper::User(list.uid)));
        assert!(!list.is_open_to(Keeper::Nobody) && !list.is_open_to(Keeper::User(list.uid + 1)));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read().is_open_to(Keeper::Nobody));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!read().is_open_to(Keeper::Nobody));
    }

    #[test]
    fn a_value_is_found_again_where_its_user_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "a@b\n|/bin/x 'y'\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let program = |text: &str| Value::Program(text.to_owned());
        stands_in(&path, &program("/bin/x 'y'"), uid).unwrap();
        assert!(stands_in(&path, &program("/bin/x"), uid).unwrap_err().contains("any more"));
        std::fs::write(&path, "a: b\nc: \"|/bin/x 'y'\", /file\n").unwrap();
        stands_in(&path, &program("/bin/x 'y'"), uid).unwrap();
        stands_in(&path, &Value::File("/file".into()), uid).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(stands_in(&path, &program("/bin/x 'y'"), uid).unwrap_err().contains("can have written"));
        if uid == 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            stands_in(&path, &program("/bin/x 'y'"), 1000).unwrap();
            std::os::unix::fs::chown(&path, Some(1001), None).unwrap();
            assert!(stands_in(&path, &program("/bin/x 'y'"), 1000).is_err());
        }
    }

    #[test]
    fn a_link_shows_nobody_what_he_could_not_read() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: links of others need root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("secret"), folder.path().join("link"));
        std::fs::write(&target, "a@b\n").unwrap();
        symlink(&target, &link).unwrap();
        let mut lists = Lists::default();
        let now = Instant::now();
        assert_eq!(lists.read(now, link.to_str().unwrap()).unwrap().values.len(), 1);
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert!(Lists::default().read(now, link.to_str().unwrap()).unwrap_err().to_string().contains("link"));
        assert!(lists.exists(link.to_str().unwrap()).is_err());
        std::os::unix::fs::chown(&target, Some(65534), None).unwrap();
        lists.exists(link.to_str().unwrap()).unwrap();
    }
}
