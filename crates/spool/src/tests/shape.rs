use super::*;
use std::os::unix::fs::PermissionsExt;

#[test]
fn create_makes_all_folders_mends_modes_and_is_quiet_the_second_time() {
    let office = office();
    let mode = |name: &str| std::fs::metadata(office.path.join(name)).unwrap().permissions().mode() & 0o7777;
    for name in ["public", "router", "queue", "queue/00", "queue/3f", "transport/2a", "deferred", "freezer"] {
        assert_eq!(mode(name), 0o700, "{name}");
    }
    std::fs::set_permissions(office.path.join("queue/07"), PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(Spool::create(&office.path, &Owners::default()).unwrap().made, ["queue/07"]);
    assert_eq!(mode("queue/07"), 0o700);
    assert!(Spool::create(&office.path, &Owners::default()).unwrap().made.is_empty());
}

#[test]
fn groups_get_their_rights() {
    let office = office();
    let gid = nix::unistd::getgid().as_raw();
    Spool::create(&office.path, &Owners { uid: None, gid: Some(gid), submit_gid: Some(gid) }).unwrap();
    let mode = |name: &str| std::fs::metadata(office.path.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("public"), mode("router")), (0o3730, 0o3730));
    assert_eq!((mode("queue/00"), mode("transport"), mode("freezer")), (0o2770, 0o2770, 0o2770));
}

#[test]
fn what_is_no_folder_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("router"), b"").unwrap();
    assert!(Spool::create(root.path(), &Owners::default()).is_err());
    std::fs::remove_file(root.path().join("router")).unwrap();
    std::os::unix::fs::symlink("/tmp", root.path().join("router")).unwrap();
    assert!(Spool::create(root.path(), &Owners::default()).is_err());
}

#[test]
fn the_filesystem_says_what_is_free() {
    let (bytes, inodes) = office().spool.free().unwrap();
    assert!(bytes > 0 && inodes > 0);
}

#[test]
fn a_message_is_found_wherever_it_is() {
    let mut office = office();
    let routed = office.queued(1);
    let accepted = office.accepted();
    let absent = office.submitter.next_id();
    assert_eq!(office.spool.find(routed).unwrap(), Some(Place::Queue));
    assert_eq!(office.spool.find(accepted).unwrap(), Some(Place::Router));
    assert_eq!(office.spool.find(absent).unwrap(), None);
    assert_eq!(office.spool.read_names(Place::Queue).unwrap(), [routed.as_str()]);
    office.spool.set_aside(accepted.as_str(), "two\nlines").unwrap();
    assert_eq!(office.spool.find(accepted).unwrap(), Some(Place::Deferred));
    assert_eq!(office.spool.read_names(Place::Deferred).unwrap(), [accepted.as_str()]);
    assert_eq!(office.spool.read_reason(Place::Deferred, accepted.as_str()).unwrap(), "two lines");
    office.spool.resubmit(Place::Deferred, accepted.as_str()).unwrap();
    assert_eq!(office.spool.find(accepted).unwrap(), Some(Place::Router));
    assert!(office.spool.read_message(Place::Router, "../router/x").is_err());
}
