//! A DNS world of our own, signed for real: nsd serves a root zone and zones below it, made by ldns-keygen and
//! ldns-signzone; unbound validates it for those who trust its AD bit.

use crate::{LONG, free_port, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Zones being described, and then served.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    zones: Vec<Zone>,
    pub port: u16,
    server: Option<Child>,
    validator: Option<Child>,
}

#[derive(Debug)]
struct Zone {
    name: String,
    records: String,
    kind: Kind,
}

/// How a zone is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Signed,
    /// Not signed, and its parent proves that.
    Unsigned,
    /// Signed, then changed: the signatures of its A, MX and TLSA records are wrong.
    Broken,
}

const SOA: &str = "@ 300 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 60\n@ 300 IN NS ns.invalid.\n";

impl World {
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("zpost-zone-").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, zones: Vec::new(), port: free_port(), server: None, validator: None }
    }

    /// Are the programs there?
    pub fn possible() -> bool {
        ["nsd", "unbound", "ldns-keygen", "ldns-signzone"].iter().all(|program| crate::installed(program))
    }

    /// A zone right below the root, in the form of zone files, without SOA and NS.
    pub fn zone(mut self, name: &str, kind: Kind, records: &str) -> Self {
        self.zones.push(Zone { name: name.to_owned(), records: records.to_owned(), kind });
        self
    }

    /// Signs and serves. Returns when the server answers.
    pub fn serve(mut self) -> Self {
        let mut root = format!("$ORIGIN .\n{SOA}");
        let mut served = String::new();
        for zone in &self.zones {
            let file = self.path(&zone.name);
            fs::write(&file, format!("$ORIGIN {}.\n{SOA}{}\n", zone.name, zone.records)).unwrap();
            root.push_str(&format!("{}. 300 IN NS ns.invalid.\n", zone.name));
            let last = if zone.kind == Kind::Unsigned { file } else { self.sign(&zone.name, &mut root) };
            if zone.kind == Kind::Broken {
                tamper(&last);
            }
            served.push_str(&format!("zone:\n name: \"{}\"\n zonefile: \"{}\"\n", zone.name, last.display()));
        }
        fs::write(self.path("root"), root).unwrap();
        let signed = self.sign_root();
        served.push_str(&format!("zone:\n name: \".\"\n zonefile: \"{}\"\n", signed.display()));
        let folder = self.folder.path().display();
        let configuration = format!(
            "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n chroot: \"\"\n pidfile: \"{folder}/nsd.pid\"\n zonesdir: \"{folder}\"\n \
             zonelistfile: \"{folder}/zone.list\"\n xfrdfile: \"\"\n xfrdir: \"{folder}\"\n database: \"\"\n server-count: 1\n verbosity: 1\n rrl-ratelimit: 0\n\
             remote-control:\n control-enable: no\n{served}",
            port = self.port
        );
        fs::write(self.path("nsd.conf"), configuration).unwrap();
        self.server = Some(start(Command::new(program("nsd")).arg("-d").arg("-c").arg(self.path("nsd.conf")), &self.path("nsd.log")));
        let port = self.port;
        answers(port, "the zones are served", &self.path("nsd.log"));
        self
    }

    /// A validating server in front; its port.
    pub fn validator(&mut self) -> u16 {
        let (port, folder) = (free_port(), self.folder.path().display());
        let configuration = format!(
            "server:\n interface: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n pidfile: \"{folder}/unbound.pid\"\n directory: \"{folder}\"\n \
             trust-anchor-file: \"{anchor}\"\n do-not-query-localhost: no\n module-config: \"validator iterator\"\n use-syslog: no\n num-threads: 1\n \
             qname-minimisation: no\n local-zone: \"example.\" transparent\n local-zone: \"test.\" transparent\n local-zone: \"invalid.\" transparent\n\
             remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n forward-addr: 127.0.0.1@{upstream}\n",
            anchor = self.anchor().display(),
            upstream = self.port
        );
        fs::write(self.path("unbound.conf"), configuration).unwrap();
        let mut command = Command::new(program("unbound"));
        self.validator = Some(start(command.arg("-d").arg("-c").arg(self.path("unbound.conf")), &self.path("unbound.log")));
        answers(port, "the validator answers", &self.path("unbound.log"));
        port
    }

    /// The root's key, as `[dns] trust_anchor` wants it.
    pub fn anchor(&self) -> PathBuf {
        self.path("anchor")
    }

    /// `[dns]` of a suite that lives in this world.
    pub fn dns(&self) -> String {
        format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ntrust_anchor = \"{}\"\n", self.port, self.anchor().display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key, signs, and gives the parent the DS record.
    fn sign(&self, zone: &str, parent: &mut String) -> PathBuf {
        let key = self.keys(zone);
        parent.push_str(&fs::read_to_string(self.path(&format!("{key}.ds"))).unwrap());
        run(Command::new("ldns-signzone").current_dir(self.folder.path()).args(["-o", zone, zone, &key]));
        self.path(&format!("{zone}.signed"))
    }

    fn sign_root(&self) -> PathBuf {
        let key = self.keys(".");
        fs::copy(self.path(&format!("{key}.key")), self.anchor()).unwrap();
        fs::set_permissions(self.anchor(), fs::Permissions::from_mode(0o644)).unwrap();
        run(Command::new("ldns-signzone").current_dir(self.folder.path()).args(["-o", ".", "root", &key]));
        self.path("root.signed")
    }

    fn keys(&self, zone: &str) -> String {
        let mut command = Command::new("ldns-keygen");
        run(command.current_dir(self.folder.path()).args(["-a", "ECDSAP256SHA256", "-k", "-r", "/dev/urandom", zone]))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["nsd.log", "unbound.log"] {
                eprintln!("--- {log}:\n{}", fs::read_to_string(self.path(log)).unwrap_or_default());
            }
        }
        for mut child in [self.validator.take(), self.server.take()].into_iter().flatten() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::Signal::SIGTERM);
            let _ = child.wait();
        }
    }
}

/// Changes data under its signature.
fn tamper(zone: &Path) {
    let text = fs::read_to_string(zone).unwrap();
    let changed = |line: &str| {
        let field = line.split_ascii_whitespace().nth(3).unwrap_or_default().to_owned();
        match field.as_str() {
            "A" => line.replace("127.0.0.", "127.0.9."),
            "MX" => line.replace("\tMX\t10", "\tMX\t11"),
            "TLSA" => line.replace("\tTLSA\t3", "\tTLSA\t2"),
            _ => line.to_owned(),
        }
    };
    let text: Vec<String> = text.lines().map(changed).collect();
    fs::write(zone, text.join("\n") + "\n").unwrap();
}

fn program(name: &str) -> PathBuf {
    let system = Path::new("/usr/sbin").join(name);
    if system.exists() { system } else { PathBuf::from(name) }
}

fn start(command: &mut Command, log: &Path) -> Child {
    let log = fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until a server answers a question for the root's SOA.
fn answers(port: u16, what: &str, log: &Path) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let query = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];
    let mut reply = [0; 1500];
    let what = format!("{what} (see {})", log.display());
    wait_until(&what, LONG, || {
        let _ = socket.send_to(&query, ("127.0.0.1", port));
        // The last four bits of the flags: no error.
        socket.recv(&mut reply).is_ok_and(|length| length > 12 && reply[3] & 15 == 0)
    });
}
