//! Whose word a file is (ZMailer's filepriv, stricter): found from all who could have written it, or put another in its place.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Whose word an address is (ZMailer's privilege): the one with the least right of those who can have changed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Keeper {
    /// From outside, or from a file that others can write: may not name programs or files.
    #[default]
    Nobody,
    /// A user, by uid; never 0.
    User(u32),
    /// The configuration and files that only root can write.
    Administrator,
}

impl Keeper {
    /// Whoever has this uid.
    pub const fn of_uid(uid: u32) -> Self {
        if uid == 0 { Self::Administrator } else { Self::User(uid) }
    }

    /// What both say: the administrator may do what a user may; two users have nothing in common.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Administrator, keeper) | (keeper, Self::Administrator) => keeper,
            (one, other) if one == other => one,
            _ => Self::Nobody,
        }
    }
}

/// Symbolic links followed on the way to a file; the kernel's own limit.
const MAX_LINKS: usize = 40;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The keeper of the opened file with this metadata (`fstat`, so that it is the file that was read) at an absolute path.
///
/// Its owner, where nobody but root and that user can write the file, or any folder or link on the way to it; in a sticky
/// folder others may write, for they can replace nothing there. Everything else is nobody's: a mode that lets the group
/// or others write (access lists show in the group's bits), owners that differ, a path that cannot be walked now or leads
/// to another file.
pub fn of(metadata: &Metadata, path: &Path) -> Keeper {
    let mode = metadata.mode();
    if mode & S_IFMT != S_IFREG || mode & WRITABLE_BY_OTHERS != 0 {
        return Keeper::Nobody;
    }
    match walk(path) {
        Some((keeper, found)) if (found.dev(), found.ino()) == (metadata.dev(), metadata.ino()) => keeper,
        _ => Keeper::Nobody,
    }
}

/// Everything that a path leads through, and its end.
fn walk(path: &Path) -> Option<(Keeper, Metadata)> {
    if !path.is_absolute() {
        return None;
    }
    let mut left: Vec<OsString> = names(path);
    let mut here = PathBuf::from("/");
    let mut keeper = folder(&here.symlink_metadata().ok()?);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let parent = here.clone();
        here.push(name);
        let metadata = here.symlink_metadata().ok()?;
        keeper = keeper.and(match metadata.mode() & S_IFMT {
            S_IFDIR => folder(&metadata),
            S_IFLNK => Keeper::of_uid(metadata.uid()),
            _ => file(&metadata, &parent)?,
        });
        match metadata.mode() & S_IFMT {
            S_IFLNK => {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                let target = std::fs::read_link(&here).ok()?;
                here = if target.is_absolute() { PathBuf::from("/") } else { parent };
                left.extend(names(&target));
            }
            S_IFDIR => {}
            _ => return left.is_empty().then_some((keeper, metadata)),
        }
    }
    None
}

/// The names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(name).collect()
}

fn folder(metadata: &Metadata) -> Keeper {
    let open = metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0;
    if open { Keeper::Nobody } else { Keeper::of_uid(metadata.uid()) }
}

/// In a folder that others may add to, a second name of a file may be one that somebody gave to another's file.
fn file(metadata: &Metadata, parent: &Path) -> Option<Keeper> {
    let shared = parent.symlink_metadata().ok()?.mode() & WRITABLE_BY_OTHERS != 0;
    Some(if shared && metadata.nlink() > 1 { Keeper::Nobody } else { Keeper::of_uid(metadata.uid()) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn keeper(path: &Path) -> Keeper {
        of(&File::open(path).unwrap().metadata().unwrap(), path)
    }

    /// A folder of ours, for the mode that the scratch folder gets is not ours to rely on.
    fn place() -> (tempfile::TempDir, PathBuf, Keeper) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().canonicalize().unwrap().join("inner");
        fs::create_dir(&inner).unwrap();
        set(folder.path(), 0o755);
        set(&inner, 0o755);
        fs::write(inner.join("list"), "a@b\n").unwrap();
        set(&inner.join("list"), 0o644);
        (folder, inner, Keeper::of_uid(nix::unistd::geteuid().as_raw()))
    }

    #[test]
    fn the_owner_is_the_keeper_unless_others_can_write_the_file_or_a_folder_above() {
        let (folder, inner, owner) = place();
        let list = inner.join("list");
        assert_eq!(keeper(&list), owner);
        for mode in [0o664, 0o646] {
            set(&list, mode);
            assert_eq!(keeper(&list), Keeper::Nobody, "{mode:o}");
        }
        set(&list, 0o600);
        for (path, mode, wanted) in [
            (inner.as_path(), 0o775, Keeper::Nobody),
            (&inner, 0o1777, owner),
            (&inner, 0o700, owner),
            (folder.path(), 0o757, Keeper::Nobody),
            (folder.path(), 0o755, owner),
        ] {
            set(path, mode);
            assert_eq!(keeper(&list), wanted, "{} {mode:o}", path.display());
        }
    }

    #[test]
    fn links_are_walked_and_second_names_in_shared_folders_are_nobodys() {
        let (folder, inner, owner) = place();
        let shared = folder.path().join("shared");
        fs::create_dir(&shared).unwrap();
        symlink("../inner/list", shared.join("link")).unwrap();
        assert_eq!(keeper(&shared.join("link")), owner);
        set(&shared, 0o777);
        assert_eq!(keeper(&shared.join("link")), Keeper::Nobody);
        set(&shared, 0o1777);
        assert_eq!(keeper(&shared.join("link")), owner);
        fs::hard_link(inner.join("list"), shared.join("second")).unwrap();
        assert_eq!(keeper(&shared.join("second")), Keeper::Nobody);
        assert_eq!(keeper(&inner.join("list")), owner);
    }

    #[test]
    fn what_is_no_file_or_another_file_now_is_nobodys() {
        let (folder, inner, _) = place();
        let opened = File::open(inner.join("list")).unwrap().metadata().unwrap();
        fs::write(inner.join("new"), "").unwrap();
        fs::rename(inner.join("new"), inner.join("list")).unwrap();
        assert_eq!(of(&opened, &inner.join("list")), Keeper::Nobody);
        assert_eq!(of(&opened, Path::new("list")), Keeper::Nobody);
        assert_eq!(of(&fs::metadata(folder.path()).unwrap(), folder.path()), Keeper::Nobody);
        symlink("loop", inner.join("loop")).unwrap();
        assert_eq!(of(&opened, &inner.join("loop")), Keeper::Nobody);
    }

    #[test]
    fn the_least_right_of_all_counts() {
        use Keeper::{Administrator, Nobody, User};
        for (one, other, both) in [
            (Administrator, Administrator, Administrator),
            (Administrator, User(5), User(5)),
            (User(5), User(5), User(5)),
            (User(5), User(6), Nobody),
            (Nobody, Administrator, Nobody),
        ] {
            assert_eq!((one.and(other), other.and(one)), (both, both));
        }
    }
}
