//! A user's `.forward`, read only where nobody else can have written it (ZMailer's privilege model: a file speaks for its
//! owner when neither it nor its folder can be changed by others).

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Largest `.forward` in bytes.
const MAX_SIZE: u64 = 64 * 1024;
/// Homes that say "none" (Debian's and BSD's accounts of services).
const NO_HOMES: [&str; 4] = ["", "/", "/nonexistent", "/dev/null"];

/// What is there.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Text(Vec<u8>),
    /// Not to be used, and why.
    Unsafe(String),
}

/// Whether a home is one that can be missing by mistake.
pub fn is_home(home: &str) -> bool {
    !NO_HOMES.contains(&home)
}

/// The first of these files that exists in the home folder. `owner`: whose it must be, if not root's.
/// An error is temporary: a folder that is not mounted, a server that does not answer.
pub fn read(home: &Path, names: &[String], owner: u32) -> io::Result<Found> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = match nix::fcntl::open(home, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::EACCES) => return Ok(Found::Unsafe("the home folder cannot be entered by its user".to_owned())),
        Err(e) => return Err(e.into()),
    };
    for name in names {
        match open_below(&folder, name) {
            Ok(file) => return look(&folder, file, name, owner),
            Err(Errno::ENOENT | Errno::ENAMETOOLONG) => {}
            Err(Errno::ELOOP | Errno::EXDEV) => return Ok(Found::Unsafe(format!("{name} is a link"))),
            Err(Errno::EACCES) => return Ok(Found::Unsafe(format!("{name} cannot be read by its user"))),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Found::Nothing)
}

/// Opens a file of a folder; no link is followed, and nothing that waits (a FIFO) waits.
fn open_below(folder: &OwnedFd, name: &str) -> nix::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    match openat2(folder, name, OpenHow::new().flags(flags).resolve(resolve)) {
        // A kernel, or a sandbox, without the call. The name is one component, so O_NOFOLLOW says as much.
        Err(Errno::ENOSYS | Errno::EPERM) => openat(folder, name, flags, Mode::empty()),
        other => other,
    }
    .map(File::from)
}

fn look(folder: &OwnedFd, mut file: File, name: &str, owner: u32) -> io::Result<Found> {
    let metadata = file.metadata()?;
    let home = nix::sys::stat::fstat(folder.as_fd())?;
    let own = |uid: u32| uid == owner || uid == 0;
    let why = if !metadata.is_file() {
        format!("{name} is no regular file")
    } else if !own(metadata.uid()) {
        format!("{name} belongs to another user")
    } else if metadata.mode() & 0o022 != 0 {
        format!("{name} can be written by others (mode {:o})", metadata.mode() & 0o7777)
    } else if !own(home.st_uid) {
        "the home folder belongs to another user".to_owned()
    } else if home.st_mode & 0o022 != 0 {
        format!("the home folder can be written by others (mode {:o})", home.st_mode & 0o7777)
    } else if metadata.len() > MAX_SIZE {
        format!("{name} is larger than {MAX_SIZE} bytes")
    } else {
        let mut text = Vec::new();
        (&mut file).take(MAX_SIZE + 1).read_to_end(&mut text)?;
        let grown = text.len() as u64 > MAX_SIZE;
        return Ok(if grown { Found::Unsafe(format!("{name} grows while it is read")) } else { Found::Text(text) });
    };
    Ok(Found::Unsafe(why))
}

/// The entries of a folder, bounded.
pub fn names(folder: &OwnedFd, most: usize) -> io::Result<Vec<Vec<u8>>> {
    // A descriptor of its own: the position of reading belongs to the open folder.
    let again = openat(folder, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut listing = Dir::from_fd(again)?;
    let entries = listing.iter().take(most).filter_map(Result::ok);
    Ok(entries.map(|entry| entry.file_name().to_bytes().to_vec()).filter(|name| name != b"." && name != b"..").collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn read_one(home: &Path) -> Found {
        read(home, &[".forward+x".into(), ".forward".into()], nix::unistd::geteuid().as_raw()).unwrap()
    }
    fn why(home: &Path) -> String {
        match read_one(home) {
            Found::Unsafe(why) => why,
            other => panic!("{other:?}"),
        }
    }
    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_what_nobody_else_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        assert_eq!(read(&home, &[".forward".into()], 0).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(&home).unwrap();
        chmod(&home, 0o755);
        let (file, other) = (home.join(".forward"), folder.path().join("other"));
        assert_eq!(read_one(&home), Found::Nothing);
        fs::write(&other, "ann").unwrap();
        symlink(&other, &file).unwrap();
        assert_eq!(why(&home), ".forward is a link");
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, Mode::from_bits_truncate(0o600)).unwrap();
        assert_eq!(why(&home), ".forward is no regular file");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(why(&home), ".forward is no regular file");
        fs::remove_dir(&file).unwrap();
        fs::write(&file, "x".repeat(65_537)).unwrap();
        assert!(why(&home).contains("larger"));
        fs::write(&file, "ann\n").unwrap();
        chmod(&file, 0o644);
        assert_eq!(read_one(&home), Found::Text(b"ann\n".to_vec()));
        chmod(&file, 0o664);
        assert!(why(&home).contains("written by others (mode 664)"));
        chmod(&file, 0o600);
        chmod(&home, 0o777);
        assert!(why(&home).contains("home folder can be written by others"));
        chmod(&home, 0o700);
        fs::write(home.join(".forward+x"), "detail").unwrap();
        chmod(&home.join(".forward+x"), 0o600);
        assert_eq!(read_one(&home), Found::Text(b"detail".to_vec()));
        if nix::unistd::geteuid().is_root() {
            fs::remove_file(home.join(".forward+x")).unwrap();
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            assert!(why(&home).contains("another user"));
        }
    }
}
