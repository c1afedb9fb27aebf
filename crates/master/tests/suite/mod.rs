//! A master with stand-in children in a scratch folder.
#![allow(dead_code)] // Each test program uses a part.

use ipc::Channel;
use ipc::control::{Reply, Request, Status};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(60);
const PROGRAMS: [&str; 15] = [
    "zpost-master",
    "smtpserver",
    "routermux",
    "router",
    "scheduler",
    "resolver",
    "ratetracker",
    "contentfilter",
    "ta-smtp",
    "ta-mailbox",
    "ta-errormail",
    "ta-hold",
    "ta-pipe",
    "ta-line",
    "tlspolicy",
];

pub struct Suite {
    pub folder: tempfile::TempDir,
    pub port: u16,
    master: Option<Child>,
    notify: UnixDatagram,
}

impl Suite {
    /// Lays the folder out; `more` goes to the end of the configuration.
    pub fn prepare(more: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let examples = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        for program in PROGRAMS {
            std::fs::hard_link(examples.join("stand_in"), folder.path().join("bin").join(program)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let notify = UnixDatagram::bind(folder.path().join("n")).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let suite = Self { folder, port, master: None, notify };
        suite.configure(&[port], more);
        suite
    }

    pub fn start(more: &str) -> Self {
        let mut suite = Self::prepare(more);
        suite.launch();
        suite
    }

    pub fn launch(&mut self) {
        self.master = Some(self.command().spawn().unwrap());
        self.await_notice("READY=1");
    }

    pub fn configure(&self, ports: &[u16], more: &str) {
        let root = self.folder.path().display();
        let mut text = format!("[paths]\npostoffice = \"{root}/po\"\nrun = \"{root}/run\"\n[identity]\nhostname = \"mta.example.org\"\n");
        for port in ports {
            text.push_str(&format!("[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:{port}\"\n"));
        }
        if nix::unistd::geteuid().is_root() {
            // The suite's own users need not exist where the tests run.
            text.push_str("[users]\ndefault = \"root\"\n");
        }
        std::fs::write(self.config(), text + more).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("zpost.toml")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(self.folder.path().join("bin/zpost-master"));
        command.arg("--config").arg(self.config()).env("NOTIFY_SOCKET", self.folder.path().join("n")).stdin(Stdio::null());
        command
    }

    pub fn await_notice(&mut self, wanted: &str) {
        let mut buffer = [0; 512];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(length) = self.notify.recv(&mut buffer) else {
                assert!(Instant::now() < deadline, "no {wanted} in time");
                let ended = self.master.as_mut().and_then(|master| master.try_wait().unwrap());
                assert!(ended.is_none(), "the master ended: {ended:?}");
                continue;
            };
            if String::from_utf8_lossy(&buffer[..length]).contains(wanted) {
                return;
            }
        }
    }

    pub fn ask(&self, request: &Request) -> Vec<Reply> {
        ask(&self.folder.path().join("run/control"), request)
    }

    pub fn status(&self) -> Status {
        match self.ask(&Request::Status).into_iter().next() {
            Some(Reply::Status(status)) => status,
            other => panic!("no status: {other:?}"),
        }
    }

    /// Asks for the status until it is as wanted.
    pub fn await_status(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.master.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    pub fn await_end(&mut self) -> Option<i32> {
        self.master.take().unwrap().wait().unwrap().code()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("po/log/zpost.log")).unwrap_or_default()
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            let _ = master.kill();
            let _ = master.wait();
            if std::thread::panicking() {
                eprintln!("{}", self.log());
            }
        }
    }
}

pub fn ask(path: &Path, request: &Request) -> Vec<Reply> {
    let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    // A socket that is bound and not yet listening refuses.
    while connect(end.as_raw_fd(), &UnixAddr::new(path).unwrap()) == Err(nix::errno::Errno::ECONNREFUSED) {
        std::thread::yield_now();
    }
    let mut link = Channel::<Request, Reply>::new(end).unwrap();
    link.send(request).unwrap();
    let mut replies = Vec::new();
    loop {
        let (reply, _) = link.recv_by(Instant::now() + PATIENCE).unwrap();
        match reply {
            Reply::End => return replies,
            Reply::Refused { .. } => return vec![reply],
            reply => replies.push(reply),
        }
    }
}

/// A session with its greeting.
pub fn greeted(port: u16) -> (TcpStream, String) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connection refused");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("greeting");
    (stream, line)
}
