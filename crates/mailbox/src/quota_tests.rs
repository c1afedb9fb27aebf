#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use std::fs;
use std::path::Path;

fn folder(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}
fn manner(quota: u64, quota_fails: bool) -> Manner {
    Manner { quota, quota_fails, lock_wait: 10_000, ..crate::tests::manner() }
}
fn content(path: &Path) -> String {
    fs::read_to_string(path.join(NAME)).unwrap()
}

#[test]
fn definitions() {
    assert_eq!(Limits::parse("100S,5C"), Some(Limits { bytes: 100, count: 5 }));
    assert_eq!(Limits::parse("5C"), Some(Limits { bytes: 0, count: 5 }));
    for line in ["", "S", "100", "-1S", "1S,x", "1X", "\u{fc}"] {
        assert_eq!(Limits::parse(line), None, "{line}");
    }
    assert_eq!(named_size(b"1.M1P1.h,S=120:2,S"), Some(120));
    assert_eq!(named_size(b"1.M1P1.h,S=120,W=130:2,"), Some(120));
    assert_eq!(named_size(b"1.M1P1.h,S=x"), None);
}

#[test]
fn room_is_counted_and_given_back() {
    let scratch = tempfile::tempdir().unwrap();
    let root = folder(scratch.path());
    assert!(reserve(&root, 50, &manner(0, false)).unwrap().0.is_none());
    assert!(!scratch.path().join(NAME).exists());
    drop(reserve(&root, 60, &manner(100, false)).unwrap());
    assert_eq!(content(scratch.path()), "100S\n0 0\n60 1\n");
    reserve(&root, 40, &manner(100, false)).unwrap().give_back();
    assert_eq!(content(scratch.path()), "100S\n0 0\n60 1\n40 1\n-40 -1\n");
    // Its file does not exist: the sum of a process that died is not believed when it says full.
    drop(reserve(&root, 90, &manner(100, false)).unwrap());
    assert_eq!(content(scratch.path()), "100S\n0 0\n90 1\n");
}

#[test]
fn files_of_all_folders_count_but_for_the_trash() {
    let scratch = tempfile::tempdir().unwrap();
    for (place, name, size) in [
        ("new", "a", 10),
        ("cur", "b,S=30:2,S", 1),
        (".x/new", "c", 20),
        (".Trash/new", "d", 500),
        ("tmp", "e", 500),
        ("new", ".hidden", 9),
    ] {
        fs::create_dir_all(scratch.path().join(place)).unwrap();
        fs::write(scratch.path().join(place).join(name), vec![b'x'; size]).unwrap();
    }
    std::os::unix::fs::symlink(".Trash", scratch.path().join(".link")).unwrap();
    let root = folder(scratch.path());
    assert_eq!(count(&root).unwrap(), Sum { bytes: 60, count: 3 });
    for (fails, status) in [(false, "4.2.2"), (true, "5.2.2")] {
        let verdict = reserve(&root, 41, &manner(100, fails)).unwrap_err();
        assert_eq!(verdict.status.to_string(), status);
    }
    drop(reserve(&root, 40, &manner(100, true)).unwrap());
}

#[test]
fn the_users_own_definition_goes_before_and_hostile_files_only_defer() {
    let scratch = tempfile::tempdir().unwrap();
    let root = folder(scratch.path());
    let path = scratch.path().join(NAME);
    fs::write(&path, "1000S,1C\n0 0\n").unwrap();
    drop(reserve(&root, 900, &manner(100, false)).unwrap());
    fs::create_dir(scratch.path().join("new")).unwrap();
    fs::write(scratch.path().join("new/x"), "x").unwrap();
    assert!(reserve(&root, 1, &manner(0, false)).is_err(), "one message is the limit");
    // Lines that add up to anything, and a file beyond its length.
    fs::write(&path, format!("1000S\n{}", "9223372036854775807 1\n-5 x y\n\u{0}\n".repeat(300))).unwrap();
    drop(reserve(&root, 5, &manner(0, false)).unwrap());
    assert_eq!(content(scratch.path()), "1000S\n1 1\n5 1\n");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(reserve(&root, 5, &manner(100, false)).unwrap_err().status.to_string().starts_with("4."));
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert!(reserve(&root, 5, &manner(100, false)).unwrap_err().status.to_string().starts_with("4."));
}

#[test]
fn many_at_once_take_exactly_the_room_there_is() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("new")).unwrap();
    let one = |n: usize| {
        let root = folder(scratch.path());
        let taken = reserve(&root, 10, &manner(100, false)).is_ok_and(|held| {
            fs::write(scratch.path().join(format!("new/{n}")), [b'x'; 10]).unwrap();
            drop(held);
            true
        });
        usize::from(taken)
    };
    let taken: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..30).map(|n| scope.spawn(move || one(n))).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(taken, 10);
}
