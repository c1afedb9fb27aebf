//! AUTH: the back-ends of others. A real Dovecot, PAM, slapd; an introspection server in Python; a hostile Dovecot.

use end_to_end::dovecot::Dovecot;
use end_to_end::logins::{Site, plain, private_file, run};
use end_to_end::{LONG, Suite, installed, servers, wait_until};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "tr0ub4dor,&=3";

fn is_root() -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        eprintln!("SKIPPED: needs root");
    }
    root
}

#[test]
fn dovecot_judges_what_it_knows_and_the_file_comes_first() {
    if !end_to_end::dovecot::usable() {
        return;
    }
    let dovecot = Dovecot::start(&[&format!("tim:{PASSWORD}"), "ann:other"]);
    fs::set_permissions(dovecot.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let auth = format!(
        "backends = [\"file\", \"dovecot\"]\npassword_file = \"{{at}}/passwords\"\nfailure_delay = 0\nfailures_per_address = 0\n\
         dovecot_socket = \"{}\"\nmechanisms = [\"PLAIN\", \"LOGIN\", \"CRAM-MD5\"]\n",
        dovecot.auth().display()
    );
    let site = Site::start(&auth, Suite::builder());
    site.user("ann", "ours", "");
    assert_eq!(site.plain("tim", PASSWORD).0, 235);
    assert_eq!(site.plain("tim", "wrong").0, 535);
    assert_eq!((site.plain("ann", "ours").0, site.plain("ann", "other").0), (235, 535), "whom the file knows Dovecot is not asked about");
    let port = site.submission.to_string();
    let swaks = |password: &str| {
        let arguments = ["--server", "127.0.0.1", "--port", &port, "--tls", "--auth", "CRAM-MD5", "--quit-after", "auth"];
        run("swaks", &[&arguments[..], &["--auth-user", "tim", "--auth-password", password]].concat())
    };
    let (good, text) = swaks(PASSWORD);
    assert!(good && text.contains("235 2.7.0"), "{text}");
    let (_, text) = swaks("wrong");
    assert!(text.contains("535 5.7.8"), "{text}");
    site.suite.logged("login user=tim peer=127.0.0.1 mechanism=CRAM-MD5");
    let log = site.suite.log();
    assert!(!log.contains(PASSWORD) && !log.contains(&plain("tim", PASSWORD)));
    drop(dovecot);
    assert_eq!(site.plain("ann", "ours").0, 235, "who is not Dovecot's does not miss it");
}

/// SCRAM through Dovecot: our server only carries it.
#[test]
fn scram_passes_through_to_dovecot() {
    if !end_to_end::dovecot::usable() || !installed("gsasl") {
        return;
    }
    let dovecot = Dovecot::start(&[&format!("tim:{PASSWORD}")]);
    fs::set_permissions(dovecot.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = dovecot.auth().display().to_string();
    let auth =
        format!("backends = [\"dovecot\"]\nfailure_delay = 0\ndovecot_socket = \"{socket}\"\nmechanisms = [\"SCRAM-SHA-256\", \"NTLM\"]\n");
    let site = Site::start(&auth, Suite::builder());
    let (ca, port) = (format!("--x509-ca-file={}", site.path("server.pem")), site.submission.to_string());
    let gsasl = |password: &str| {
        let password = format!("--password={password}");
        let arguments = ["--smtp", "--no-cb", "--mechanism=SCRAM-SHA-256", "--authentication-id=tim"];
        run("gsasl", &[&arguments[..], &[&ca, &password, "localhost", &port]].concat()).1
    };
    let text = gsasl(PASSWORD);
    assert!(text.contains("235 2.7.0"), "{text}\n{}", dovecot.log());
    let text = gsasl("wrong");
    assert!(text.contains("535 5.7.8"), "{text}");
    assert_eq!(site.session().command("AUTH NTLM").unwrap().0, 504, "Dovecot does not know it");
}

/// attacks.md 52: a socket that answers what it wants. Nobody logs in by it, and it is asked again.
#[test]
fn a_dovecot_out_of_its_mind() {
    let mut site = Site::prepare(
        "backends = [\"dovecot\"]\ndovecot_socket = \"{at}/socket\"\nfailure_delay = 0\ntimeout = \"2s\"\n",
        Suite::builder(),
    );
    let listener = UnixListener::bind(site.suite.path("socket")).unwrap();
    fs::set_permissions(site.suite.path("socket"), fs::Permissions::from_mode(0o666)).unwrap();
    let greeting = "VERSION\t1\t2\nMECH\tPLAIN\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n";
    // What each connection gets for its greeting, and for the first request.
    let plan: Vec<(String, String)> = vec![
        (greeting.into(), "OK\t#\tuser=tim\tuser=root\n".into()),
        (greeting.into(), "OK\t#\tuser=tim\tuid=0\n".into()),
        (greeting.into(), "OK\t#\n".into()),
        (greeting.into(), "OK\tx\tuser=tim\n".into()),
        (greeting.into(), "x".repeat(100_000)),
        (greeting.into(), "\u{0}\u{1}\u{2}\n".repeat(1000)),
        (greeting.into(), "CONT\t#\t!!!\n".into()),
        (greeting.into(), "OK\t999999\tuser=tim\n".into()),
        ("HTTP/1.1 200 OK\r\n\r\n".into(), String::new()),
        ("OK\t1\tuser=tim\n".into(), String::new()),
        (greeting.into(), "OK\t#\tuser=root\n".into()),
        (greeting.into(), "OK\t#\tuser=tim\n".into()),
    ];
    let count = plan.len();
    let (next, wanted) = std::sync::mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        for (greeting, answer) in plan {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.write_all(greeting.as_bytes());
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            let mut line = String::new();
            while greeting.contains("DONE") && !line.starts_with("AUTH") {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
            }
            let number = line.split('\t').nth(1).unwrap_or_default().to_owned();
            let _ = socket.write_all(answer.replace('#', &number).as_bytes());
            wanted.recv().unwrap();
        }
    });
    site.suite.start();
    let answers: Vec<u16> = (1..=count)
        .map(|round| {
            let (code, _) = site.plain("tim", PASSWORD);
            next.send(()).unwrap();
            // Each login has a connection of its own: the one before has ended.
            wait_until("the connection ends", LONG, || site.suite.log().matches("backend_failed").count() == round);
            code
        })
        .collect();
    let (last, hostile) = answers.split_last().unwrap();
    let (root, hostile) = hostile.split_last().unwrap();
    assert!(hostile.iter().all(|code| *code == 454), "{answers:?}");
    assert_eq!((*root, *last), (535, 235), "{answers:?}");
    server.join().unwrap();
}

/// A service of PAM's that is removed again.
struct Service(PathBuf);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn pam_judges_in_a_process_of_its_own() {
    if !Path::new("/etc/pam.d").is_dir() || !is_root() {
        return;
    }
    let name = format!("zpost-test-{}", std::process::id());
    let service = Service(Path::new("/etc/pam.d").join(&name));
    let auth = format!("backends = [\"pam\"]\npam_service = \"{name}\"\nfailure_delay = 0\ntimeout = \"5s\"\nfailures_per_address = 0\n");
    let site = Site::start(&auth, Suite::builder());
    let check = site.suite.path("check");
    let script = format!(
        "#!/bin/sh\np=$(tr -d '\\0')\n[ \"$PAM_USER\" = slow ] && sleep 60\n[ \"$PAM_USER\" = tim ] && [ \"$p\" = '{PASSWORD}' ] && [ \"$PAM_RHOST\" = 127.0.0.1 ]\n"
    );
    fs::write(&check, script).unwrap();
    fs::set_permissions(&check, fs::Permissions::from_mode(0o755)).unwrap();
    // As Debian writes common-auth: what a module that failed says is not what PAM says.
    let rules = format!(
        "auth [success=1 default=ignore] pam_exec.so quiet expose_authtok {}\nauth requisite pam_deny.so\nauth required pam_permit.so\n\
         account required pam_permit.so\n",
        check.display()
    );
    fs::write(&service.0, &rules).unwrap();
    assert_eq!(site.plain("tim", PASSWORD).0, 235);
    assert_eq!(site.plain("tim", "wrong").0, 535);
    assert_eq!(site.plain("ann", PASSWORD).0, 535);
    assert_eq!(site.plain("slow", PASSWORD).0, 454, "a module that hangs");
    // An account that is closed: the password is right, the account is not.
    fs::write(&service.0, rules.replace("account required pam_permit.so", "account required pam_deny.so")).unwrap();
    assert_eq!(site.plain("tim", PASSWORD).0, 535);
    assert!(!site.suite.log().contains(PASSWORD));
}

/// Ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A certificate for 127.0.0.1 that is its own root, and may be a server's.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=back-end"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("backend.key"))
        .arg("-out")
        .arg(folder.join("backend.pem"))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    for file in ["backend.key", "backend.pem"] {
        fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn ldap_binds_in_the_clear_on_loopback_and_inside_tls() {
    let tim = format!("dn: cn=tim,dc=example,dc=org\nobjectClass: person\ncn: tim\nsn: tim\nuserPassword: {PASSWORD}\n\n");
    let Some(slapd) = servers::slapd(&tim) else { return };
    let (clear, secure) = (slapd.port, slapd.secure_port);
    for server in [format!("ldap://127.0.0.1:{clear}"), format!("ldaps://127.0.0.1:{secure}")] {
        let auth = format!(
            "backends = [\"ldap\"]\nldap_server = \"{server}\"\nldap_dn = \"cn=%n,dc=example,dc=org\"\nroots = \"{{at}}/backend.pem\"\nfailure_delay = 0\n"
        );
        let mut site = Site::prepare(&auth, Suite::builder());
        fs::copy(slapd.path("server.pem"), site.suite.path("backend.pem")).unwrap();
        site.suite.give_away();
        site.suite.start();
        assert_eq!(site.plain("tim", PASSWORD).0, 235, "{server}");
        assert_eq!(site.plain("tim@anywhere.example", PASSWORD).0, 235, "%n is what is before the @");
        assert_eq!(site.plain("tim", "wrong").0, 535);
        assert_eq!(site.plain("ann", PASSWORD).0, 535);
        assert_eq!(site.plain("tim,dc=example,dc=org", PASSWORD).0, 535);
    }
}

/// Tokens: `good-tim` is Tim's, `stale` is nobody's, `broken` makes the server fail.
const INTROSPECTION: &str = r#"
import http.server, json, ssl, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        token = form["token"][0]
        if self.headers["authorization"] != "Basic bXRhOnMzY3JldA==":
            self.send_response(401); self.end_headers(); return
        if token == "broken":
            self.send_response(500); self.end_headers(); return
        answer = {"active": token.startswith("good-")}
        if answer["active"]:
            answer.update(username=token[5:].rstrip("=/+"), scope="openid smtp")
        text = json.dumps(answer).encode()
        self.send_response(200); self.send_header("content-length", str(len(text))); self.end_headers(); self.wfile.write(text)
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn curl_logs_in_by_tokens() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let file = |name: &str| folder.path().join(name);
    let mut command = Command::new("python3");
    command.arg("-c").arg(INTROSPECTION).arg(file("backend.pem")).arg(file("backend.key")).stdout(Stdio::piped());
    let mut server = Process(command.spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let auth = format!(
        "backends = [\"token\"]\ntoken_url = \"https://127.0.0.1:{}/introspect\"\ntoken_credentials = \"{{at}}/credentials\"\n\
         token_scope = \"smtp\"\nroots = \"{{at}}/backend.pem\"\nfailure_delay = 0\n",
        port.trim()
    );
    let mut site = Site::prepare(&auth, Suite::builder());
    fs::copy(file("backend.pem"), site.suite.path("backend.pem")).unwrap();
    private_file(&site.suite.path("credentials"), "mta:s3cret\n", 0o600);
    site.suite.give_away();
    site.suite.start();
    let message = site.path("message");
    fs::write(&message, "Subject: x\r\n\r\nhello\r\n").unwrap();
    let curl = |mechanism: &str, user: &str, token: &str, to: &str| {
        let (url, ca) = (format!("smtp://localhost:{}", site.submission), site.path("server.pem"));
        let (to, option) = (format!("{to}@local.example"), format!("AUTH={mechanism}"));
        let login = ["--url", &url, "--ssl-reqd", "--cacert", &ca, "--user", user, "--oauth2-bearer", token, "--login-options", &option];
        run("curl", &[&["-sv"], &login[..], &["--mail-from", "tim@local.example", "--mail-rcpt", &to, "-T", &message]].concat())
    };
    for (mechanism, to) in [("OAUTHBEARER", "bearer"), ("XOAUTH2", "xoauth")] {
        let (good, text) = curl(mechanism, "tim", "good-tim", to);
        assert!(good, "{text}");
        wait_until("curl's message is delivered", LONG, || site.delivered(to) == 1);
        let (good, text) = curl(mechanism, "ann", "good-tim", "nobody");
        assert!(!good && text.contains("535 5.7.8"), "another's token: {text}");
        let (good, text) = curl(mechanism, "tim", "stale", "nobody");
        assert!(!good && text.contains("535 5.7.8"), "{text}");
    }
    let (good, text) = curl("XOAUTH2", "tim", "broken", "nobody");
    assert!(!good && text.contains("454 4.7.0"), "{text}");
    site.suite.logged("login user=tim peer=127.0.0.1 mechanism=OAUTHBEARER");
    let log = site.suite.log();
    assert!(!log.contains("good-tim") && !log.contains("s3cret"), "{log}");
}
