//! Is a program one that nobody but its owner and root can have changed?

use std::fmt;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Why a program must not be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsafe(pub String);

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that a program is an absolute path to an executable file of root's or of the user `owner`, that nobody else may
/// write, in folders of which the same holds (a sticky folder may be everybody's).
pub fn check_program(program: &Path, owner: Option<u32>) -> Result<(), Unsafe> {
    let fault = |text: String| Err(Unsafe(format!("program {}: {text}", program.display())));
    if !program.is_absolute() {
        return fault("not an absolute path".to_owned());
    }
    let real = fs::canonicalize(program).or_else(|e| fault(e.to_string()).map(|()| program.to_owned()))?;
    let metadata = fs::metadata(&real).map_err(|e| Unsafe(format!("program {}: {e}", program.display())))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return fault("not an executable file".to_owned());
    }
    for part in real.ancestors() {
        let Ok(metadata) = fs::metadata(part) else { return fault(format!("{} cannot be looked at", part.display())) };
        let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
        let sticky = metadata.is_dir() && mode & 0o1000 != 0;
        if uid != 0 && Some(uid) != owner {
            return fault(format!("{} belongs to user {uid}", part.display()));
        }
        // Group root is root's own; /usr/local is often writable by group staff, whom an administrator trusts knowingly.
        if mode & 0o002 != 0 && !sticky || mode & 0o020 != 0 && gid != 0 && !sticky && !is_trusted_group(gid, uid) {
            return fault(format!("{} can be changed by others (mode {:o})", part.display(), mode & 0o7777));
        }
    }
    Ok(())
}

/// Debian's `staff`: root's folders below /usr/local are open to it.
const STAFF: u32 = 50;

fn is_trusted_group(gid: u32, uid: u32) -> bool {
    uid == 0 && gid == STAFF
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_change_is_refused() {
        let me = nix::unistd::geteuid().as_raw();
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&program, 0o644);
        assert!(check_program(&program, Some(me)).unwrap_err().0.contains("not an executable"));
        mode(&program, 0o755);
        assert_eq!(check_program(&program, Some(me)), Ok(()));
        mode(&program, 0o757);
        assert!(check_program(&program, Some(me)).unwrap_err().0.contains("can be changed by others"));
        mode(&program, 0o755);
        mode(folder.path(), 0o777);
        assert!(check_program(&program, Some(me)).is_err());
        mode(folder.path(), 0o1777);
        assert_eq!(check_program(&program, Some(me)), Ok(()));
        mode(folder.path(), 0o755);
        if me == 0 {
            std::os::unix::fs::chown(&program, Some(65534), None).unwrap();
            assert!(check_program(&program, None).unwrap_err().0.contains("belongs to user 65534"));
            assert_eq!(check_program(&program, Some(65534)), Ok(()));
        }
        assert!(check_program(Path::new("bin/true"), None).is_err());
        assert!(check_program(&folder.path().join("none"), None).is_err());
        assert_eq!(check_program(Path::new("/bin/sh"), None), Ok(()));
    }
}
