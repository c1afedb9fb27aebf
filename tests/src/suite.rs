//! Starting, asking and stopping a suite.

use crate::{LONG, free_port, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// `nobody` and `nogroup` on Debian.
pub const ORDINARY: u32 = 65534;

/// The folder of the built programs: `ZPOST_BIN`, else beside the test's own.
pub fn programs() -> PathBuf {
    std::env::var_os("ZPOST_BIN")
        .map_or_else(|| std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_path_buf(), PathBuf::from)
}

/// A running suite in a folder of its own.
#[derive(Debug)]
pub struct Suite {
    pub folder: TempDir,
    /// Of the smtp listener on 127.0.0.1.
    pub port: u16,
    master: Option<Child>,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A suite being described.
#[derive(Debug)]
pub struct SuiteBuilder {
    suite: Suite,
    sections: String,
    listeners: String,
}

impl SuiteBuilder {
    /// Further TOML sections.
    pub fn with(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }
    /// Every domain goes to this port on loopback.
    pub fn relaying_to(self, port: u16) -> Self {
        self.with(&format!("[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{port}\"\n"))
    }
    /// Mail to `local.example` goes into Maildirs below `mail/` of the folder.
    pub fn with_maildirs(self) -> Self {
        let pattern = self.suite.folder.path().join("mail/%u");
        self.with(&format!(
            "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{}\"\nusers = \"any\"\n",
            pattern.display()
        ))
    }
    /// A further volume `name`, in a folder of that name below the scratch folder.
    pub fn with_volume(self, name: &str) -> Self {
        let path = self.suite.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        self.with(&format!("[[volume]]\nname = \"{name}\"\npath = \"{}\"\n", path.display()))
    }
    /// A certificate for some names: `NAME.pem` and `NAME.key` in the scratch folder.
    pub fn with_certificate(self, name: &str, hosts: &[&str]) -> Self {
        self.with_certificate_of(name, hosts, crate::pem::USUAL)
    }
    /// The same with a key of some kind, as `openssl req -newkey` wants to hear of it.
    pub fn with_certificate_of(self, name: &str, hosts: &[&str], key: &[&str]) -> Self {
        crate::pem::certificate_of(self.suite.folder.path(), name, hosts, key);
        let section = crate::pem::section(self.suite.folder.path(), name);
        self.with(&section)
    }
    /// The scratch folder.
    pub fn folder(&self) -> &Path {
        self.suite.folder.path()
    }
    /// A further listener section body.
    pub fn listening(mut self, toml: &str) -> Self {
        self.listeners.push_str(&format!("[[listener]]\n{toml}\n"));
        self
    }
    /// Puts a program and arguments before zpost-master (strace and the like).
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.suite.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.suite.environment.push((name.to_owned(), value.to_owned()));
        self
    }
    /// Writes the configuration; starts nothing.
    pub fn prepare(self) -> Suite {
        let root = self.suite.folder.path().display();
        let port = self.suite.port;
        let text = format!(
            "[paths]\npostoffice = \"{root}/post\"\nrun = \"{root}/run\"\n\n[identity]\nhostname = \"mta.test.example\"\n\n\
             [[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:{port}\"\n{}\n[relay]\nnetworks = [\"127.0.0.0/8\", \"::1\"]\n\n{}",
            self.listeners, self.sections
        );
        fs::write(self.suite.config(), text).unwrap();
        for folder in ["post", "run", "mail"] {
            fs::create_dir_all(self.suite.folder.path().join(folder)).unwrap();
        }
        self.suite.give_away();
        self.suite
    }
    /// Writes the configuration and starts the suite; returns when it is ready.
    pub fn start(self) -> Suite {
        let mut suite = self.prepare();
        suite.start();
        suite
    }
}

impl Suite {
    pub fn builder() -> SuiteBuilder {
        let folder = TempDir::with_prefix("zpost-test-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let suite = Self { folder, port: free_port(), master: None, wrapper: Vec::new(), environment: Vec::new() };
        SuiteBuilder { suite, sections: String::new(), listeners: String::new() }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }
    pub fn config(&self) -> PathBuf {
        self.path("zpost.toml")
    }
    pub fn postoffice(&self, below: &str) -> PathBuf {
        self.path("post").join(below)
    }

    /// Replaces a word of the wrapper's arguments by something known only after `prepare`.
    pub fn replace_wrapper(&mut self, word: &str, with: &str) {
        for argument in &mut self.wrapper {
            if argument == word {
                with.clone_into(argument);
            }
        }
    }

    /// Makes the scratch folder the ordinary user's.
    pub fn give_away(&self) {
        if Uid::effective().is_root() {
            give(self.folder.path());
        }
    }

    /// A command of the suite that runs as the suite's user.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("ZPOST_CONFIG", self.config()).current_dir(self.folder.path());
        if Uid::effective().is_root() {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// Runs `zpost ...` and gives its output.
    pub fn zpost(&self, arguments: &[&str]) -> Output {
        self.command(programs().join("zpost")).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// `zpost ... --json` as a value; panics when it fails.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut output = self.zpost(&[arguments, &["--json"]].concat());
        let again = std::time::Instant::now() + LONG;
        // A process that was killed is away for a moment, and the command says so.
        while String::from_utf8_lossy(&output.stderr).contains("is not running now") && std::time::Instant::now() < again {
            std::thread::sleep(Duration::from_millis(20));
            output = self.zpost(&[arguments, &["--json"]].concat());
        }
        // 1: the suite is degraded, as it is while a process that was killed is started again.
        let degraded = arguments == ["status"] && output.status.code() == Some(1);
        assert!(output.status.success() || degraded, "zpost {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The sum of one counter over all processes of a service.
    pub fn counter(&self, service: &str, name: &str) -> u64 {
        assert!(daemon::counters::names(service).contains(&name), "{service} has no counter {name}");
        let mut text = Vec::new();
        wait_until("the counters", LONG, || {
            let output = self.zpost(&["counters", "--prometheus"]);
            text = output.stdout;
            output.status.success()
        });
        let metric = format!("zpost_{}_{name}", service.replace('-', "_"));
        String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(&metric))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Starts zpost-master in the foreground and waits for READY=1.
    pub fn start(&mut self) {
        let ready = self.spawn();
        let mut text = [0; 512];
        loop {
            match ready.recv(&mut text) {
                Ok(n) if String::from_utf8_lossy(&text[..n]).lines().any(|l| l == "READY=1") => return,
                Ok(_) => {}
                Err(_) => {
                    let status = self.master.as_mut().unwrap().try_wait().unwrap();
                    assert!(status.is_none(), "zpost-master ended ({status:?}):\n{}", self.errors());
                }
            }
        }
    }

    /// Starts zpost-master and gives the readiness socket at once (its reads time out each 100 ms).
    pub fn spawn(&mut self) -> UnixDatagram {
        let path = self.path("ready");
        let _ = fs::remove_file(&path);
        let ready = UnixDatagram::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        ready.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let master = programs().join("zpost-master");
        let mut command = match self.wrapper.split_first() {
            None => self.command(master),
            Some((wrapper, arguments)) => {
                let mut command = self.command(wrapper);
                command.args(arguments).arg(master);
                command
            }
        };
        let errors = fs::OpenOptions::new().create(true).append(true).open(self.path("stderr")).unwrap();
        command.envs(self.environment.iter().map(|(n, v)| (n, v)));
        command.arg("--config").arg(self.config()).env("NOTIFY_SOCKET", &path).stdin(Stdio::null());
        self.master = Some(command.stdout(errors.try_clone().unwrap()).stderr(errors).spawn().unwrap());
        ready
    }

    pub fn master_pid(&self) -> u32 {
        self.master.as_ref().unwrap().id()
    }

    /// Pids of the suite's processes with their service names, the master first.
    pub fn pids(&self) -> Vec<(String, u32)> {
        let status = self.json(&["status"]);
        let mut all = vec![("zpost-master".to_owned(), self.pid_of(&status))];
        for process in status["processes"].as_array().unwrap() {
            let pid = u32::try_from(process["pid"].as_u64().unwrap()).unwrap();
            if pid != 0 {
                all.push((process["service"].as_str().unwrap().to_owned(), pid));
            }
        }
        all
    }

    fn pid_of(&self, status: &serde_json::Value) -> u32 {
        status["pid"].as_u64().and_then(|p| u32::try_from(p).ok()).unwrap_or_else(|| self.master_pid())
    }

    /// SIGTERM; gives the exit code. Panics when the suite does not stop.
    pub fn stop(&mut self) -> Option<i32> {
        let mut master = self.master.take()?;
        kill(Pid::from_raw(i32::try_from(master.id()).unwrap()), Signal::SIGTERM).unwrap();
        let mut code = None;
        wait_until("the suite stops", LONG, || {
            code = master.try_wait().unwrap();
            code.is_some()
        });
        code.and_then(|c| c.code())
    }

    /// kill -9 of the master; its children go by themselves. Waits for the last of them.
    pub fn kill(&mut self) {
        let Some(mut master) = self.master.take() else { return };
        let _ = master.kill();
        let _ = master.wait();
        wait_until("orphans exit", LONG, || self.processes_below().is_empty());
    }

    /// Living processes of this suite: those whose working folder is its postoffice.
    pub fn processes_below(&self) -> Vec<u32> {
        let home = self.path("post");
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|e| e.file_name().to_string_lossy().parse::<u32>().ok())
            .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == home))
            .collect()
    }

    /// Waits until nothing is left in the spool but what is deferred or frozen for good. Looks more than once: what a
    /// message makes (a report, a copy for somebody else) is in `router/` before the message goes, and one look at both
    /// folders in turn may miss both.
    pub fn wait_drained(&self, limit: Duration) {
        wait_until("the spool drains", limit, || (0..3).all(|_| self.spooled() == 0));
    }

    /// Messages under way: in router/ and queue/.
    pub fn spooled(&self) -> usize {
        let router = crate::files(&self.postoffice("router")).len();
        let queue = self.postoffice("queue");
        router + crate::files(&queue).iter().map(|xx| crate::files(&queue.join(xx)).len()).sum::<usize>()
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- stderr of the suite:\n{}\n--- end of its log:", self.errors());
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        if let Some(mut master) = self.master.take() {
            let _ = kill(Pid::from_raw(i32::try_from(master.id()).unwrap()), Signal::SIGTERM);
            for _ in 0..200 {
                if matches!(master.try_wait(), Ok(Some(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = master.kill();
            let _ = master.wait();
        }
        for pid in self.processes_below() {
            let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
        }
    }
}

fn give(path: &Path) {
    let _ = chown(path, Some(ORDINARY), Some(ORDINARY));
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            give(&entry.path());
        }
    }
}
