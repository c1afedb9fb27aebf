//! A death at a moment of one's choice: strace, attached to a process, kills it at one of its system calls.

use crate::{LONG, files, wait_until};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Kills one process (its successor is not traced); ends when dropped.
#[derive(Debug)]
pub struct Killer(Child);

impl Killer {
    /// At the `when`-th call of one of its threads; `call` may name several with commas between.
    pub fn attach(pid: u32, call: &str, when: usize) -> Self {
        let inject = format!("inject={call}:signal=SIGKILL:when={when}");
        let trace = format!("trace={call}");
        let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject, "-p", &pid.to_string()];
        let strace = Command::new("strace").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let killer = Self(strace.expect("strace, which scripts/test installs"));
        wait_until("strace is attached to every thread", LONG, || {
            let tasks = PathBuf::from(format!("/proc/{pid}/task"));
            let traced = |task: &String| {
                let status = fs::read_to_string(tasks.join(task).join("status")).unwrap_or_default();
                status.lines().any(|l| l.strip_prefix("TracerPid:").is_some_and(|v| v.trim() != "0"))
            };
            let all = files(&tasks);
            !all.is_empty() && all.iter().all(traced)
        });
        killer
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
