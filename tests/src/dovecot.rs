//! A Dovecot with a configuration, a port and users of its own: LMTP over a unix socket and TCP, and logins for Postfix.
//! Needs root.

use crate::tls::self_signed;
use crate::{LONG, free_port, installed, wait_until};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Started, and stopped when dropped.
#[derive(Debug)]
pub struct Dovecot {
    pub folder: TempDir,
    /// LMTP with STARTTLS on 127.0.0.1.
    pub port: u16,
    process: Child,
}

/// Whether a Dovecot with LMTP can be started here; says so where it cannot.
pub fn usable() -> bool {
    let usable = nix::unistd::Uid::effective().is_root() && installed("dovecot") && Path::new("/usr/lib/dovecot/lmtp").exists();
    if !usable {
        eprintln!("SKIPPED: needs root and the package dovecot-lmtpd");
    }
    usable
}

/// Below a folder whose name stands for `{at}`.
const SETTINGS: &str = "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\nprotocols = lmtp\nlisten = 127.0.0.1\n\
    ssl = yes\nssl_cert = <{at}/server.pem\nssl_key = <{at}/server.key\nauth_mechanisms = plain login cram-md5 scram-sha-256\n\
    auth_failure_delay = 0\nauth_verbose = yes\nmail_location = maildir:{at}/mail/%n\n\
    passdb {\n driver = passwd-file\n args = {at}/users\n}\nuserdb {\n driver = passwd-file\n args = {at}/users\n}\n\
    service auth {\n unix_listener {at}/auth {\n mode = 0666\n }\n}\n\
    service lmtp {\n unix_listener {at}/lmtp {\n mode = 0666\n }\n inet_listener lmtp {\n address = 127.0.0.1\n port = {port}\n }\n}\n";

impl Dovecot {
    /// With users `name:password`; what stands behind a further colon are userdb fields (passwd-file).
    pub fn start(users: &[&str]) -> Self {
        let folder = TempDir::with_prefix("zpost-dovecot-").unwrap();
        let (root, port) = (folder.path(), free_port());
        self_signed(root, "server");
        fs::create_dir(root.join("mail")).unwrap();
        chown(root.join("mail"), Some(crate::ORDINARY), Some(crate::ORDINARY)).unwrap();
        let line = |user: &&str| {
            let fields: Vec<&str> = user.splitn(3, ':').collect();
            let (name, password, more) = (fields[0], fields[1], fields.get(2).copied().unwrap_or_default());
            format!("{name}:{{PLAIN}}{password}:{0}:{0}::/nonexistent::{more}\n", crate::ORDINARY)
        };
        let here = |text: &str| text.replace("{at}", &root.display().to_string()).replace("{port}", &port.to_string());
        fs::write(root.join("users"), here(&users.iter().map(line).collect::<String>())).unwrap();
        fs::set_permissions(root.join("users"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(root.join("dovecot.conf"), here(SETTINGS)).unwrap();
        let mut command = Command::new("/usr/sbin/dovecot");
        command.arg("-F").arg("-c").arg(root.join("dovecot.conf"));
        let errors = fs::File::create(root.join("stderr")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        let dovecot = Self { folder, port, process };
        wait_until("Dovecot listens", LONG, || TcpStream::connect(("127.0.0.1", port)).is_ok() && dovecot.auth().exists());
        dovecot
    }

    /// The socket for Postfix's `smtpd_sasl_path`.
    pub fn auth(&self) -> PathBuf {
        self.folder.path().join("auth")
    }

    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("stderr") + &read("log")
    }

    /// The messages in a user's mailbox.
    pub fn mailbox(&self, user: &str) -> Vec<Vec<u8>> {
        let new = self.folder.path().join("mail").join(user).join("new");
        crate::files(&new).iter().map(|name| fs::read(new.join(name)).unwrap()).collect()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let master = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = nix::sys::signal::kill(master, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of Dovecot:\n{}", self.log());
        }
    }
}
