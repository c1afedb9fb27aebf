//! Exim as a client.

use crate::ORDINARY;
use crate::clients::{brought, run_with};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An Exim that is only unpacked: its user, its spool and its configuration are given to it. Needs root.
#[derive(Debug)]
pub struct Exim {
    program: PathBuf,
    pub folder: tempfile::TempDir,
}

/// That the program finds its user without one being made here.
fn wrapper() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").unwrap().flatten().map(|e| e.path().join("libnss_wrapper.so")).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: no libnss_wrapper.so (libnss-wrapper)");
    }
    found
}

impl Exim {
    /// The program, where it can be used.
    pub fn usable() -> Option<PathBuf> {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("SKIPPED: Exim needs root");
            return None;
        }
        wrapper().and_then(|_| brought("root/usr/sbin/exim4"))
    }

    /// Everything goes to a port of ours, with `options` of the smtp transport.
    pub fn prepare(program: &Path, port: u16, options: &str) -> Self {
        let folder = tempfile::TempDir::with_prefix("zpost-exim-").unwrap();
        let at = folder.path();
        for (name, text) in [
            ("passwd", "root:x:0:0::/root:/bin/sh\nDebian-exim:x:65534:65534::/tmp:/bin/false\n".to_owned()),
            ("group", "root:x:0:\nDebian-exim:x:65534:\n".to_owned()),
        ] {
            fs::write(at.join(name), text).unwrap();
        }
        // Its user may not be able to look into the folder where it was unpacked.
        let own = at.join("exim4");
        fs::copy(program, &own).unwrap();
        let configuration = format!(
            "primary_hostname = exim.example\nexim_path = {0}/exim4\nspool_directory = {0}/spool\nlog_file_path = {0}/%slog\nlog_selector = +all\n\
             keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP\ndeliver_drop_privilege = true\nnever_users =\n\
             dns_ipv4_lookup = *\nlocal_interfaces = 127.0.0.1\n\
             begin routers\nall:\n driver = manualroute\n transport = out\n route_list = * localhost byname\n self = send\n\
             begin transports\nout:\n driver = smtp\n port = {port}\n hosts_require_tls = *\n tls_verify_hosts = *\n\
             tls_verify_certificates = {0}/ca.pem\n{options}\nbegin retry\n* * F,1h,1m\n",
            at.display()
        );
        fs::write(at.join("exim.conf"), configuration).unwrap();
        std::os::unix::fs::chown(at, Some(ORDINARY), Some(ORDINARY)).unwrap();
        Self { program: own, folder }
    }

    /// Sends at once, to users of `local.example`.
    pub fn send(&self, to: &[&str], input: &[u8]) -> (bool, String) {
        let mut exim = Command::new(&self.program);
        exim.arg("-C").arg(self.folder.path().join("exim.conf")).args(["-odf", "-i", "-f", "a@far.example"]);
        exim.args(to.iter().map(|to| format!("{to}@local.example")));
        exim.env("LD_PRELOAD", wrapper().unwrap());
        for name in ["passwd", "group"] {
            exim.env(format!("NSS_WRAPPER_{}", name.to_uppercase()), self.folder.path().join(name));
        }
        run_with(&mut exim, input)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("mainlog")).unwrap_or_default()
    }
}
