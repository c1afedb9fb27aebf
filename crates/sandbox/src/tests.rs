#![allow(clippy::unwrap_used)]
//! Each trial runs this test program anew, enters a sandbox there, and says how far it came.
use super::*;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output};

const TRIAL: &str = "ZPOST_SANDBOX_TRIAL";
const PORT: &str = "ZPOST_SANDBOX_PORT";

fn trial(name: &str, port: u16) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::inside", "--nocapture"]).env(TRIAL, name).env(PORT, port.to_string());
    command.output().unwrap()
}

fn ended_well(output: &Output) {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn landlock_is_there() -> bool {
    let there = std::fs::read_to_string("/sys/kernel/security/lsm").map_or(true, |list| list.contains("landlock"));
    if !there {
        eprintln!("SKIPPED: this kernel has no Landlock; only the system-call filter is tried");
    }
    there
}

/// The inside: does nothing unless it is a trial.
#[test]
fn inside() {
    let Ok(name) = std::env::var(TRIAL) else { return };
    let port: u16 = std::env::var(PORT).unwrap().parse().unwrap();
    let mut open = tempfile::tempfile().unwrap();
    let folder = tempfile::tempdir().unwrap();
    match name.as_str() {
        "files" => files::give_up(&Needs::client()).unwrap(),
        "calls" => calls::filter(&Needs::client()).unwrap(),
        "keeper" => return keeper(port),
        "server" => return server(port),
        "reader" => return reader(port),
        _ => {
            let (walls, lacking) = enter(Sandbox::Try, &Needs::client()).unwrap();
            assert!(walls.calls, "{lacking:?}");
        }
    }
    if name == "exec" {
        let error = nix::unistd::execv(c"/bin/true", &[c"true"]).unwrap_err();
        panic!("exec came back: {error}");
    }
    // No file by name, neither read nor made nor made a folder nor removed.
    assert!(File::open("/etc/passwd").is_err());
    assert!(File::create(folder.path().join("new")).is_err());
    assert!(std::fs::create_dir(folder.path().join("new")).is_err());
    assert!(std::fs::remove_dir(folder.path()).is_err());
    assert!(std::fs::read_dir("/").is_err());
    // What was open before still is.
    open.write_all(b"x").unwrap();
    // Connections go out, none comes in.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut word = [0; 5];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"hello");
    if name != "files" {
        assert!(TcpListener::bind("127.0.0.1:0").is_err());
        // No process; but threads.

        assert!(Command::new("/bin/true").spawn().is_err());
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
    } else {
        let free = std::net::SocketAddr::from(([127, 0, 0, 1], 54_321));
        assert_eq!(TcpListener::bind(free).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        // It may fork, but there is nothing it could execute.
        assert!(Command::new("/bin/true").spawn().is_err());
    }
    std::mem::forget(folder);
}

fn nothing_of_the_system(port: u16) {
    assert!(File::open("/etc/passwd").is_err());
    assert!(File::create("/tmp/zpost-sandbox-test").is_err());
    assert!(std::fs::read_dir("/").is_err());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(std::os::unix::net::UnixDatagram::unbound().is_err());
    assert!(TcpListener::bind("127.0.0.1:0").is_err());
    assert!(Command::new("/bin/true").spawn().is_err());
    let parent = nix::unistd::getppid();
    assert!(nix::sys::signal::kill(parent, None).is_err());
    // What the suite's conversations need.
    let (mut one, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    one.write_all(b"x").unwrap();
    other.read_exact(&mut [0]).unwrap();
    assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
}

/// One that has only its conversations.
fn keeper(port: u16) {
    let (walls, lacking) = enter(Sandbox::Try, &Needs::nothing()).unwrap();
    assert!(walls.calls, "{lacking:?}");
    nothing_of_the_system(port);
}

/// One that makes messages.
fn server(port: u16) {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["public", "router", "freezer", "queue"] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("old"), "secret").unwrap();
    }
    let folders = [(at("public"), Folder::Make), (at("router"), Folder::Place), (at("freezer"), Folder::PlaceAndWrite)];
    let needs = Needs { folders: &folders, memory: Some(1 << 30), ..Needs::nothing() };
    let (walls, lacking) = enter(Sandbox::Try, &needs).unwrap();
    assert!(walls.calls, "{lacking:?}");
    nothing_of_the_system(port);
    File::options().write(true).create_new(true).open(at("public/new")).unwrap().write_all(b"x").unwrap();
    // std's rename is the older call, which is not on the list.
    let to = |folder: &str, name: &str| {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        renameat2(AT_FDCWD, &at("public/new"), AT_FDCWD, &at(folder).join(name), RenameFlags::RENAME_NOREPLACE)
    };
    assert!(std::fs::read(at("public/old")).is_err() && std::fs::read(at("queue/old")).is_err());
    if walls.files {
        to("queue", "new").unwrap_err();
        let made = |path: &str| File::options().write(true).create_new(true).open(at(path));
        assert!(made("queue/other").is_err() && made("other").is_err());
        to("router", "new").unwrap();
        assert!(File::options().write(true).open(at("router/new")).is_err());
        assert!(File::options().write(true).open(at("router/old")).is_err());
        assert!(nix::unistd::unlinkat(nix::fcntl::AT_FDCWD, &at("router/old"), nix::unistd::UnlinkatFlags::NoRemoveDir).is_err());
        std::fs::write(at("freezer/new.reason"), "x").unwrap();
    }
    assert!(Vec::<u8>::new().try_reserve_exact(2 << 30).is_err(), "more memory than allowed");
    std::mem::forget(root);
}

/// One that reads a folder and a file.
fn reader(port: u16) {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for name in ["maps/deep", "secrets"] {
        std::fs::create_dir_all(at(name)).unwrap();
        std::fs::write(at(name).join("file"), "text").unwrap();
    }
    std::fs::write(at("one"), "text").unwrap();
    std::fs::write(at("other"), "text").unwrap();
    let folders = [(at("maps"), Folder::Read), (at("one"), Folder::Read)];
    let (walls, lacking) = enter(Sandbox::Try, &Needs { folders: &folders, ..Needs::nothing() }).unwrap();
    assert!(walls.calls, "{lacking:?}");
    for readable in ["maps/deep/file", "one"] {
        assert_eq!(std::fs::read_to_string(at(readable)).unwrap(), "text");
        assert!(std::fs::metadata(at(readable)).unwrap().is_file());
    }
    if walls.files {
        nothing_of_the_system(port);
        assert!(std::fs::read(at("secrets/file")).is_err() && std::fs::read(at("other")).is_err());
        assert!(File::options().write(true).open(at("maps/deep/file")).is_err());
    }
    assert!(std::fs::rename(at("one"), at("maps/one")).is_err() && std::fs::remove_file(at("one")).is_err());
    std::mem::forget(root);
}

fn with_server(test: impl FnOnce(u16)) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = server.accept() {
            let _ = stream.write_all(b"hello");
        }
    });
    test(port);
}

#[test]
fn each_wall_holds_by_itself_and_both_together() {
    with_server(|port| {
        ended_well(&trial("calls", port));
        ended_well(&trial("both", port));
        ended_well(&trial("keeper", port));
        ended_well(&trial("server", port));
        ended_well(&trial("reader", port));
        if landlock_is_there() {
            ended_well(&trial("files", port));
        }
    });
}

#[test]
fn exec_ends_the_process() {
    with_server(|port| {
        let status: ExitStatus = trial("exec", port).status;
        assert_eq!(status.signal(), Some(nix::libc::SIGSYS), "{status}");
    });
}
