//! For the tests: one program that is the master or any of its children, by the name it is started under. The children
//! do nothing but keep the conversation with the master.

use daemon::Started;
use ipc::agents::{ToAgent, ToScheduler};
use ipc::control::Reply;
use ipc::master::{Session, ToChild, ToMaster};
use ipc::{Channel, RecvError};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    if name == "zpost-master" {
        return master::run();
    }
    if std::env::var("STAND_IN_FAILS").is_ok_and(|fails| fails == name) {
        return ExitCode::from(9);
    }
    match daemon::start(name) {
        Ok(started) => Child::new(started).run(),
        Err(refusal) => refusal.say(),
    }
}

struct Child {
    started: Started,
    sessions: HashMap<u64, TcpStream>,
    draining: bool,
    /// Agents and routers: they end with this conversation.
    jobs: Option<Channel<ToScheduler, ToAgent>>,
    held: Vec<std::os::fd::OwnedFd>,
    _lock: Option<File>,
}

impl Child {
    fn new(mut started: Started) -> Self {
        let jobs = started.contacts.take("jobs").and_then(|end| Channel::new(end).ok());
        // Only one scheduler at a time may live, or the test fails.
        let lock = (started.service == "scheduler").then(|| {
            let lock = File::options().create(true).append(true).open(".stand-in.lock").expect("lock file");
            lock.try_lock().expect("two schedulers");
            lock
        });
        Self { started, sessions: HashMap::new(), draining: false, jobs, held: Vec::new(), _lock: lock }
    }

    fn run(mut self) -> ExitCode {
        self.started.master.send(&ToMaster::Ready).expect("ready");
        if self.started.service == "scheduler" {
            self.started.master.send(&ToMaster::WantAgent { ticket: 7, channel: "smtp".into() }).expect("want");
        }
        loop {
            match self.started.master.recv_by(Instant::now() + Duration::from_millis(5)) {
                Ok((frame, descriptors)) => self.heard(frame, descriptors),
                Err(RecvError::Closed) => return ExitCode::from(75),
                Err(_) => {}
            }
            while let Some(signal) = self.started.signals.next() {
                self.draining |= signal == daemon::Signal::Drain;
            }
            self.draining |= self.jobs.as_mut().is_some_and(|jobs| matches!(jobs.recv(), Err(RecvError::Closed)));
            self.serve();
            if self.draining && std::env::var_os("STAND_IN_STUBBORN").is_none() {
                // As the real one: a drain tells clients to go.
                self.sessions.clear();
            }
            if self.draining && self.sessions.is_empty() {
                return ExitCode::SUCCESS;
            }
        }
    }

    fn heard(&mut self, frame: ToChild, mut descriptors: Vec<std::os::fd::OwnedFd>) {
        match frame {
            ToChild::Drain => self.draining = true,
            ToChild::Session(session) => self.greet(session, descriptors.remove(0)),
            ToChild::Reload(start) => {
                self.started.reload(&start, descriptors).expect("reload");
            }
            ToChild::Command { .. } => {
                let mut link = Channel::<Reply, ipc::control::Request>::new(descriptors.remove(0)).expect("link");
                let _ = link.send(&Reply::Done(format!("{} {}", self.started.service, std::process::id())));
                let _ = link.send(&Reply::End);
            }
            _ => self.held.append(&mut descriptors),
        }
    }

    fn greet(&mut self, session: Session, end: std::os::fd::OwnedFd) {
        let mut stream = TcpStream::from(end);
        let text = match session.refuse {
            Some(text) => format!("421 {text}\r\n"),
            None => format!("220 {} {} {}\r\n", session.listener, self.started.generation, std::process::id()),
        };
        let refused = text.starts_with('4');
        let _ = stream.write_all(text.as_bytes());
        if refused {
            let _ = self.started.master.send(&ToMaster::SessionsEnded(vec![session.number]));
        } else {
            self.sessions.insert(session.number, stream);
        }
    }

    /// Echoes; a session ends when its client closes.
    fn serve(&mut self) {
        let mut ended = Vec::new();
        for (number, stream) in &mut self.sessions {
            let mut buffer = [0; 512];
            match stream.read(&mut buffer) {
                Ok(0) => ended.push(*number),
                Ok(length) => {
                    let _ = stream.write_all(buffer.get(..length).unwrap_or_default());
                }
                Err(_) => {}
            }
        }
        self.sessions.retain(|number, _| !ended.contains(number));
        if !ended.is_empty() {
            let _ = self.started.master.send(&ToMaster::SessionsEnded(ended));
        }
    }
}
