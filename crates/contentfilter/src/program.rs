//! One running filter program and its pipes.

use crate::protocol::{Dialogue, Step};
use mio::unix::pipe::{Receiver, Sender};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: Sender,
    output: Receiver,
    dialogue: Dialogue,
    unsent: Vec<u8>,
    pub began: Instant,
}

impl Program {
    /// Spawns it, with its pipes at this token.
    pub fn spawn(words: &[String], registry: &Registry, token: Token) -> io::Result<Self> {
        let (name, arguments) = words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut command = Command::new(name);
        // A group of its own, so that what the program itself started can be ended with it; and bound to this process,
        // so that it ends also when this one is killed. (What it started then reads the end of its input.)
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = sys::spawn_bound(command)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let (mut input, mut output) = (Sender::from(input), Receiver::from(output));
        input.set_nonblocking(true)?;
        output.set_nonblocking(true)?;
        registry.register(&mut input, token, Interest::WRITABLE)?;
        registry.register(&mut output, token, Interest::READABLE)?;
        Ok(Self { child, input, output, dialogue: Dialogue::default(), unsent: Vec::new(), began: Instant::now() })
    }

    /// Sends a path. The caller has made sure that it holds no line end.
    pub fn ask(&mut self, path: &str) -> io::Result<()> {
        self.dialogue.ask();
        self.unsent.extend_from_slice(path.as_bytes());
        self.unsent.push(b'\n');
        self.flush()
    }

    /// Sends what the pipe did not take before.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.input.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads what it has said. `Err`: it has closed its output.
    pub fn hear(&mut self) -> io::Result<Step> {
        let (mut result, mut buffer) = (Step::Nothing, [0; 4096]);
        loop {
            match self.output.read(&mut buffer) {
                Ok(0) if result == Step::Nothing => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                // Its last words count; the end is seen at the next read.
                Ok(0) => return Ok(result),
                Ok(length) => match self.dialogue.hear(buffer.get(..length).unwrap_or_default()) {
                    Step::Nothing => {}
                    Step::Garbage(why) => return Ok(Step::Garbage(why)),
                    verdict => result = verdict,
                },
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(result),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// It has ended: how.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Ends it now.
    pub fn kill(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.input);
        let _ = registry.deregister(&mut self.output);
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
