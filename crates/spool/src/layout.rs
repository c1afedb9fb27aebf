//! Folders of the postoffice, their modes, and the hash folders 00..3f.

use crate::folder::{Folder, HASH_FOLDERS};
use envelope::MessageId;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat, mkdirat, umask};
use nix::unistd::{AccessFlags, Gid, Uid, faccessat, fchownat};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// An open postoffice: folder descriptors, so that every later call is relative to them (openat, renameat).
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    root: OwnedFd,
    /// In the order of [`Folder::ALL`]; opened on first use, so that a process needs no right to folders it never uses.
    folders: [OnceLock<OwnedFd>; 6],
    /// The group of the spool where it is not that of `public/`.
    own_group: OnceLock<Option<u32>>,
    /// Names that a scan of `router/` left out.
    pub(crate) unsafe_names: AtomicU64,
}
/// Who owns the folders when made by root; `None` fields leave what is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Owners {
    /// Owner of the folders (numeric).
    pub uid: Option<u32>,
    /// Group of the files in the spool.
    pub gid: Option<u32>,
    /// Group that may submit: public/ and router/ become 03730 with it.
    pub submit_gid: Option<u32>,
}
/// What `Spool::create` made or mended.
#[derive(Debug, Default)]
pub struct Layout {
    pub made: Vec<String>,
}

/// New files of the spool are for their user and the group only. Group rights must survive, or a scheduler that runs as
/// another user than the router could not mark its control files; hence a mask of our own instead of the inherited one.
const MASK: Mode = Mode::from_bits_truncate(0o007);
/// O_PATH needs only the right to pass, not to list: submitters have no more on `public/`.
const FOLDER_FLAGS: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

impl Spool {
    /// Makes what is missing (public router queue/00..3f transport/00..3f deferred freezer) and sets modes.
    ///
    /// One user for everything: all folders 0700. A group of the spool (`gid`): 02770, set-group-id so that files of
    /// all the suite's users belong to it. With `submit_gid`, `public/` and `router/` are 03730 of that group: its
    /// members can drop files but not list, and (sticky) not touch each other's. Only the owner of the two folders may then
    /// move others' files on, so router and routermux run as `uid` (the configuration's check sees to it); the suite's
    /// own users have to be in that group. Of one user only, the postoffice can be passed (0711) but not listed, for
    /// the sockets of a run folder below it.
    pub fn create(root: &Path, owners: &Owners) -> io::Result<Layout> {
        umask(MASK);
        let mut layout = Layout::default();
        if !root.is_dir() {
            std::fs::create_dir_all(root)?;
            layout.made.push(root.display().to_string());
            let open_root = if owners.uid.is_some() || owners.gid.is_some() { 0o755 } else { 0o711 };
            std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(open_root))?;
        }
        let base = open(root, FOLDER_FLAGS, Mode::empty())?;
        let inner = if owners.gid.is_some() { 0o2770 } else { 0o700 };
        for folder in Folder::ALL {
            let (mode, gid) = match (folder, owners.submit_gid) {
                (Folder::Public | Folder::Router, Some(gid)) => (0o3730, Some(gid)),
                _ => (inner, owners.gid),
            };
            made_usable(base.as_fd(), folder.name(), mode, (owners.uid, gid), &mut layout)?;
            if matches!(folder, Folder::Queue | Folder::Transport) {
                for hash in 0..HASH_FOLDERS {
                    let name = format!("{}/{hash:02x}", folder.name());
                    made_usable(base.as_fd(), &name, inner, (owners.uid, owners.gid), &mut layout)?;
                }
            }
        }
        Ok(layout)
    }

    /// Opens what exists. Does not need rights to folders that the caller never uses (they are opened on first use).
    /// Sets the process's file mode mask to 007: see [`Spool::create`].
    pub fn open(root: &Path) -> io::Result<Self> {
        umask(MASK);
        Ok(Self {
            path: root.to_owned(),
            root: open(root, FOLDER_FLAGS, Mode::empty())?,
            folders: [const { OnceLock::new() }; 6],
            own_group: OnceLock::new(),
            unsafe_names: AtomicU64::new(0),
        })
    }

    /// Free bytes and free inodes of the filesystem, as an ordinary user may use them.
    pub fn free(&self) -> io::Result<(u64, u64)> {
        let status = nix::sys::statvfs::fstatvfs(&self.root)?;
        // Filesystems without a fixed number of inodes (btrfs) say 0 of 0.
        let inodes = if status.files() == 0 { u64::MAX } else { status.files_available() };
        Ok((status.blocks_available().saturating_mul(status.fragment_size()), inodes))
    }

    /// `public/`, `router/` and `freezer/`: what a process touches that accepts messages and does nothing else. It may give up
    /// all other folders after this call.
    pub fn acceptance_folders(&self) -> io::Result<[PathBuf; 3]> {
        self.own_group();
        let folders = [Folder::Public, Folder::Router, Folder::Freezer];
        for folder in folders {
            self.folder(folder)?;
        }
        Ok(folders.map(|folder| self.path.join(folder.name())))
    }

    /// `public/<id>` as a path for a content filter program.
    pub fn public_path(&self, id: MessageId) -> PathBuf {
        self.path.join(Folder::Public.name()).join(id.as_str())
    }

    /// The group that files made in `public/` should have, where they would get another.
    pub(crate) fn own_group(&self) -> Option<u32> {
        let group = |folder: Folder| fstatat(&self.root, folder.name(), AtFlags::AT_SYMLINK_NOFOLLOW).ok().map(|s| s.st_gid);
        // A file that root makes would have root's group, and the routers could not read it.
        let other = |own: &u32| nix::unistd::geteuid().is_root() || group(Folder::Public).is_some_and(|handed| handed != *own);
        *self.own_group.get_or_init(|| group(Folder::Queue).filter(other))
    }

    pub(crate) fn folder(&self, folder: Folder) -> io::Result<BorrowedFd<'_>> {
        let slot = self.folders.get(folder as usize).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(open) = slot.get() {
            return Ok(open.as_fd());
        }
        let fresh = openat(&self.root, folder.name(), FOLDER_FLAGS | OFlag::O_NOFOLLOW, Mode::empty())?;
        // Another thread may have been first; its descriptor is as good, ours closes.
        Ok(slot.get_or_init(|| fresh).as_fd())
    }
}

/// A folder that is there; the error names it. Where the caller is the suite's only user it must be able to use it too:
/// a stranger's folder found now is better than mail that stays in it unseen.
fn made_usable(base: BorrowedFd<'_>, name: &str, mode: u32, owner: (Option<u32>, Option<u32>), layout: &mut Layout) -> io::Result<()> {
    let needed = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    mend(base, name, mode, owner.0, owner.1, layout)
        .and_then(|()| if owner.0.is_none() { Ok(faccessat(base, name, needed, AtFlags::AT_EACCESS)?) } else { Ok(()) })
        .map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))
}

fn mend(base: BorrowedFd<'_>, name: &str, mode: u32, uid: Option<u32>, gid: Option<u32>, layout: &mut Layout) -> io::Result<()> {
    let made = match mkdirat(base, name, Mode::S_IRWXU) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(e) => return Err(e.into()),
    };
    let status = fstatat(base, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if status.st_mode & nix::libc::S_IFMT != nix::libc::S_IFDIR {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{name} in the postoffice is not a folder")));
    }
    let wrong_owner = uid.is_some_and(|uid| uid != status.st_uid) || gid.is_some_and(|gid| gid != status.st_gid);
    if wrong_owner {
        fchownat(base, name, uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    }
    // After the owner: chown clears set-group-id.
    let wrong_mode = status.st_mode & 0o7777 != mode;
    if wrong_mode || wrong_owner {
        fchmodat(base, name, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?;
    }
    if made || wrong_mode || wrong_owner {
        layout.made.push(name.to_owned());
    }
    Ok(())
}
