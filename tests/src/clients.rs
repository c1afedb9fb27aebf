//! Real mail clients against a suite with logins: one message each, looked at when it has arrived.

use crate::logins::Site;
use crate::{LONG, Suite, files, wait_until};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user of [`site`].
pub const USER: &str = "tim";
/// Its password, with what configuration files like to take for something else.
pub const PASSWORD: &str = "tr0ub4dor,&=3";

/// What clients like to spoil: dots, `From `, blanks at the end of a line, a long line, empty lines.
pub fn awkward() -> String {
    let long = "0123456789".repeat(90);
    format!("first line\n.\n..two dots\n.one dot\nFrom the start of a line\nblanks  \n\ttab\n\n\n{long}\nlast line\n")
}

/// A suite with the user [`USER`] and listeners of every kind.
pub fn site() -> Site {
    let builder = Suite::builder();
    let lmtp = format!("kind = \"lmtp\"\nbind = \"unix:{}/lmtp\"", builder.folder().display());
    let auth = "backends = [\"file\"]\npassword_file = \"{at}/passwords\"\nfailure_delay = 0\nreceived_user = true\n";
    let site = Site::start(auth, builder.listening(&lmtp).with("[server]\nxclient = [\"127.0.0.0/8\"]\nxclient_repeated = true\n"));
    site.user(USER, PASSWORD, "");
    site
}

/// The address of a mailbox of [`site`].
pub fn address(user: &str) -> String {
    format!("{user}@local.example")
}

/// Where scripts/clients puts what no package installs; said and `None` where it is not.
pub fn brought(below: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target/clients").join(below);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no {}: scripts/clients brings it", path.display());
    None
}

/// Whether all of these are installed; says so where one is not.
pub fn usable(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs.iter().filter(|program| !crate::installed(program)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: {missing:?} not installed");
    }
    missing.is_empty()
}

/// Runs a client with its input; its output and whether it was content.
pub fn run_with(command: &mut Command, input: &[u8]) -> (bool, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// A message that has arrived.
#[derive(Debug)]
pub struct Arrived {
    pub header: String,
    pub body: Vec<u8>,
}

impl Arrived {
    /// The only message of a Maildir, once it is there.
    pub fn at(suite: &Suite, user: &str) -> Self {
        let folder = suite.path(&format!("mail/{user}/new"));
        wait_until(&format!("a message for {user}"), LONG, || !files(&folder).is_empty());
        let names = files(&folder);
        assert_eq!(names.len(), 1, "one message for {user}");
        let message = std::fs::read(folder.join(&names[0])).unwrap();
        let end = |mark: &[u8]| message.windows(mark.len()).position(|at| at == mark).map(|at| at + mark.len());
        // What came as BINARYMIME keeps its line ends.
        let end = end(b"\n\n").into_iter().chain(end(b"\r\n\r\n")).min();
        let end = end.unwrap_or_else(|| panic!("no header and body: {:?}", String::from_utf8_lossy(&message)));
        let (header, body) = message.split_at(end);
        Self { header: String::from_utf8_lossy(header).replace('\r', ""), body: body.to_vec() }
    }

    /// The body is this text, octet by octet, and our Received names this kind of session (RFC 3848).
    pub fn assert(&self, with: &str, body: &str) -> &Self {
        let got = String::from_utf8_lossy(&self.body);
        assert_eq!(got, body, "the body of\n{}", self.header);
        let unfolded = self.header.replace("\n\t", " ").replace("\n ", " ");
        let ours = unfolded.lines().find(|line| line.starts_with("Received: ") && line.contains("by mta.test.example")).unwrap_or_default();
        assert!(ours.contains(&format!(" with {with} ")), "{with}: {unfolded}");
        let login = with.ends_with("SA") || with.ends_with("TPA");
        assert_eq!(ours.contains(&format!("authenticated as {USER}")), login, "{ours}");
        self
    }
}

/// The log has a login by this mechanism.
pub fn assert_login(site: &Site, mechanism: &str) {
    site.suite.logged(&format!("login user={USER} peer=127.0.0.1 mechanism={mechanism} tls=true"));
}
