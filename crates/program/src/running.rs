//! A running program: nobody waits for it but the event loop.

use crate::ending::{Ended, Ending};
use crate::input::Input;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use sys::{Identity, Launch};

/// Between SIGTERM and SIGKILL at the deadline: time to remove lock files.
const GRACE: Duration = Duration::from_secs(3);
/// Descriptors a program may have.
const OPEN_FILES: u64 = 1024;

/// Pieces written, and pieces read, in one turn: a program that never pauses must not hold the loop up.
const TURN: usize = 64;

/// What to run.
#[derive(Debug, Clone)]
pub struct Order {
    /// The program (an absolute path) and its arguments, each passed as it is.
    pub words: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Who it becomes; `None`: who we are. Never root where one is given.
    pub identity: Option<Identity>,
    pub umask: u32,
    pub timeout: Duration,
    /// Bytes of its output that are kept.
    pub max_output: usize,
}

/// One at work.
pub struct Running {
    child: Child,
    end: OwnedFd,
    stdin: Option<File>,
    stdout: Option<File>,
    input: Box<dyn Input>,
    /// The input has more pieces.
    more: bool,
    unsent: Vec<u8>,
    sent: usize,
    kept: Vec<u8>,
    max_output: usize,
    flooded: bool,
    deadline: Instant,
    /// The last turn stopped before the pipes did.
    busy: bool,
    /// It was ended by us, with this result.
    ended_as: Option<Ending>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({})", self.child.id())
    }
}

impl Running {
    /// Starts it.
    pub fn start(order: Order, input: Box<dyn Input>, now: Instant) -> io::Result<Self> {
        let (name, arguments) = order.words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if order.identity.as_ref().is_some_and(|identity| identity.uid.is_root()) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "nothing is run as root"));
        }
        let (stdin, ours_in) = io::pipe()?;
        let (ours_out, stdout) = io::pipe()?;
        let mut command = Command::new(name);
        command.args(arguments).env_clear().envs(order.environment).current_dir(&order.folder);
        command.stdin(Stdio::from(stdin)).stderr(Stdio::from(stdout.try_clone()?)).stdout(Stdio::from(stdout));
        let launch = Launch { identity: order.identity, umask: order.umask, third: None, open_files: OPEN_FILES };
        let mut child = sys::spawn_foreign(command, launch)?;
        let end = sys::watch(&child).inspect_err(|_| {
            let _ = (child.kill(), child.wait());
        })?;
        let (stdin, stdout) = (File::from(OwnedFd::from(ours_in)), File::from(OwnedFd::from(ours_out)));
        for pipe in [&stdin, &stdout] {
            nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            child,
            end,
            stdin: Some(stdin),
            stdout: Some(stdout),
            input,
            more: true,
            unsent: Vec::new(),
            sent: 0,
            kept: Vec::new(),
            max_output: order.max_output,
            flooded: false,
            deadline: now.checked_add(order.timeout).unwrap_or(now),
            busy: false,
            ended_as: None,
        })
    }

    /// Descriptors to wait for, as edges or levels: its end and its output readable, its input writable.
    pub fn sources(&self) -> [Option<(RawFd, bool)>; 3] {
        [
            Some((self.end.as_raw_fd(), false)),
            self.stdout.as_ref().map(|pipe| (pipe.as_raw_fd(), false)),
            self.stdin.as_ref().map(|pipe| (pipe.as_raw_fd(), true)),
        ]
    }

    /// When to call [`Running::turn`] even if nothing happens.
    pub const fn wake_at(&self, now: Instant) -> Instant {
        if self.busy { now } else { self.deadline }
    }

    /// Does what can be done now; the end, once it has ended.
    pub fn turn(&mut self, now: Instant) -> Option<Ended> {
        self.busy = false;
        self.write();
        self.read();
        if now >= self.deadline {
            self.overdue(now);
        }
        let status = self.child.try_wait().ok().flatten()?;
        self.read();
        // What it left behind in its group must not outlive the delivery.
        self.signal(Signal::SIGKILL);
        let ending = self.ended_as.take().unwrap_or_else(|| ending(status));
        Some(Ended { ending, output: std::mem::take(&mut self.kept), flooded: self.flooded })
    }

    /// Ends it and all of its group at once.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn overdue(&mut self, now: Instant) {
        match self.ended_as {
            None => {
                self.ended_as = Some(Ending::TimedOut);
                self.signal(Signal::SIGTERM);
            }
            Some(_) => self.signal(Signal::SIGKILL),
        }
        self.deadline = now.checked_add(GRACE).unwrap_or(now);
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    /// A program that closes its input does not want the rest: its exit code decides.
    fn write(&mut self) {
        for _ in 0..TURN {
            let Some(pipe) = &mut self.stdin else { return };
            if self.sent >= self.unsent.len() {
                self.unsent.clear();
                self.sent = 0;
                if !self.more {
                    self.stdin = None;
                    return;
                }
                match self.input.next(&mut self.unsent) {
                    Ok(more) => self.more = more,
                    Err(e) => {
                        self.ended_as = Some(Ending::InputFailed(e.to_string()));
                        self.signal(Signal::SIGKILL);
                        // Only after the signal: it must not take the end of its input for the end of the message.
                        return self.stdin = None;
                    }
                }
                continue;
            }
            match pipe.write(self.unsent.get(self.sent..).unwrap_or_default()) {
                Ok(length) => self.sent = self.sent.saturating_add(length),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.stdin = None,
            }
        }
        self.busy = true;
    }

    fn read(&mut self) {
        let mut buffer = [0; 8192];
        for _ in 0..TURN {
            let Some(pipe) = &mut self.stdout else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.stdout = None,
                Ok(length) => {
                    let room = self.max_output.saturating_sub(self.kept.len());
                    self.flooded |= length > room;
                    self.kept.extend_from_slice(buffer.get(..length.min(room)).unwrap_or_default());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.stdout = None,
            }
        }
        self.busy = true;
    }
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Signalled(signal.unwrap_or(0)),
    }
}

/// Runs a program and waits for its end: for threads that have nothing else to do.
pub fn run(order: Order, input: Box<dyn Input>) -> Ended {
    let mut running = match Running::start(order, input, Instant::now()) {
        Ok(running) => running,
        Err(e) => return Ended::not_started(&e),
    };
    loop {
        if let Some(ended) = running.turn(Instant::now()) {
            return ended;
        }
        let left = running.wake_at(Instant::now()).saturating_duration_since(Instant::now()).saturating_add(Duration::from_millis(1));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(3);
        for fd in [Some(running.end.as_fd()), running.stdout.as_ref().map(AsFd::as_fd)].into_iter().flatten() {
            fds.push(PollFd::new(fd, PollFlags::POLLIN));
        }
        if let Some(pipe) = &running.stdin {
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        }
        let _ = poll(&mut fds, timeout);
    }
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
