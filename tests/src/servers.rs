//! Servers that answer for lookup tables: slapd, PostgreSQL, MariaDB. Each has a scratch folder, free ports and an
//! ordinary user, can be stopped and started again with what it holds, and ends when dropped.

use crate::logins::{private_file, run};
use crate::tls::self_signed;
use crate::{LONG, ORDINARY, free_port, installed, wait_until};
use nix::unistd::Uid;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Whether this can be tried here; says so where it cannot.
pub fn there(program: &str, package: &str) -> bool {
    let there = installed(program) || Path::new(program).exists();
    if !there {
        eprintln!("SKIPPED: needs the package {package}");
    }
    there
}

/// A server of some kind.
#[derive(Debug)]
pub struct Server {
    pub folder: TempDir,
    /// On 127.0.0.1, which its certificate is of, and on 127.0.0.2, which it is not of.
    pub port: u16,
    /// slapd: LDAP inside TLS.
    pub secure_port: u16,
    command: Vec<String>,
    process: Option<Child>,
    signal: nix::sys::signal::Signal,
}

impl Server {
    /// A folder with a certificate for 127.0.0.1 that is its own root: `server.pem`, and `server.key` as a server wants it.
    fn prepare(name: &str, signal: nix::sys::signal::Signal) -> Self {
        let folder = TempDir::with_prefix(format!("zpost-{name}-")).unwrap();
        self_signed(folder.path(), "server");
        // Of another authority: for those that should not believe the first.
        self_signed(folder.path(), "other");
        fs::set_permissions(folder.path().join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let server = Self { folder, port: free_port(), secure_port: free_port(), command: Vec::new(), process: None, signal };
        for path in [server.folder.path().to_owned(), server.path("server.key")] {
            own(&path);
        }
        server
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A file that only the ordinary user reads.
    pub fn secret(&self, name: &str, text: &str) -> String {
        private_file(&self.path(name), text, 0o600);
        self.at(name)
    }

    /// As the ordinary user; its output where it fails.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = ordinary(program);
        let output = command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        text
    }

    /// Returns when it accepts connections.
    pub fn start(&mut self) {
        let (program, arguments) = self.command.split_first().unwrap();
        let log = fs::OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap();
        let mut command = ordinary(program);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        self.process = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        let port = self.port;
        wait_until("the server listens", LONG, || {
            let ended = self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_some());
            assert!(!ended, "{} ended: {}", self.command.first().unwrap(), self.log());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(process.id()).unwrap());
            let _ = nix::sys::signal::kill(pid, self.signal);
            let _ = process.wait();
        }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.command.first().map_or("", String::as_str), self.log());
        }
    }
}

fn own(path: &Path) {
    if Uid::effective().is_root() {
        chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}

/// These servers do not want to be root.
fn ordinary(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", "/nonexistent").env_remove("LANG").env("LC_ALL", "C");
    if Uid::effective().is_root() {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    command
}

/// The newest PostgreSQL of the system.
fn postgresql_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max()
}

/// A PostgreSQL whose superuser `admin` is let in by the socket without a password; over TCP by SCRAM, `old` by MD5, `open`
/// by the password itself. `None`: it is not installed.
pub fn postgresql() -> Option<Server> {
    let Some(bin) = postgresql_programs() else {
        eprintln!("SKIPPED: needs the package postgresql");
        return None;
    };
    let mut server = Server::prepare("postgresql", nix::sys::signal::Signal::SIGINT);
    let (data, program) = (server.at("data"), |name: &str| bin.join(name).display().to_string());
    server.run(&program("initdb"), &["-D", &data, "-U", "admin", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8"]);
    let rules = "local all all trust\nhost all old 127.0.0.1/32 md5\nhost all open 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.path("data/pg_hba.conf"), rules).unwrap();
    let folder = server.folder.path().display().to_string();
    let mut command = vec![program("postgres"), "-D".to_owned(), data, "-p".to_owned(), server.port.to_string()];
    command.extend(["-k".to_owned(), folder.clone(), "-h".to_owned(), "127.0.0.1,127.0.0.2".to_owned(), "-F".to_owned()]);
    let settings = format!("ssl = on\nssl_cert_file = '{folder}/server.pem'\nssl_key_file = '{folder}/server.key'\n");
    let file = server.path("data/postgresql.conf");
    fs::write(&file, fs::read_to_string(&file).unwrap() + &settings).unwrap();
    server.command = command;
    server.start();
    Some(server)
}

impl Server {
    /// SQL as `admin` of PostgreSQL.
    pub fn psql(&self, statements: &str) -> String {
        let (folder, port) = (self.folder.path().display().to_string(), self.port.to_string());
        // It may still be starting, with its socket open.
        let arguments = ["-h", &folder, "-p", &port, "-U", "admin", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-Atqc"];
        wait_until("PostgreSQL is ready", LONG, || run("psql", &[&arguments[..], &["SELECT 1"]].concat()).0);
        self.run("psql", &[&arguments[..], &[statements]].concat())
    }

    /// SQL as `root` of MariaDB.
    pub fn mariadb(&self, statements: &str) -> String {
        self.run("mariadb", &["--no-defaults", "-S", &self.at("socket"), "-u", "root", "-NBe", statements])
    }
}

/// A MariaDB whose `root` is let in by the socket without a password, and that writes what statements fail into `errors`.
pub fn mariadb() -> Option<Server> {
    if !there("mariadbd", "mariadb-server") || !there("mariadb-install-db", "mariadb-server") {
        return None;
    }
    let mut server = Server::prepare("mariadb", nix::sys::signal::Signal::SIGTERM);
    let (data, folder) = (format!("--datadir={}", server.at("data")), server.folder.path().display().to_string());
    // Two that use one such folder take each other's files away.
    let (normal, scratch) = ("--auth-root-authentication-method=normal", format!("--tmpdir={folder}"));
    server.run("mariadb-install-db", &["--no-defaults", &data, normal, "--skip-test-db", "--skip-name-resolve", &scratch]);
    let mut command = vec!["/usr/sbin/mariadbd".to_owned(), "--no-defaults".to_owned(), data, scratch];
    command.extend([
        format!("--socket={folder}/socket"),
        format!("--port={}", server.port),
        "--bind-address=127.0.0.1,127.0.0.2".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--skip-log-bin".to_owned(),
        format!("--pid-file={folder}/pid"),
        format!("--ssl-cert={folder}/server.pem"),
        format!("--ssl-key={folder}/server.key"),
        "--plugin-load-add=sql_errlog".to_owned(),
        "--plugin-load-add=auth_ed25519".to_owned(),
        format!("--sql-error-log-filename={folder}/errors"),
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
    ]);
    server.command = command;
    server.start();
    Some(server)
}

/// A slapd with `dc=example,dc=org` and these entries below it (LDIF), whose manager is `cn=admin,dc=example,dc=org` with
/// the password `manager`: ldap://, StartTLS, ldaps:// and the socket `ldapi`.
pub fn slapd(entries: &str) -> Option<Server> {
    if !there("/usr/sbin/slapd", "slapd") {
        return None;
    }
    let mut server = Server::prepare("slapd", nix::sys::signal::Signal::SIGTERM);
    let at = server.folder.path().display().to_string();
    fs::create_dir(server.path("db")).unwrap();
    own(&server.path("db"));
    let conf = format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n\
         modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {at}/pid\n\
         TLSCertificateFile {at}/server.pem\nTLSCertificateKeyFile {at}/server.key\nTLSCACertificateFile {at}/server.pem\n\
         database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\nrootpw manager\ndirectory {at}/db\n\
         access to attrs=userPassword by anonymous auth\naccess to * by * read\n"
    );
    fs::write(server.path("conf"), conf).unwrap();
    let root = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: x\n\n";
    fs::write(server.path("ldif"), format!("{root}{entries}")).unwrap();
    server.run("/usr/sbin/slapadd", &["-f", &server.at("conf"), "-l", &server.at("ldif")]);
    let socket = server.at("ldapi").replace('/', "%2F");
    let (port, secure) = (server.port, server.secure_port);
    let both = ["127.0.0.1", "127.0.0.2"].map(|host| format!("ldap://{host}:{port} ldaps://{host}:{secure}"));
    let urls = format!("{} ldapi://{socket}", both.join(" "));
    server.command = ["/usr/sbin/slapd", "-d", "stats", "-f", &server.at("conf"), "-h", &urls].map(str::to_owned).to_vec();
    server.start();
    Some(server)
}
