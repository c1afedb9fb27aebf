//! A Postfix with a queue, a configuration and ports of its own, as the next hop. Needs root.

use crate::tls::self_signed;
use crate::{LONG, free_port, installed, wait_until};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Started, and stopped when dropped.
#[derive(Debug)]
pub struct Postfix {
    pub folder: TempDir,
    /// One for each server asked for, on 127.0.0.1.
    pub ports: Vec<u16>,
}

/// Whether a Postfix can be started here; says so where it cannot.
pub fn usable() -> bool {
    let usable = nix::unistd::Uid::effective().is_root() && installed("postfix");
    if !usable {
        eprintln!("SKIPPED: needs root and the package postfix");
    }
    usable
}

/// Below a folder whose name stands for `{at}`.
const MAIN: &str = "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {at}/data\nmaillog_file = {at}/log\n\
    maillog_file_prefixes = /tmp\ncommand_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
    mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = localhost\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
    mydestination =\nmynetworks = 127.0.0.0/8\nalias_maps =\nlocal_header_rewrite_clients =\n\
    smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_tls_cert_file = {at}/server.pem\n\
    smtpd_tls_key_file = {at}/server.key\nsmtpd_tls_security_level = may\nsmtpd_tls_ask_ccert = yes\nsmtpd_tls_loglevel = 1\n";

const SERVICES: &str = "cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\n\
    bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\ndiscard unix - - n - - discard\n\
    virtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\nsmtp unix - - n - - smtp\nretry unix - - n - - error\n\
    proxymap unix - - n - - proxymap\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
    postlog unix-dgram n - n - 1 postlogd\n";

impl Postfix {
    /// Throws everything away; one server.
    pub fn discarding() -> Self {
        Self::start("default_transport = discard:\n", &[""])
    }

    /// With further lines of main.cf and one server for each of `servers`, which are its `-o` options. `{at}` in both is the
    /// scratch folder.
    pub fn start(main: &str, servers: &[&str]) -> Self {
        let folder = TempDir::with_prefix("zpost-postfix-").unwrap();
        let root = folder.path();
        self_signed(root, "server");
        for below in ["queue", "data", "etc", "mail"] {
            fs::create_dir(root.join(below)).unwrap();
        }
        owned(root, "data", "postfix");
        owned(root, "mail", "nobody");
        let here = |text: &str| text.replace("{at}", &root.display().to_string());
        fs::write(root.join("etc/main.cf"), here(&format!("{MAIN}{main}"))).unwrap();
        let ports: Vec<u16> = servers.iter().map(|_| free_port()).collect();
        let listeners: String =
            ports.iter().zip(servers).map(|(port, options)| here(&format!("127.0.0.1:{port} inet n - n - - smtpd {options}\n"))).collect();
        fs::write(root.join("etc/master.cf"), format!("{listeners}{SERVICES}")).unwrap();
        let postfix = Self { folder, ports };
        postfix.run("start");
        for port in &postfix.ports {
            wait_until("Postfix listens", LONG, || TcpStream::connect(("127.0.0.1", *port)).is_ok());
        }
        postfix
    }

    fn run(&self, word: &str) {
        let mut postfix = Command::new("postfix");
        postfix.arg("-c").arg(self.folder.path().join("etc")).arg(word);
        postfix.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The messages in a Maildir below `mail/`.
    pub fn mailbox(&self, user: &str) -> Vec<Vec<u8>> {
        let new = self.folder.path().join("mail").join(user).join("new");
        crate::files(&new).iter().map(|name| fs::read(new.join(name)).unwrap()).collect()
    }
}

fn owned(root: &Path, below: &str, user: &str) {
    assert!(Command::new("chown").arg(user).arg(root.join(below)).status().unwrap().success());
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("stop");
        if std::thread::panicking() {
            eprintln!("--- log of Postfix:\n{}", self.log());
        }
    }
}
