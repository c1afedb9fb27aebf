//! The hidden `--deliver` of ta-mailbox: what a root agent executes for each system user.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use nix::unistd::{Gid, Uid, geteuid};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOBODY: u32 = 65534;

/// The program, where the other user may execute it: the folder it was built in need not be open to anybody.
fn program(folder: &Path) -> PathBuf {
    let copy = folder.join("ta-mailbox");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_ta-mailbox"), &copy).unwrap();
    }
    copy
}

fn deliver(folder: &Path, kind: &str, path: &Path, identity: Option<sys::Identity>) -> String {
    let mut message = tempfile::tempfile().unwrap();
    message.write_all(b"env-end\nSubject: x\n\nhello\n").unwrap();
    let mut command = Command::new(program(folder));
    command.arg("--deliver").arg(kind).arg(path).args(["joe@x.example", "s@a.example", "mta.example", "8", "18"]);
    command.stdin(Stdio::from(message)).stdout(Stdio::piped()).current_dir(folder);
    let mut child = sys::spawn(command, identity, true).unwrap();
    let mut line = String::new();
    child.stdout.take().unwrap().read_to_string(&mut line).unwrap();
    child.wait().unwrap();
    line
}

#[test]
fn the_copy_belongs_to_the_user_and_root_gets_none() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    let identity = geteuid().is_root().then(|| {
        // The way to the home must be open to the user.
        File::open(folder.path()).unwrap().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        sys::Identity { uid: Uid::from_raw(NOBODY), gid: Gid::from_raw(NOBODY), groups: vec![Gid::from_raw(NOBODY)] }
    });
    let owner = identity.as_ref().map_or(geteuid().as_raw(), |i| i.uid.as_raw());
    assert_eq!(deliver(folder.path(), "maildir", &home.join("Maildir"), identity.clone()), "delivered 2.0.0 delivered to maildir\n");
    assert_eq!(deliver(folder.path(), "mbox", &home.join("mbox"), identity.clone()), "delivered 2.0.0 delivered to mbox\n");
    assert_eq!(fs::metadata(home.join("mbox")).unwrap().uid(), owner);
    assert!(fs::read_to_string(home.join("mbox")).unwrap().ends_with("\nSubject: x\n\nhello\n\n"));
    if identity.is_some() {
        // Where the user may not write, root's rights do not help.
        assert!(deliver(folder.path(), "mbox", &folder.path().join("mbox"), identity).starts_with("deferred 4.3.5 "));
        assert_eq!(deliver(folder.path(), "mbox", &home.join("root"), None), "failed 5.7.1 nothing is delivered as root\n");
        assert!(!home.join("root").exists());
    }
}

#[test]
fn wrong_arguments_are_no_delivery() {
    let folder = tempfile::tempdir().unwrap();
    assert!(deliver(folder.path(), "program", &folder.path().join("x"), None).starts_with("deferred 4.3.5 "));
}
