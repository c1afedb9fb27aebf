//! Policy services: real ones, started for each connection, and one that says what a test tells it.

use crate::ORDINARY;
use nix::unistd::Uid;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A program that ends with the test.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that services running as an ordinary user may write.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if Uid::effective().is_root() {
        chown(folder.path(), Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    folder
}

/// What Postfix's spawn(8) does: a process for each connection, with the connection as its input and output. Gives the
/// address for `[[policy_service]] server`.
pub fn spawned(folder: &Path, make: impl Fn() -> Command + Send + 'static) -> String {
    let socket = folder.join("service");
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        let mut running = Vec::new();
        for stream in listener.incoming().flatten() {
            let mut command = make();
            command.stderr(Stdio::null());
            command.stdin(OwnedFd::from(stream.try_clone().unwrap())).stdout(OwnedFd::from(stream));
            if Uid::effective().is_root() {
                command.uid(ORDINARY).gid(ORDINARY);
            }
            running.push(Running(command.spawn().unwrap()));
        }
    });
    format!("unix:{}", socket.display())
}

/// A question's attributes.
pub type Question = BTreeMap<String, String>;

/// A service that answers as it is told.
#[derive(Debug)]
pub struct Scripted {
    pub port: u16,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Scripted {
    pub fn start(answer: impl Fn(&Question) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { port, asked }
    }

    /// Everything it was asked so far.
    pub fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Question>>, answer: &dyn Fn(&Question) -> String) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut question = Question::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some((name, value)) = line.split_once('=') {
            question.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let question = std::mem::take(&mut question);
        let action = answer(&question);
        seen.lock().unwrap().push(question);
        if write!(writer, "action={action}\n\n").is_err() {
            return;
        }
    }
}
