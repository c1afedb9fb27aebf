//! The program at the other end: its pipes, its dialogue, the file it reads messages from.

use ipc::agents::Job;
use jobline::{Dialogue, Event};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

/// Bytes that wait for a program that does not read.
const MOST_UNSENT: usize = 1 << 20;
/// Bytes of its error output that go into the log in its life.
const MOST_SAID: usize = 64 * 1024;
/// Reads in one turn.
const READS: usize = 16;

/// Where systems keep large files that are needed for a while.
const SCRATCH: &str = "/var/tmp";

/// A file without a name for messages: on the disk, for a message may be large and the programs many; where that cannot be, in
/// memory.
fn scratch() -> io::Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let file = open(SCRATCH, flags, Mode::S_IRUSR | Mode::S_IWUSR).or_else(|_| memfd_create(c"zpost-message", MFdFlags::MFD_CLOEXEC))?;
    Ok(File::from(file))
}

#[derive(Debug)]
pub struct Partner {
    child: Child,
    end: OwnedFd,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    unsent: Vec<u8>,
    /// Descriptor 3 of the program.
    message: File,
    pub dialogue: Dialogue,
    /// Jobs it has asked for and not got.
    pub hungry: u32,
    said: usize,
    /// It said what is none of the protocol's words; the end of this conversation.
    pub garbled: bool,
    /// More may wait in its output.
    pub busy: bool,
}

impl Partner {
    pub fn start(words: &[String], registry: &Registry, token: Token) -> io::Result<Self> {
        let (name, arguments) = words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let message = scratch()?;
        let mut command = Command::new(name);
        command.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let third = Some(message.try_clone()?.into());
        let mut child = sys::spawn_foreign(command, sys::Launch { identity: None, umask: 0o077, third, open_files: 1024 })?;
        match Self::watched(&mut child, registry, token) {
            Ok((end, stdin, stdout, stderr)) => Ok(Self {
                child,
                end,
                stdin,
                stdout,
                stderr,
                unsent: Vec::new(),
                message,
                dialogue: Dialogue::default(),
                hungry: 0,
                said: 0,
                garbled: false,
                busy: false,
            }),
            Err(e) => {
                // Nobody would ever hear it, or see its end.
                let _ = (child.kill(), child.wait());
                Err(e)
            }
        }
    }

    /// The program's end and its pipes, all of them watched.
    fn watched(
        child: &mut Child,
        registry: &Registry,
        token: Token,
    ) -> io::Result<(OwnedFd, ChildStdin, ChildStdout, Option<ChildStderr>)> {
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), stderr) = pipes else { return Err(io::Error::from(io::ErrorKind::BrokenPipe)) };
        let end = sys::watch(child)?;
        for fd in [stdin.as_raw_fd(), stdout.as_raw_fd(), end.as_raw_fd()].into_iter().chain(stderr.as_ref().map(AsRawFd::as_raw_fd)) {
            let interest = if fd == stdin.as_raw_fd() { Interest::WRITABLE } else { Interest::READABLE };
            registry.register(&mut SourceFd(&fd), token, interest)?;
        }
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if let Some(stderr) = &stderr {
            fcntl(stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok((end, stdin, stdout, stderr))
    }

    /// Puts the message into the program's descriptor 3, at its beginning, and tells it the job.
    pub fn give(&mut self, job: &Job, file: &File, deadline: u64) -> io::Result<()> {
        self.message.set_len(0)?;
        self.message.rewind()?;
        let copy = &mut self.message;
        job.content(file)?.pass(file, &mut |piece| copy.write_all(piece))?;
        // The position is one for both ends of the descriptor.
        self.message.rewind()?;
        let line = self.dialogue.give(job, 0, deadline);
        self.unsent.extend_from_slice(line.as_bytes());
        self.hungry = self.hungry.saturating_sub(1);
        self.flush()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stdin.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.unsent.len() > MOST_UNSENT { Err(io::Error::other("it does not read")) } else { Ok(()) }
    }

    /// Reads what it says. An error ends it.
    pub fn hear(&mut self, events: &mut Vec<Event>) -> Result<(), String> {
        let held = self.dialogue.held();
        let heard = self.read(events);
        if held > 0 && self.dialogue.held() == 0 {
            // With its last result a job's message goes.
            self.message.set_len(0).map_err(|e| e.to_string())?;
        }
        heard
    }

    fn read(&mut self, events: &mut Vec<Event>) -> Result<(), String> {
        self.note();
        self.busy = false;
        let mut buffer = [0; 8192];
        for _ in 0..READS {
            match self.stdout.read(&mut buffer) {
                Ok(0) => return Err(format!("it has closed its output{}", self.status())),
                Ok(length) => {
                    let heard = self.dialogue.hear(buffer.get(..length).unwrap_or_default(), events);
                    self.garbled |= heard.is_err();
                    heard.map_err(|fault| fault.0.to_owned())?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        self.busy = true;
        Ok(())
    }

    fn status(&mut self) -> String {
        self.child.try_wait().ok().flatten().map(|status| format!(" ({status})")).unwrap_or_default()
    }

    /// Its error output goes into the log, escaped and bounded.
    fn note(&mut self) {
        let mut buffer = [0; 2048];
        for _ in 0..READS {
            let Some(pipe) = &mut self.stderr else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.stderr = None,
                Ok(length) => {
                    self.said = self.said.saturating_add(length);
                    if self.said <= MOST_SAID {
                        for line in buffer.get(..length).unwrap_or_default().split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                            // The log escapes; doing it here too would show every quote with three backslashes.
                            let text = String::from_utf8_lossy(line.get(..line.len().min(400)).unwrap_or_default());
                            daemon::event!(Warning, "agent_says", text = text);
                        }
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.stderr = None,
            }
        }
    }

    /// Ends it and all of its group; the end of its input would be seen by a program of good will only.
    pub fn end(mut self, registry: &Registry) {
        self.note();
        for fd in [self.stdin.as_raw_fd(), self.stdout.as_raw_fd(), self.end.as_raw_fd()] {
            let _ = registry.deregister(&mut SourceFd(&fd));
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
