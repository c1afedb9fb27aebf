//! Postfix's smtp-sink as the next hop: every message it takes becomes part of one dump file.

use crate::{LONG, free_port, wait_until};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

#[derive(Debug)]
pub struct Sink {
    pub port: u16,
    folder: TempDir,
    process: Child,
}

impl Sink {
    /// A sink that dumps every transaction (single-process: messages do not interleave).
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A sink with further smtp-sink options.
    pub fn with(options: &[&str]) -> Self {
        Self::on(free_port(), options)
    }

    /// A sink on a port chosen before.
    pub fn on(port: u16, options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("zpost-sink-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new("smtp-sink");
        if nix::unistd::Uid::effective().is_root() {
            command.args(["-u", "nobody"]);
        }
        command.args(options).arg("-D").arg(folder.path().join("dump")).arg(format!("127.0.0.1:{port}")).arg("1000");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("smtp-sink");
        wait_until("smtp-sink listens", LONG, || {
            assert_eq!(process.try_wait().unwrap(), None, "smtp-sink at port {port}");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { port, folder, process }
    }

    /// The dump so far.
    pub fn text(&self) -> Vec<u8> {
        let path: PathBuf = self.folder.path().join("dump");
        fs::read(path).unwrap_or_default()
    }

    /// The messages so far: each with the X- lines that smtp-sink puts before the headers. One that is still being written
    /// is none yet: smtp-sink ends each with an empty line of its own.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let text = self.text();
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for line in text.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b"X-Client-Addr: ") {
                messages.push(Vec::new());
            }
            if let Some(message) = messages.last_mut() {
                message.extend_from_slice(line);
            }
        }
        if !text.ends_with(b"\n\n") {
            messages.pop();
        }
        messages
    }

    /// Values of one header over all messages, in order of arrival.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name}: ");
        let text = self.text();
        text.split(|b| *b == b'\n')
            .filter_map(|line| line.strip_prefix(prefix.as_bytes()))
            .map(|value| String::from_utf8_lossy(value).trim_end().to_owned())
            .collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
