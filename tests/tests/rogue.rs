//! attacks.md 56: a peer within the suite that has been taken over, or a local user at its sockets. Malformed, oversized and
//! strange frames, with descriptors that nobody asked for, end the conversation they come in and nothing else.

use end_to_end::{LONG, Suite, programs, wait_until};
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket, socketpair};
use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Sends one datagram with so many copies of a descriptor. That the other side takes it is not expected.
fn send(end: &impl AsRawFd, bytes: &[u8], descriptor: RawFd, copies: usize) {
    let copies = vec![descriptor; copies];
    let rights = [ControlMessage::ScmRights(&copies)];
    let control: &[ControlMessage<'_>] = if copies.is_empty() { &[] } else { &rights };
    let _ = sendmsg::<()>(end.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL, None);
}

/// Frames of every protocol byte that do not decode, and some of other kinds.
fn frames() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> =
        (0..=255_u8).flat_map(|byte| [vec![byte], vec![byte, 250, 255, 255, 255], [vec![byte], vec![255; 300]].concat()]).collect();
    frames.push(vec![0x20; 200 * 1024]);
    frames.push(vec![0; 128 * 1024]);
    frames.push(b"{\"type\":".repeat(1000));
    frames.push(b"{}".to_vec());
    frames
}

/// A conversation of one's own through a contact point.
fn call(contact: &OwnedFd) -> OwnedFd {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK).unwrap();
    // The contact point may be full for a moment.
    let fds = [theirs.as_raw_fd()];
    while sendmsg::<()>(contact.as_raw_fd(), &[IoSlice::new(b"z")], &[ControlMessage::ScmRights(&fds)], MsgFlags::MSG_NOSIGNAL, None)
        == Err(nix::errno::Errno::EAGAIN)
    {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    ours
}

/// How many descriptors go along with a frame.
fn copies(number: usize) -> usize {
    match number % 40 {
        0 => 1,
        1 => 16,
        2 => 250,
        _ => 0,
    }
}

/// Gives the other side time to close what it was sent: the kernel counts descriptors that nobody has received yet by user,
/// and the suites of tests beside us have the same.
fn settle(end: &OwnedFd, number: usize) {
    if copies(number) > 0 || number.is_multiple_of(8) {
        ended_within(end, 100);
    }
}

/// The other side has ended the conversation.
fn has_ended(end: &OwnedFd) -> bool {
    ended_within(end, 0)
}

fn ended_within(end: &OwnedFd, milliseconds: u8) -> bool {
    let mut flags = [nix::poll::PollFd::new(end.as_fd(), nix::poll::PollFlags::POLLHUP)];
    let _ = nix::poll::poll(&mut flags, milliseconds);
    flags[0].revents().is_some_and(|now| now.contains(nix::poll::PollFlags::POLLHUP))
}

const CONTACTS: &[&str] =
    &["resolver", "ratetracker", "keyholder", "contentfilter", "delegate", "authserver", "callahead", "routermux", "scheduler"];

/// Not a test: the program that the suite below runs as its smtpserver. It has all that a worker has, and misuses it.
#[test]
#[ignore = "a program of the test below"]
fn rogue_worker() {
    let mut started = daemon::start("smtpserver").unwrap();
    started.master.send(&ipc::master::ToMaster::Ready).unwrap();
    let file = File::open("/dev/null").unwrap();
    let mut report = String::new();
    for name in CONTACTS {
        let Some(contact) = started.contacts.take(&format!("contact:{name}")) else { continue };
        // At the contact point itself: no descriptor, too many, one that is no socket, a long greeting.
        for copies in [0, 2, 16, 100] {
            send(&contact, b"z", file.as_raw_fd(), copies);
        }
        send(&contact, b"z", file.as_raw_fd(), 1);
        send(&contact, &[b'z'; 100_000], contact.as_raw_fd(), 1);
        let (mut kept, mut ended) = (Vec::new(), 0);
        for (number, frame) in frames().iter().enumerate() {
            let conversation = call(&contact);
            send(&conversation, frame, file.as_raw_fd(), copies(number));
            settle(&conversation, number);
            kept.push(conversation);
        }
        wait_until("conversations end", LONG, || {
            ended = kept.iter().filter(|conversation| has_ended(conversation)).count();
            // Frames whose one byte means something are answered or ignored.
            ended + 8 >= kept.len()
        });
        report.push_str(&format!("{name} {ended} of {}\n", kept.len()));
    }
    fs::write("rogue.part", report).unwrap();
    fs::rename("rogue.part", "rogue.done").unwrap();
    // At last the master itself, over our own conversation with it: it ends us, and no one else.
    let end = started.master.into_end();
    for frame in frames().iter().rev().take(50) {
        send(&end, frame, file.as_raw_fd(), 3);
    }
    std::thread::sleep(LONG);
}

/// All programs, with the rogue in place of the worker.
fn libexec(suite: &Suite) -> String {
    let folder = suite.path("libexec");
    fs::create_dir(&folder).unwrap();
    for name in end_to_end::files(&programs()) {
        if name != "smtpserver" && programs().join(&name).is_file() {
            symlink(programs().join(&name), folder.join(&name)).unwrap();
        }
    }
    fs::copy(std::env::current_exe().unwrap(), suite.path("rogue")).unwrap();
    let script = format!("#!/bin/sh\nexec {} --exact rogue_worker --ignored --nocapture\n", suite.path("rogue").display());
    fs::write(folder.join("smtpserver"), script).unwrap();
    for path in [folder.join("smtpserver"), suite.path("rogue")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.display().to_string()
}

/// Names and process numbers of all but the worker; how many descriptors they have open.
fn others(suite: &Suite) -> (Vec<(String, u32)>, usize) {
    let pids: Vec<(String, u32)> = suite.pids().into_iter().filter(|(name, _)| name != "smtpserver").collect();
    let open = pids.iter().map(|(_, pid)| end_to_end::files(Path::new(&format!("/proc/{pid}/fd"))).len()).sum();
    (pids, open)
}

fn drop_message(suite: &Suite, user: &str) {
    let text = format!("from <a@local.example>\nto <{user}@local.example>\nenv-end\nSubject: x\n\nbody\n");
    let file = suite.postoffice("public").join(user);
    fs::write(&file, text).unwrap();
    fs::rename(&file, suite.postoffice("router").join(user)).unwrap();
    suite.give_away();
    wait_until("the message is delivered", LONG, || end_to_end::files(&suite.path(&format!("mail/{user}/new"))).len() == 1);
}

#[test]
fn a_worker_that_was_taken_over_takes_nobody_along() {
    let builder = Suite::builder()
        .with_maildirs()
        .with("[[policy_service]]\nname = \"p\"\nserver = \"127.0.0.1:9\"\n")
        .with("[call_ahead]\ndomains = [\"x.example\"]\n");
    let mut suite = builder.prepare();
    let text = fs::read_to_string(suite.config()).unwrap();
    fs::write(suite.config(), text.replace("[paths]\n", &format!("[paths]\nlibexec = \"{}\"\n", libexec(&suite)))).unwrap();
    suite.give_away();
    suite.start();
    wait_until("the rogue has said all", LONG, || suite.postoffice("rogue.done").exists());
    let report = fs::read_to_string(suite.postoffice("rogue.done")).unwrap();
    assert!(report.lines().count() >= 4, "{report}");
    eprintln!("{report}");
    // Whoever died has been started again, and has said so.
    let status = suite.json(&["status"]);
    for process in status["processes"].as_array().unwrap().iter().filter(|process| process["service"] != "smtpserver") {
        assert_eq!(process["restarts"].as_u64(), Some(0), "{process}");
    }
    drop_message(&suite, "u1");
    assert!(suite.zpost(&["route", "x@local.example"]).status.success());
}

/// Anybody on the machine may connect there.
fn at_socket(path: &Path, kind: SockType) -> Option<OwnedFd> {
    let end = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None).unwrap();
    connect(end.as_raw_fd(), &UnixAddr::new(path).unwrap()).ok().map(|()| end)
}

#[test]
fn noise_at_the_sockets_in_the_run_folder_harms_nobody() {
    let suite = Suite::builder().with_maildirs().start();
    drop_message(&suite, "u1");
    let (pids, open) = others(&suite);
    let file = File::open("/dev/null").unwrap();
    for name in ["control", "agents"] {
        for (number, frame) in frames().iter().enumerate() {
            if let Some(end) = at_socket(&suite.path("run").join(name), SockType::SeqPacket) {
                send(&end, frame, file.as_raw_fd(), copies(number));
                settle(&end, number);
            }
        }
    }
    // Hints are one line of text; nothing else follows from them but a look.
    for name in ["router", "scheduler"] {
        for bytes in
            [&b"NEW ../../../etc/passwd"[..], b"NEW a/b/c", b"NEW \0", b"NEW", b"OLD x", &[b'N'; 60_000], b"NEW x\nNEW y", b"", b"\xff\xfe"]
        {
            if let Some(end) = at_socket(&suite.path("run/notify").join(name), SockType::Datagram) {
                send(&end, bytes, file.as_raw_fd(), 0);
                send(&end, bytes, file.as_raw_fd(), 16);
            }
        }
    }
    drop_message(&suite, "u2");
    let mut now = others(&suite);
    wait_until("what was sent along is closed again", LONG, || {
        now = others(&suite);
        now.1 <= open + 4
    });
    assert_eq!(now.0, pids, "nobody has died of it");
}
