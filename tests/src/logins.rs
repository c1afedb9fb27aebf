//! A suite whose users have to log in, for the tests of AUTH.

use crate::{ORDINARY, Suite, SuiteBuilder, free_port, programs, tls};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A suite with TLS and AUTH that trusts no network.
#[derive(Debug)]
pub struct Site {
    pub suite: Suite,
    /// Of submission (STARTTLS).
    pub submission: u16,
    /// Of submissions (TLS from the first byte).
    pub submissions: u16,
}

impl Site {
    /// With these lines in `[auth]` (`{at}`: the suite's folder), and what the builder brings.
    pub fn start(auth: &str, builder: SuiteBuilder) -> Self {
        let mut site = Self::prepare(auth, builder);
        site.suite.start();
        site
    }

    pub fn prepare(auth: &str, builder: SuiteBuilder) -> Self {
        let (submission, submissions) = (free_port(), free_port());
        let suite = builder
            .with_maildirs()
            .listening(&format!("kind = \"submission\"\nbind = \"127.0.0.1:{submission}\""))
            .listening(&format!("kind = \"submissions\"\nbind = \"127.0.0.1:{submissions}\""))
            .with("[[certificate]]\nchain = \"{at}/server.pem\"\nkey = \"{at}/server.key\"\n")
            .with(&format!("[auth]\n{auth}\n"))
            .prepare();
        tls::self_signed(suite.folder.path(), "server");
        let at = suite.folder.path().display().to_string();
        let text = fs::read_to_string(suite.config()).unwrap().replace("{at}", &at);
        // Nobody may relay for being on this machine.
        let text = text.replace("networks = [\"127.0.0.0/8\", \"::1\"]", "networks = []");
        fs::write(suite.config(), text).unwrap();
        suite.give_away();
        Self { suite, submission, submissions }
    }

    pub fn path(&self, name: &str) -> String {
        self.suite.path(name).display().to_string()
    }

    /// `zpost passwd`.
    pub fn passwd(&self, arguments: &[&str], password: &str) -> Output {
        let mut command = self.suite.command(programs().join("zpost"));
        command.arg("passwd").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes());
        child.wait_with_output().unwrap()
    }

    /// A user of the password file.
    pub fn user(&self, name: &str, password: &str, senders: &str) {
        let output = self.passwd(&["--stdin", "--senders", senders, name], password);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A session inside TLS.
    pub fn session(&self) -> crate::load::Session {
        crate::load::Session::open_secure(self.submission, &tls::client()).unwrap()
    }

    /// AUTH PLAIN; the reply.
    pub fn plain(&self, user: &str, password: &str) -> (u16, String) {
        self.session().command(&format!("AUTH PLAIN {}", plain(user, password))).unwrap()
    }

    /// Messages in a Maildir.
    pub fn delivered(&self, user: &str) -> usize {
        crate::files(&self.suite.path(&format!("mail/{user}/new"))).len()
    }
}

/// The message of PLAIN.
pub fn plain(user: &str, password: &str) -> String {
    data_encoding::BASE64.encode(format!("\0{user}\0{password}").as_bytes())
}

/// A file of the suite's user.
pub fn private_file(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
}

/// Runs a client with words between blanks; its output and whether it was content.
pub fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}
