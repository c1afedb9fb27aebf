//! The service files of `etc/` under the real supervisors: runit, s6 and supervisord run them, systemd's own tools read them.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, files, installed, programs, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn etc(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("etc").join(below)
}

/// Copies a file of `etc/`, with the paths of this suite in place of the usual ones and nothing else changed.
fn copy(suite: &Suite, from: &str, to: &Path) {
    let text = fs::read_to_string(etc(from)).unwrap();
    let text = text.replace("/usr/sbin/", &format!("{}/", programs().display()));
    fs::write(to, text.replace("/etc/zpost/zpost.toml", &suite.config().display().to_string())).unwrap();
    fs::set_permissions(to, fs::metadata(etc(from)).unwrap().permissions()).unwrap();
}

/// A folder of the suite's user, with copies of the files of a folder of `etc/`.
fn service(suite: &Suite, from: &str) -> PathBuf {
    let folder = suite.path("service");
    fs::create_dir(&folder).unwrap();
    for name in files(&etc(from)) {
        copy(suite, &format!("{from}/{name}"), &folder.join(name));
    }
    suite.give_away();
    folder
}

/// A supervisor; it ends with the test, and its service with it.
struct Supervisor<'a> {
    suite: &'a Suite,
    process: Child,
}

impl<'a> Supervisor<'a> {
    fn start(suite: &'a Suite, program: &str, arguments: &[&str]) -> Self {
        let errors = fs::OpenOptions::new().create(true).append(true).open(suite.path("stderr")).unwrap();
        let mut command = suite.command(program);
        command.env_remove("ZPOST_CONFIG").args(arguments).stdin(Stdio::null());
        let process = command.stdout(errors.try_clone().unwrap()).stderr(errors).spawn().unwrap();
        Self { suite, process }
    }

    /// Runs a command of the supervisor; did it end with 0?
    fn does(&self, words: &[&str]) -> bool {
        let output = self.suite.command(words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
        output.status.success()
    }

    /// The same, of a command that must not fail.
    fn tell(&self, words: &[&str]) {
        let output = self.suite.command(words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
    }

    /// The master's process id; `None`: not every process works.
    fn healthy_master(&self) -> Option<i32> {
        let output = self.suite.zpost(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())?;
        status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits until every process works; under another master than `former`.
    fn wait_healthy(&self, former: Option<i32>) -> i32 {
        let mut master = None;
        wait_until("every process works", LONG, || {
            master = self.healthy_master().filter(|pid| Some(*pid) != former);
            master.is_some()
        });
        master.unwrap()
    }

    /// One message to each of some users; every one is accepted.
    fn send(&self, users: &[String]) {
        let (mut session, _) = Session::open(self.suite.port).unwrap();
        session.command("EHLO x.example").unwrap();
        for user in users {
            let to = format!("{user}@local.example");
            let (code, text) = session.message("a@sender.example", &[&to], b"Subject: x\r\n\r\nx\r\n").unwrap();
            assert_eq!(code, 250, "{text}");
        }
    }

    fn arrives(&self, users: &[String]) {
        for user in users {
            let new = self.suite.path("mail").join(user).join("new");
            wait_until(&format!("mail of {user}"), LONG, || !files(&new).is_empty());
        }
    }

    /// Mail flows; `reload` brings a new configuration to the same master; one that is killed is started again and has lost
    /// no mail; `stop` ends every process, in good order.
    fn lives(&self, reload: &[&str], stop: &[&str]) {
        let first = ["first".to_owned()];
        self.send(&first);
        self.arrives(&first);

        let before = self.wait_healthy(None);
        let text = fs::read_to_string(self.suite.config()).unwrap();
        fs::write(self.suite.config(), text.replace("mta.test.example", "renewed.test.example")).unwrap();
        self.tell(reload);
        wait_until("the new name", LONG, || {
            let answer = Session::open(self.suite.port).and_then(|(mut session, _)| session.command("EHLO x.example"));
            answer.is_ok_and(|(_, text)| text.contains("renewed.test.example"))
        });
        // A former worker may still be on its way out.
        assert_eq!(self.wait_healthy(None), before, "a reload is no restart");

        let many: Vec<String> = (0..20).map(|n| format!("user{n}")).collect();
        self.send(&many);
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        self.wait_healthy(Some(before));
        self.arrives(&many);

        self.tell(stop);
        wait_until("no process is left", LONG, || self.suite.processes_below().is_empty());
        assert_eq!(self.suite.zpost(&["status"]).status.code(), Some(3), "stopped");
        assert!(self.suite.log().contains(" stopped code=0"), "drained");
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGTERM);
        for _ in 0..500 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn missing(program: &str) -> bool {
    let missing = !installed(program);
    if missing {
        eprintln!("skipped: {program} is not installed");
    }
    missing
}

#[test]
fn runit_runs_the_suite() {
    if missing("runsv") {
        return;
    }
    let suite = Suite::builder().with_maildirs().prepare();
    let folder = service(&suite, "runit/zpost");
    let folder = folder.to_str().unwrap();
    let runsv = Supervisor::start(&suite, "runsv", &[folder]);
    wait_until("runsv takes orders", LONG, || runsv.does(&["sv", "status", folder]));
    // Comes back when the check of the service says that it works.
    runsv.tell(&["sv", "-w", "120", "start", folder]);
    assert!(runsv.healthy_master().is_some());
    runsv.lives(&["sv", "hup", folder], &["sv", "-w", "120", "stop", folder]);
    assert!(!runsv.does(&[&format!("{folder}/check")]), "what is stopped does not work");
}

#[test]
fn s6_runs_the_suite_and_is_told_when_it_is_ready() {
    if missing("s6-supervise") {
        return;
    }
    let suite = Suite::builder().with_maildirs().prepare();
    let folder = service(&suite, "s6/zpost");
    let folder = folder.to_str().unwrap();
    let s6 = Supervisor::start(&suite, "s6-supervise", &[folder]);
    wait_until("s6-supervise takes orders", LONG, || s6.does(&["s6-svok", folder]));
    s6.tell(&["s6-svwait", "-U", "-t", "120000", folder]);
    assert!(s6.healthy_master().is_some());
    s6.lives(&["s6-svc", "-h", folder], &["s6-svc", "-wD", "-T", "120000", "-d", folder]);
}

#[test]
fn supervisord_runs_the_suite() {
    if missing("supervisord") {
        return;
    }
    let suite = Suite::builder().with_maildirs().prepare();
    let root = suite.folder.path();
    copy(&suite, "supervisor/zpost.conf", &root.join("program.conf"));
    let config = root.join("supervisord.conf");
    let text = "[supervisord]\nnodaemon = true\nlogfile = ROOT/supervisord.log\npidfile = ROOT/supervisord.pid\nchildlogdir = ROOT\n\
                [unix_http_server]\nfile = ROOT/supervisor.sock\n\
                [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
                [supervisorctl]\nserverurl = unix://ROOT/supervisor.sock\n[include]\nfiles = ROOT/program.conf\n";
    fs::write(&config, text.replace("ROOT", &root.display().to_string())).unwrap();
    suite.give_away();
    let config = config.to_str().unwrap();
    let supervisord = Supervisor::start(&suite, "supervisord", &["-c", config]);
    supervisord.wait_healthy(None);
    // A program that has run for a second (startsecs).
    wait_until("supervisord calls it running", LONG, || supervisord.does(&["supervisorctl", "-c", config, "status", "zpost"]));
    let order = |words: &[&'static str]| [&["supervisorctl", "-c", config], words].concat();
    supervisord.lives(&order(&["signal", "HUP", "zpost"]), &order(&["stop", "zpost"]));
}

#[test]
fn systemd_understands_the_unit_and_the_users() {
    if missing("systemd-analyze") || missing("systemd-sysusers") {
        return;
    }
    let suite = Suite::builder().prepare();
    let unit = suite.path("zpost.service");
    copy(&suite, "systemd/zpost.service", &unit);
    let output = Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("zpost.service"), "{said}");

    let root = suite.path("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    let root_option = format!("--root={}", root.display());
    let output = Command::new("systemd-sysusers").arg(root_option).arg(etc("systemd/zpost.sysusers")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap();
    // The users that the example configuration names are the users that are made.
    let example = fs::read_to_string(etc("zpost.toml")).unwrap();
    let named = example.split("#[users]\n").nth(1).unwrap().lines().filter_map(|line| line.split('"').nth(1));
    let mut count = 0;
    for user in named {
        assert!(passwd.lines().any(|line| line.starts_with(&format!("{user}:"))), "{user} in {passwd}");
        count += 1;
    }
    assert_eq!(passwd.lines().count(), count, "{passwd}");
}

#[test]
fn service_programs_can_be_executed() {
    for name in ["runit/zpost/run", "runit/zpost/check", "s6/zpost/run"] {
        assert_eq!(fs::metadata(etc(name)).unwrap().permissions().mode() & 0o111, 0o111, "{name}");
    }
}

#[test]
fn the_installation_has_every_program_and_keeps_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let [made, root] = ["made", "root"].map(|name| folder.path().join(name));
    fs::create_dir(&made).unwrap();
    let all = files(&etc("../bin"));
    for name in &all {
        fs::write(made.join(name), name).unwrap();
        fs::set_permissions(made.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let install = || {
        let mut command = Command::new(etc("../scripts/install"));
        command.args(["--prefix", "/opt/zpost", "--root"]).arg(&root).arg("--programs").arg(&made);
        command.output().unwrap()
    };
    let output = install();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let prefix = root.join("opt/zpost");
    let mut installed: Vec<String> = ["sbin", "bin", "libexec/zpost"].iter().flat_map(|below| files(&prefix.join(below))).collect();
    installed.sort();
    assert_eq!(installed, all);
    // Where zpost-master looks for the others, and zpost for zpost-master.
    for needed in
        ["sbin/zpost", "sbin/zpost-master", "libexec/zpost/smtpserver", "share/man/man8/zpost-master.8", "lib/sysusers.d/zpost.conf"]
    {
        assert!(prefix.join(needed).is_file(), "{needed}");
    }
    let unit = fs::read_to_string(prefix.join("lib/systemd/system/zpost.service")).unwrap();
    assert!(unit.contains("\nExecStart=/opt/zpost/sbin/zpost-master ") && !unit.contains("/usr/sbin"), "{unit}");

    let configuration = root.join("etc/zpost/zpost.toml");
    fs::write(&configuration, "mine").unwrap();
    assert!(install().status.success());
    assert_eq!(fs::read_to_string(&configuration).unwrap(), "mine");

    fs::remove_file(made.join("router")).unwrap();
    let output = install();
    assert_eq!(output.status.code(), Some(66));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cargo build --release"));
}
