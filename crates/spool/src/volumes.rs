//! Several volumes: further spool roots on other disks, each with all the folders of a postoffice.
//!
//! A message lives and dies on the volume it was accepted on: no rename crosses a filesystem. The postoffice itself is
//! volume 0. Between processes a message of another volume is written `<volume>/<name>`, by the volume's name and not its
//! number, because two processes may read two generations of the configuration.
//!
//! Every volume but the postoffice carries a mark, `.zpost-volume`, with its name. A mount point whose disk is
//! not mounted is an empty folder: without the mark, new mail would go to the disk below it, unseen from the day the right one
//! is mounted over it. The postoffice remembers in `.volume-<name>` which volumes were ever set up, so an unmarked folder
//! is taken for a new volume once, and for a missing disk ever after.

use crate::folder::is_safe_name;
use crate::{Owners, Place, Spool};
use envelope::MessageId;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of a volume in one process: its place in the configuration, 0 for the postoffice. Never leaves the process.
pub type VolumeNumber = u8;

/// The postoffice itself.
pub const POSTOFFICE: VolumeNumber = 0;
const MARK: &str = ".zpost-volume";
const REMEMBERED: &str = ".volume-";
const NAME_LIMIT: usize = 64;

/// One of them.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Empty: the postoffice.
    pub name: String,
    pub path: PathBuf,
    /// Why it cannot be used, or the open spool.
    pub spool: Result<Arc<Spool>, String>,
}

/// All volumes, the postoffice first.
#[derive(Debug, Clone)]
pub struct Volumes(Vec<Volume>);

impl Volumes {
    /// Opens what is there. Only a postoffice that cannot be opened is an error: the mail of a volume that is missing
    /// waits on it, all other mail flows.
    pub fn open<'a>(postoffice: &Path, others: impl IntoIterator<Item = (&'a str, &'a Path)>) -> io::Result<Self> {
        let spool = Arc::new(Spool::open(postoffice)?);
        let mut all = vec![Volume { name: String::new(), path: postoffice.to_owned(), spool: Ok(spool) }];
        for (name, path) in others.into_iter().take(usize::from(VolumeNumber::MAX)) {
            let spool = check_mark(path, name).and_then(|()| Spool::open(path)).map(Arc::new).map_err(|e| e.to_string());
            all.push(Volume { name: name.to_owned(), path: path.to_owned(), spool });
        }
        Ok(Self(all))
    }

    /// One open spool and no others.
    pub fn single(spool: Arc<Spool>) -> Self {
        Self(vec![Volume { name: String::new(), path: PathBuf::new(), spool: Ok(spool) }])
    }

    /// Tries the missing ones again; those that are there now.
    pub fn reopen(&mut self) -> Vec<(VolumeNumber, Arc<Spool>)> {
        let mut back = Vec::new();
        for (number, volume) in self.0.iter_mut().enumerate().filter(|(_, volume)| volume.spool.is_err()) {
            volume.spool =
                check_mark(&volume.path, &volume.name).and_then(|()| Spool::open(&volume.path)).map(Arc::new).map_err(|e| e.to_string());
            if let (Ok(spool), Ok(number)) = (&volume.spool, VolumeNumber::try_from(number)) {
                back.push((number, Arc::clone(spool)));
            }
        }
        back
    }

    pub fn all(&self) -> &[Volume] {
        &self.0
    }

    /// The volumes that can be used.
    pub fn usable(&self) -> impl Iterator<Item = (VolumeNumber, &Arc<Spool>)> {
        self.0.iter().enumerate().filter_map(|(n, v)| Some((VolumeNumber::try_from(n).ok()?, v.spool.as_ref().ok()?)))
    }

    pub fn get(&self, number: VolumeNumber) -> Option<&Arc<Spool>> {
        self.0.get(usize::from(number)).and_then(|volume| volume.spool.as_ref().ok())
    }

    /// The number of a volume by its name; empty: the postoffice.
    pub fn number(&self, name: &str) -> Option<VolumeNumber> {
        self.0.iter().position(|volume| volume.name == name).and_then(|n| VolumeNumber::try_from(n).ok())
    }

    /// `name` of a volume's folder as it is written between processes.
    pub fn written(&self, number: VolumeNumber, name: &str) -> String {
        match self.0.get(usize::from(number)) {
            Some(volume) if !volume.name.is_empty() => format!("{}/{name}", volume.name),
            _ => name.to_owned(),
        }
    }

    /// Reads what [`Volumes::written`] writes. `None`: no volume of that name, or a name that is not safe.
    pub fn read<'n>(&self, written: &'n str) -> Option<(VolumeNumber, &'n str)> {
        let (volume, name) = match written.split_once('/') {
            None => (POSTOFFICE, written),
            Some((volume, name)) => (self.number(volume)?, name),
        };
        is_safe_name(name.as_bytes()).then_some((volume, name))
    }

    /// The volume that a message is on, and where there. Volumes that may not be entered are passed over, unless that
    /// leaves nothing: then it is the error.
    pub fn find(&self, id: MessageId) -> io::Result<Option<(&Arc<Spool>, Place)>> {
        let mut denied = None;
        for (_, spool) in self.usable() {
            match spool.find(id) {
                Ok(Some(place)) => return Ok(Some((spool, place))),
                Ok(None) => {}
                Err(e) => denied = Some(e),
            }
        }
        denied.map_or(Ok(None), Err)
    }
}

impl Spool {
    /// Makes what is missing of a volume, as [`Spool::create`] does for the postoffice, and marks it.
    ///
    /// The folder itself must exist: it is a mount point, or the administrator's choice.
    pub fn create_volume(postoffice: &Path, name: &str, root: &Path, owners: &Owners) -> io::Result<()> {
        if !is_safe_name(name.as_bytes()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` cannot name a volume")));
        }
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such folder; is its disk mounted?"));
        }
        let remembered = postoffice.join(format!("{REMEMBERED}{name}"));
        match check_mark(root, name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !remembered.exists() => {
                write_new(&root.join(MARK), format!("{name}\n").as_bytes())?;
            }
            other => other?,
        }
        if !remembered.exists() {
            write_new(&remembered, b"")?;
        }
        Self::create(root, owners).map(drop)
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    // The mask of this process takes the others' right to read away, and the suite's other users need it.
    file.set_permissions(PermissionsExt::from_mode(0o644))?;
    file.write_all(content)?;
    file.sync_all()
}

/// `NotFound`: the folder has no mark.
fn check_mark(root: &Path, name: &str) -> io::Result<()> {
    let mut mark = String::new();
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(root.join(MARK));
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => io::Error::new(e.kind(), format!("it has no {MARK}; is its disk mounted?")),
        _ => e,
    })?;
    file.take(NAME_LIMIT as u64 * 4).read_to_string(&mut mark)?;
    if mark.trim_end() == name {
        return Ok(());
    }
    let found: String = mark.trim_end().chars().take(NAME_LIMIT).filter(|c| c.is_ascii_graphic()).collect();
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{MARK} says that it is volume `{found}`; is the wrong disk mounted?")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_without_its_mark_is_a_new_volume_once_and_a_missing_disk_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let (post, disk) = (folder.path().join("post"), folder.path().join("disk"));
        Spool::create(&post, &Owners::default()).unwrap();
        let create = || Spool::create_volume(&post, "disk2", &disk, &Owners::default());
        let open = || Volumes::open(&post, [("disk2", disk.as_path())]).unwrap();
        assert_eq!(create().unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut early = open();
        assert!(early.get(1).is_none() && early.get(0).is_some() && early.reopen().is_empty());
        fs::create_dir(&disk).unwrap();
        create().unwrap();
        create().unwrap();
        assert!(early.reopen().len() == 1 && early.get(1).is_some());
        assert!(open().get(1).is_some());
        fs::rename(&disk, folder.path().join("elsewhere")).unwrap();
        fs::create_dir(&disk).unwrap();
        assert!(create().unwrap_err().to_string().contains("mounted"));
        assert!(open().all()[1].spool.as_ref().unwrap_err().contains("mounted"));
        fs::write(disk.join(MARK), "disk3\n").unwrap();
        assert!(create().unwrap_err().to_string().contains("disk3"));
    }

    #[test]
    fn names_of_messages_carry_their_volume_and_none_for_the_postoffice() {
        let folder = tempfile::tempdir().unwrap();
        Spool::create(folder.path(), &Owners::default()).unwrap();
        let volumes = Volumes::open(folder.path(), [("a", Path::new("/nowhere"))]).unwrap();
        assert_eq!((volumes.written(0, "x"), volumes.written(1, "x")), ("x".to_owned(), "a/x".to_owned()));
        assert_eq!(
            (volumes.read("x"), volumes.read("a/x"), volumes.read("b/x"), volumes.read("a/../x")),
            (Some((0, "x")), Some((1, "x")), None, None)
        );
    }
}
