//! `zpost start`.

use crate::link;
use crate::site::Site;
use crate::trouble::{EX_OSERR, EX_TEMPFAIL, EX_UNAVAILABLE, Trouble};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take: the master gives each process two minutes.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the master is looked at while nothing is heard of it.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a master that was killed may take to be gone.
const DYING: Duration = Duration::from_secs(2);

/// Starts the master and waits until it says that every process is ready.
pub fn start(site: &Site) -> Result<u8, Trouble> {
    refuse_a_second(site)?;
    let (socket, name) = notify_socket()?;
    let errors = memfd_create(c"zpost-start", MFdFlags::MFD_CLOEXEC).map(File::from);
    let errors = errors.map_err(|e| Trouble::new(EX_OSERR, format!("cannot make a memory file: {}", e.desc())))?;
    let mut master = spawn(site, &name, &errors)?;
    let outcome = wait(&socket, &mut master);
    let said = text_of(&errors);
    match outcome {
        Ok(()) => {
            crate::output::complain(&said);
            Ok(0)
        }
        Err(trouble) if said.is_empty() => Err(trouble),
        // The master has said it better.
        Err(Trouble { code, .. }) => {
            crate::output::complain(&said);
            Ok(code)
        }
    }
}

/// An error when a master answers. One that was killed this moment may still have its socket, but answers nobody.
fn refuse_a_second(site: &Site) -> Result<(), Trouble> {
    let deadline = Instant::now() + DYING;
    while let Some(link) = link::connect_to(&site.settings.paths.run)? {
        let answer = super::status::of(link);
        if answer.is_ok() || Instant::now() > deadline {
            let pid = answer.map_or_else(|_| String::new(), |s| format!(" with pid {}", s.pid));
            return Err(Trouble::new(EX_UNAVAILABLE, format!("already running{pid}; use `zpost restart` or `zpost reload`")));
        }
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

/// A readiness socket under an abstract name that nobody can guess beforehand, and its name for NOTIFY_SOCKET.
fn notify_socket() -> Result<(UnixDatagram, String), Trouble> {
    let unique = Instant::now();
    for attempt in 0..100 {
        let name = format!("zpost-start-{}-{:x}-{attempt}", std::process::id(), crate::moment::now_seconds());
        let address = SocketAddr::from_abstract_name(&name).map_err(|e| Trouble::io("the readiness socket", &e))?;
        match UnixDatagram::bind_addr(&address) {
            Ok(socket) => {
                socket.set_read_timeout(Some(GLANCE)).map_err(|e| Trouble::io("the readiness socket", &e))?;
                return Ok((socket, format!("@{name}")));
            }
            Err(e) if e.kind() == ErrorKind::AddrInUse => {}
            Err(e) => return Err(Trouble::io("the readiness socket", &e)),
        }
    }
    Err(Trouble::new(EX_TEMPFAIL, format!("no free name for a readiness socket after {:?}", unique.elapsed())))
}

/// The master's program: beside this one, else in the sbin beside our bin.
pub fn master_program() -> Result<PathBuf, Trouble> {
    let here = std::env::current_exe().map_err(|e| Trouble::io("our own program", &e))?;
    let folder = here.parent().map(PathBuf::from).unwrap_or_default();
    let candidates = [folder.join("zpost-master"), folder.join("../sbin/zpost-master")];
    let found = candidates.iter().find(|p| p.is_file()).cloned();
    found.ok_or_else(|| Trouble::new(EX_UNAVAILABLE, format!("zpost-master is not in {} nor in ../sbin from there", folder.display())))
}

/// Spawns the master in a session of its own. Its standard error is a memory file: nobody who reads our standard error
/// through a pipe waits for the end of a daemon.
fn spawn(site: &Site, name: &str, errors: &File) -> Result<Child, Trouble> {
    let program = master_program()?;
    let config = std::fs::canonicalize(&site.config).map_err(|e| Trouble::io(site.config.display(), &e))?;
    let stderr = if site.settings.log.to_file {
        let copy = errors.try_clone().map_err(|e| Trouble::io("standard error of the master", &e))?;
        Stdio::from(OwnedFd::from(copy))
    } else {
        Stdio::inherit()
    };
    let mut command = Command::new(&program);
    command.arg("--config").arg(config).arg("--background").env("NOTIFY_SOCKET", name);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    sys::spawn(command, None, true).map_err(|e| Trouble::io(format!("cannot start {}", program.display()), &e))
}

/// Waits for READY=1, or for the end of the master.
fn wait(socket: &UnixDatagram, master: &mut Child) -> Result<(), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    let mut status = String::new();
    let mut ended = None;
    loop {
        match next_notice(socket)? {
            Some(notice) if notice.lines().any(|l| l == "READY=1") => return Ok(()),
            Some(notice) => status = notice.lines().find_map(|l| l.strip_prefix("STATUS=")).map_or(status, str::to_owned),
            // Whatever the master sent before its end has been read now.
            None => {
                if let Some(how) = ended {
                    return Err(failed(how, &status));
                }
            }
        }
        ended = master.try_wait().map_err(|e| Trouble::io("waiting for the master", &e))?;
        if Instant::now() > deadline {
            let seconds = PATIENCE.as_secs();
            return Err(Trouble::new(
                EX_TEMPFAIL,
                format!("not ready after {seconds} seconds ({status}); it goes on trying, see `zpost status`"),
            ));
        }
    }
}

/// One datagram, or nothing for a glance.
fn next_notice(socket: &UnixDatagram) -> Result<Option<String>, Trouble> {
    let mut buffer = [0; 4096];
    match socket.recv(&mut buffer) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(Trouble::io("the readiness socket", &e)),
    }
}

/// The master has ended before it was ready: its exit status is ours.
fn failed(how: ExitStatus, status: &str) -> Trouble {
    let code = how.code().and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0).unwrap_or(EX_UNAVAILABLE);
    let reason = if status.is_empty() { how.to_string() } else { format!("{status} ({how})") };
    Trouble::new(code, format!("zpost-master ended before it was ready: {reason}"))
}

/// What the master wrote, up to a sensible size.
fn text_of(file: &File) -> String {
    let mut bytes = vec![0; 64 * 1024];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    bytes.truncate(length);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn waited(script: &str) -> Result<(), Trouble> {
        let (socket, name) = notify_socket().unwrap();
        let code = format!(
            "import socket,os,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\nsay=lambda t:s.sendto(t,'\\0'+{:?})\n{script}",
            &name[1..]
        );
        let Ok(mut child) = Command::new("python3").arg("-c").arg(code).spawn() else { return Ok(()) };
        wait(&socket, &mut child)
    }

    #[test]
    fn ready_is_success_even_when_said_last() {
        assert_eq!(waited("say(b'STATUS=starting')\nsay(b'READY=1\\nMAINPID=1')"), Ok(()));
    }

    #[test]
    fn the_masters_exit_status_is_ours() {
        if Command::new("python3").arg("-V").output().is_err() {
            return;
        }
        let trouble = waited("say(b'STATUS=port in use')\nsys.exit(78)").unwrap_err();
        assert_eq!(trouble.code, 78);
        assert!(trouble.text.contains("port in use"), "{}", trouble.text);
        assert_eq!(waited("sys.exit(0)").unwrap_err().code, EX_UNAVAILABLE);
    }
}
