use super::*;
use crate::{InputFault, LoadError, fault};

#[test]
fn scan_gives_safe_names_oldest_first_and_both_kinds_in_turn() {
    let mut office = office();
    let ids: Vec<String> = (0..5).map(|_| office.accepted().to_string()).collect();
    let router = office.path.join("router");
    for name in ["aaa", "bbb", ".hidden", "with blank", "semi;colon"] {
        std::fs::write(router.join(name), "x").unwrap();
    }
    let all = office.spool.scan_input(100).unwrap();
    assert_eq!(all, [&ids[0], "aaa", &ids[1], "bbb", &ids[2], &ids[3], &ids[4]]);
    assert_eq!(office.spool.unsafe_names(), 3);
    assert_eq!(office.spool.scan_input(3).unwrap(), all[..3]);
    assert!(office.spool.scan_input(0).unwrap().is_empty());
}

#[test]
fn only_plain_files_with_one_link_are_opened() {
    let mut office = office();
    let id = office.accepted();
    let router = office.path.join("router");
    let input = office.spool.open_input(id.as_str()).unwrap();
    assert_eq!(input.size, std::fs::metadata(router.join(id.as_str())).unwrap().len());
    assert_eq!(input.owner, nix::unistd::getuid().as_raw());
    assert!(input.modified > 1_600_000_000_000);
    std::os::unix::fs::symlink("/etc/passwd", router.join("link")).unwrap();
    nix::unistd::mkfifo(&router.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(router.join("folder")).unwrap();
    std::fs::write(router.join("empty"), "").unwrap();
    std::fs::hard_link(router.join(id.as_str()), router.join("second")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(router.join("socket")).unwrap();
    for name in ["link", "fifo", "folder", "empty", "second", "socket", "../router/empty", ".", ""] {
        let fault = office.spool.open_input(name);
        assert!(matches!(fault, Err(InputFault::Unacceptable(_))), "{name} {fault:?}");
    }
    assert!(matches!(office.spool.open_input("none"), Err(InputFault::Gone)));
}

#[test]
fn enqueue_moves_and_load_reads_back() {
    let mut office = office();
    let id = office.queued(2);
    assert_eq!(office.files(), [format!("queue/{:02x}/{id}", id.hash()), format!("transport/{:02x}/{id}", id.hash())]);
    let loaded = office.spool.load(id).unwrap();
    assert_eq!(loaded.parsed.control.recipients.len(), 2);
    assert_eq!(office.scan(), [id]);
}

#[test]
fn a_dropped_name_gets_an_id_and_a_taken_id_is_refused() {
    let mut office = office();
    let id = office.queued(1);
    std::fs::write(office.path.join("router/dropped"), "from <>\n").unwrap();
    let error = office.spool.enqueue("dropped", id, &office.control_bytes(id, 1)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(office.spool.load(id).is_ok());
    let other = office.submitter.next_id();
    office.spool.enqueue("dropped", other, &office.control_bytes(other, 1)).unwrap();
    assert!(office.spool.load(other).is_ok());
    assert_eq!(office.files().len(), 4);
}

#[test]
fn set_aside_finds_a_free_name() {
    let office = office();
    for _ in 0..3 {
        std::fs::write(office.path.join("router/x"), "text").unwrap();
        office.spool.set_aside("x", "bad envelope").unwrap();
    }
    assert_eq!(office.spool.read_names(Place::Deferred).unwrap(), ["x", "x.1", "x.2"]);
    assert_eq!(office.spool.read_reason(Place::Deferred, "x.2").unwrap(), "bad envelope");
}

/// Afterwards the message is in `router/` or in `queue/` with a valid control file; and routing it again works.
#[test]
fn crash_at_every_step_of_routing() {
    for k in 0.. {
        let mut office = office();
        let id = office.accepted();
        let control = office.control_bytes(id, 1);
        fault::at(k, None);
        let routed = office.spool.enqueue(id.as_str(), id, &control);
        let came = fault::reset();
        assert_eq!(routed.is_err(), came);
        if !came {
            assert!(k > 3);
            break;
        }
        for found in office.scan() {
            // A router that died less than half a minute ago may be alive: nothing happens yet.
            assert!(matches!(office.spool.load(found), Err(LoadError::Gone)), "step {k}");
            std::fs::remove_file(office.path.join("transport").join(format!("{:02x}/.{id}", id.hash()))).unwrap();
            assert!(matches!(office.spool.load(found), Err(LoadError::Returned(_))), "step {k}");
        }
        assert_eq!(office.spool.find(id).unwrap(), Some(Place::Router), "step {k}");
        office.spool.enqueue(id.as_str(), id, &control).unwrap();
        assert!(office.spool.load(id).is_ok(), "step {k}");
        assert_eq!(office.files().len(), 2, "step {k}");
    }
}

#[test]
fn a_full_disk_at_every_step_of_routing_leaves_the_message_in_router() {
    for k in 0.. {
        let mut office = office();
        let id = office.accepted();
        fault::at(k, Some(nix::errno::Errno::ENOSPC));
        let routed = office.spool.enqueue(id.as_str(), id, &office.control_bytes(id, 1));
        if !fault::reset() {
            assert!(routed.is_ok());
            break;
        }
        assert!(routed.is_err());
        let place = office.spool.find(id).unwrap();
        assert!(office.files() == [format!("router/{id}")], "step {k}: {place:?} {:?}", office.files());
    }
}
