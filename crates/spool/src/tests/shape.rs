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

/// As another user and group; only root can become them. True when the command succeeded.
fn as_user(uid: u32, gid: u32, folder: &std::path::Path, command: &str) -> bool {
    use std::os::unix::process::CommandExt;
    let mut shell = std::process::Command::new("/bin/sh");
    shell.arg("-c").arg(command).current_dir(folder).uid(uid).gid(gid);
    shell.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status().unwrap().success()
}

#[test]
fn submitters_can_drop_files_and_nothing_else() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can try other users' rights");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o711)).unwrap();
    let path = root.path().join("postoffice");
    let (owner, group, submit) = (61_001, 61_002, 61_003);
    Spool::create(&path, &Owners { uid: Some(owner), gid: Some(group), submit_gid: Some(submit) }).unwrap();
    let submitter = |command| as_user(61_010, submit, &path, command);
    assert!(submitter("echo hello >public/a && mv public/a router/a"));
    assert!(!submitter("ls public") && !submitter("ls router") && !submitter("ls queue"));
    assert!(!submitter("mv router/a queue/00/a"));
    assert!(!as_user(61_011, submit, &path, "rm -f router/a"), "sticky");
    assert!(!as_user(61_012, 61_012, &path, "echo >public/b"));
    // The routers' user owns router/ and may take the file; another user of the spool's group may mark and remove it.
    assert!(as_user(owner, group, &path, "mv router/a queue/00/a && echo >transport/00/a && chmod 660 transport/00/a"));
    assert!(as_user(61_020, group, &path, "echo x >>transport/00/a && rm -f queue/00/a transport/00/a && ls queue/00"));
}

#[test]
fn a_control_file_of_any_length_is_read_whole() {
    let mut office = office();
    let id = office.queued(1);
    for length in [0, 1, 4095, 4096, 4097, 16_384, 70_000] {
        let bytes = vec![b'x'; length];
        std::fs::write(office.queue_path("transport", id), &bytes).unwrap();
        assert_eq!(office.spool.read_control(id).unwrap(), bytes);
    }
}

/// Only root can give folders to groups at will.
#[test]
fn members_of_the_submit_group_cannot_read_what_the_suite_writes() {
    use std::os::unix::fs::MetadataExt;
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut office = office();
    Spool::create(&office.path, &Owners { uid: None, gid: Some(60_001), submit_gid: Some(60_002) }).unwrap();
    // Which group it is is asked once for each open postoffice.
    let id = office.submitter.next_id();
    let spool = std::sync::Arc::new(Spool::open(&office.path).unwrap());
    Submitter::new(spool).submit(id, &envelope(), CONTENT).unwrap();
    let file = std::fs::metadata(office.path.join("router").join(id.as_str())).unwrap();
    assert_eq!((file.gid(), file.mode() & 0o7777), (60_001, 0o640));
    assert_eq!(std::fs::metadata(office.path.join("router")).unwrap().gid(), 60_002);
}
