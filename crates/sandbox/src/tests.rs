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
        "files" => files::give_up().unwrap(),
        "calls" => calls::filter_client().unwrap(),
        _ => {
            let (walls, lacking) = enter_client(Sandbox::Try).unwrap();
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
