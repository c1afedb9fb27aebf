//! TLS with clients against openssl and Python: what is refused, what is resumed and where, keys that come and go, and
//! clients that are known by their certificates.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, free_port, pem, tls, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const NAMES: &[&str] = &["mta.test.example", "localhost"];

/// `openssl s_client` with STARTTLS; QUIT once the handshake is done.
fn s_client(port: u16, arguments: &[&str]) -> Output {
    // With -ign_eof it goes on until the server closes, so that tickets have come.
    let script = r#"port=$1; shift; echo QUIT | openssl s_client -starttls smtp -crlf -ign_eof -connect 127.0.0.1:$port "$@" 2>&1"#;
    Command::new("sh").args(["-c", script, "sh", &port.to_string()]).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_established(output: &Output) -> bool {
    let text = text(output);
    text.contains("Cipher is ") && !text.contains("Cipher is (NONE)") && !text.contains("no application protocol")
}

fn pid_of(suite: &Suite, service: &str) -> Option<u32> {
    suite.pids().into_iter().find(|(name, _)| name == service).map(|(_, pid)| pid)
}

fn end_by_force(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

/// attacks.md 22, and the ALPACA attack: a browser that was sent here by force is not served.
#[test]
fn other_protocols_get_no_session() {
    let suite = Suite::builder().with_certificate("one", NAMES).start();
    for (protocols, welcome) in [("h2,http/1.1", false), ("http/1.1", false), ("imap", false), ("smtp", true), ("h2,smtp", true)] {
        let output = s_client(suite.port, &["-alpn", protocols]);
        assert_eq!(is_established(&output), welcome, "{protocols}: {}", text(&output));
        assert!(welcome || text(&output).contains("no application protocol"), "{}", text(&output));
    }
    assert!(is_established(&s_client(suite.port, &[])), "who asks for none is served");
    assert_eq!(suite.counter("smtpserver", "tls_failures"), 3);
}

/// attacks.md 22: openssl asks for another handshake within the session, by `R`.
#[test]
fn no_second_handshake_within_a_session() {
    let suite = Suite::builder().with_certificate("one", NAMES).start();
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-starttls", "smtp", "-tls1_2", "-legacy_renegotiation", "-connect", &format!("127.0.0.1:{}", suite.port)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It ends by itself when it is refused, not because its input ends.
    let mut input = openssl.stdin.take().unwrap();
    input.write_all(b"R\n").unwrap();
    let mut output = openssl.wait_with_output().unwrap();
    output.stdout.append(&mut output.stderr.clone());
    assert!(is_established(&output) && text(&output).contains("RENEGOTIATING"), "{}", text(&output));
    assert!(text(&output).contains("no renegotiation"), "{}", text(&output));
    assert_eq!(suite.counter("smtpserver", "tls_sessions"), 1);
    assert!(is_established(&s_client(suite.port, &[])));
}

/// A session saved at one port and taken up at another; true: it was resumed.
fn resumes(saved: &Path, port: u16, version: &str) -> bool {
    let output = s_client(port, &[version, "-sess_in", saved.to_str().unwrap()]);
    assert!(is_established(&output), "{}", text(&output));
    let resumed = text(&output).contains("Reused, TLS");
    assert!(resumed || text(&output).contains("New, TLS"), "{}", text(&output));
    resumed
}

/// attacks.md 23.
#[test]
fn sessions_are_resumed_by_all_workers_of_a_service_and_nowhere_else() {
    let submission = free_port();
    let builder =
        Suite::builder().with_certificate("one", NAMES).listening(&format!("kind = \"submission\"\nbind = \"127.0.0.1:{submission}\""));
    let mut suite = builder.with("[processes]\nsmtpserver_min = 3\nsmtpserver_max = 3\n").start();
    for version in ["-tls1_2", "-tls1_3"] {
        let saved = suite.path(&format!("session{version}"));
        let output = s_client(suite.port, &[version, "-sess_out", saved.to_str().unwrap()]);
        assert!(text(&output).contains("New, TLS") && saved.exists(), "{}", text(&output));
        let before = suite.counter("smtpserver", "tls_resumed");
        for _ in 0..6 {
            assert!(resumes(&saved, suite.port, version), "{version}: whichever worker it comes to");
        }
        assert_eq!(suite.counter("smtpserver", "tls_resumed"), before + 6);
        assert!(!resumes(&saved, submission, version), "{version}: another service");
    }
    // Workers come and go; the tickets stay good.
    let workers: Vec<u32> = suite.pids().into_iter().filter(|(name, _)| name == "smtpserver").map(|(_, pid)| pid).collect();
    assert_eq!(workers.len(), 3);
    workers.iter().copied().for_each(end_by_force);
    wait_until("new workers", LONG, || {
        let now = suite.pids();
        now.iter().filter(|(name, pid)| name == "smtpserver" && !workers.contains(pid)).count() == 3
    });
    let saved = suite.path("session-tls1_3");
    assert!(resumes(&saved, suite.port, "-tls1_3"));
    assert!(suite.zpost(&["reload"]).status.success());
    assert!(resumes(&saved, suite.port, "-tls1_3"));
    // Another suite, or this one started anew, has other keys.
    suite.stop();
    suite.start();
    assert!(!resumes(&saved, suite.port, "-tls1_3"));
}

#[test]
fn the_keyholder_dies_and_is_replaced_under_open_sessions() {
    let suite = Suite::builder().with_maildirs().with_certificate("one", NAMES).start();
    let mut open = Session::open_secure(suite.port, &tls::client()).unwrap();
    let old = pid_of(&suite, "keyholder").unwrap();
    end_by_force(old);
    // Sessions that are open need no key.
    assert_eq!(open.message("a@local.example", &["u1@local.example"], b"Subject: x\r\n\r\nx\r\n").unwrap().0, 250);
    wait_until("handshakes work again", LONG, || Session::open_secure(suite.port, &tls::client()).is_ok());
    assert_ne!(pid_of(&suite, "keyholder").unwrap(), old);
}

#[test]
fn a_new_certificate_comes_while_sessions_go_on() {
    let suite = Suite::builder().with_maildirs().with_certificate("one", NAMES).start();
    let shown = || {
        let script =
            "openssl s_client -starttls smtp -connect 127.0.0.1:$1 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256";
        let output = Command::new("sh").args(["-c", script, "sh", &suite.port.to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().rsplit('=').next().unwrap_or_default().to_owned()
    };
    let old = pem::fingerprint(&suite.path("one.pem"));
    assert_eq!(shown(), old);
    let mut open = Session::open_secure(suite.port, &tls::client()).unwrap();
    assert_eq!(open.command("MAIL FROM:<a@local.example>").unwrap().0, 250);
    pem::certificate(suite.folder.path(), "one", NAMES);
    suite.give_away();
    assert!(suite.zpost(&["reload"]).status.success());
    assert_eq!(shown(), pem::fingerprint(&suite.path("one.pem")));
    assert_ne!(shown(), old);
    assert_eq!(open.command("RCPT TO:<u1@local.example>").unwrap().0, 250);
    assert_eq!(open.command("DATA").unwrap().0, 354);
    assert_eq!(open.command("Subject: over the reload\r\n\r\nx\r\n.").unwrap().0, 250);
    assert_eq!(suite.counter("keyholder", "keys_now"), 1);
    assert_eq!(suite.counter("smtpserver", "key_failures"), 0);
}

/// Keys of every kind, in both versions; RSA goes through the keyholder's threads.
#[test]
fn every_kind_of_key_signs() {
    let kinds: [(&str, &[&str]); 4] = [
        ("rsa", &["rsa:2048"]),
        ("p256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed25519", &["ed25519"]),
    ];
    let mut builder = Suite::builder();
    for (kind, key) in kinds {
        let name = format!("{kind}.test.example");
        builder = builder.with_certificate_of(kind, &[&name], key);
    }
    let suite = builder.start();
    for (kind, _) in kinds {
        for version in ["-tls1_2", "-tls1_3"] {
            let output = s_client(
                suite.port,
                &[version, "-servername", &format!("{kind}.test.example"), "-CAfile", suite.path(&format!("{kind}.pem")).to_str().unwrap()],
            );
            assert!(is_established(&output) && text(&output).contains("Verify return code: 0 (ok)"), "{kind} {version}: {}", text(&output));
        }
    }
    assert_eq!((suite.counter("keyholder", "signatures"), suite.counter("keyholder", "refused")), (8, 0));
    assert_eq!(suite.counter("keyholder", "keys_now"), 4);
}

const SENDER: &str = r#"
import smtplib, ssl, sys
port, cert, key, to = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if cert != "-":
    context.load_cert_chain(cert, key)
client = smtplib.SMTP("127.0.0.1", port)
client.ehlo()
client.starttls(context=context)
client.ehlo()
client.mail("a@far.example")
print(client.rcpt(to)[0])
if to.endswith("local.example"):
    print(client.data(b"Subject: x\r\n\r\nx\r\n")[0])
client.quit()
"#;

fn send(suite: &Suite, port: u16, certificate: Option<&str>, to: &str) -> String {
    let file = |end: &str| certificate.map_or_else(|| "-".to_owned(), |name| suite.path(&format!("{name}.{end}")).display().to_string());
    let output = Command::new("python3").args(["-c", SENDER, &port.to_string(), &file("pem"), &file("key"), to]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    if output.status.success() { String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ") } else { error }
}

#[test]
fn certificates_of_clients_are_logins() {
    let (strict, by_ca) = (free_port(), free_port());
    let builder = Suite::builder().with_maildirs().with_certificate("one", NAMES);
    let folder = builder.folder().to_owned();
    for name in ["joe", "eve"] {
        pem::certificate(&folder, name, &[&format!("{name}.example")]);
    }
    pem::signed(&folder, "authority", "ann", &["ann.example"]);
    let joe = pem::fingerprint(&folder.join("joe.pem"));
    let mut suite = builder
        .listening(&format!("kind = \"submission\"\nbind = \"127.0.0.1:{strict}\"\nclient_certificates = \"require\""))
        .listening(&format!(
            "kind = \"smtp\"\nbind = \"127.0.0.1:{by_ca}\"\nclient_certificates = \"ask\"\nclient_ca = \"{}\"",
            folder.join("authority.pem").display()
        ))
        .with(&format!("[[client_certificate]]\nfingerprint = \"sha256:{joe}\"\nuser = \"joe\"\n"))
        .prepare();
    // Nobody may relay but by a certificate.
    let config = std::fs::read_to_string(suite.config()).unwrap().replace("[\"127.0.0.0/8\", \"::1\"]", "[]");
    std::fs::write(suite.config(), config).unwrap();
    suite.start();
    // Where none is asked for none counts.
    assert_eq!(send(&suite, suite.port, Some("joe"), "x@other.example"), "550");
    for (port, certificate, answer) in [
        (by_ca, None, "550"),
        (by_ca, Some("eve"), "550"),
        (by_ca, Some("joe"), "250"),
        (by_ca, Some("ann"), "250"),
        (strict, Some("joe"), "250"),
    ] {
        assert_eq!(send(&suite, port, certificate, "x@other.example"), answer, "{certificate:?} at {port}");
    }
    // ann's authority is not that listener's.
    for certificate in [None, Some("eve"), Some("ann")] {
        let refused = send(&suite, strict, certificate, "x@other.example");
        assert!(!refused.starts_with("250") && !refused.starts_with("550"), "{refused}");
    }
    assert_eq!(send(&suite, by_ca, Some("ann"), "u1@local.example"), "250 250");
    wait_until("the message is delivered", LONG, || end_to_end::files(&suite.path("mail/u1/new")).len() == 1);
    let name = end_to_end::files(&suite.path("mail/u1/new")).remove(0);
    let message = std::fs::read_to_string(suite.path("mail/u1/new").join(name)).unwrap();
    assert!(message.contains("with ESMTPSA"), "{message}");
    for line in ["client_certificate peer=127.0.0.1 user=joe", "user=ann.example", "client_certificate_unknown peer=127.0.0.1 fingerprint="]
    {
        suite.logged(line);
    }
    assert!(!suite.log().contains("user=eve"));
}

#[test]
fn as_the_manual_shows_it() {
    let suite = Suite::builder().with_certificate("one", NAMES).start();
    let output = s_client(suite.port, &["-tls1_2", "-reconnect"]);
    assert!(text(&output).matches("Reused, TLS").count() == 5, "{}", text(&output));
}
