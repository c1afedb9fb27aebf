//! TLS to other servers: Postfix and Python's ssl as the next hop, by policy, with a certificate of our own, resumed, and too old.

use end_to_end::load::Session;
use end_to_end::tls::self_signed;
use end_to_end::{LONG, Postfix, Suite, free_port, wait_until};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn listening(port: u16) {
    wait_until("the next hop listens", LONG, || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// Ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One session at a time: STARTTLS with Python's ssl, TLS 1.1 only or with a certificate demanded; says who the client is.
const SERVER: &str = r#"
import socket, ssl, sys
folder, port, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
if kind == "old":
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
else:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder + "/client.pem")
listener = socket.create_server(("127.0.0.1", port))
while True:
    plain, _ = listener.accept()
    try:
        plain.sendall(b"220 mx\r\n")
        if not plain.recv(1000): continue
        plain.sendall(b"250-mx\r\n250 STARTTLS\r\n")
        plain.recv(1000)
        plain.sendall(b"220 go\r\n")
        inside = context.wrap_socket(plain, server_side=True)
        print(inside.version(), inside.getpeercert()["subject"], flush=True)
        inside.recv(1000)
        inside.sendall(b"421 enough\r\n")
        inside.close()
    except OSError as error:
        print("failed", error, flush=True)
"#;

fn python(folder: &Path, port: u16, kind: &str) -> Server {
    let output = fs::File::create(folder.join(kind)).unwrap();
    let arguments = ["-c", SERVER, &folder.display().to_string(), &port.to_string(), kind].map(str::to_owned);
    Server(Command::new("python3").args(arguments).stdin(Stdio::null()).stdout(output).spawn().unwrap())
}

fn send(suite: &Suite, count: usize) {
    let mut session = Session::open(suite.port).unwrap().0;
    session.command("EHLO c.example").unwrap();
    for _ in 0..count {
        let answer = session.message("s@a.example", &["r@b.example"], b"Subject: x\r\n\r\nhello\r\n");
        assert_eq!(answer.map(|(code, _)| code).ok(), Some(250));
    }
}

fn suite(host: &str, port: u16, more: &str) -> Suite {
    Suite::builder().with(&format!("[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nhost = \"[{host}]:{port}\"\n{more}")).start()
}

/// Lines of the log with this event.
fn lines(suite: &Suite, event: &str) -> Vec<String> {
    suite
        .log()
        .lines()
        .filter(|line| line.contains(&format!(" {event} ")) || line.contains(&format!(": {event} ")))
        .map(str::to_owned)
        .collect()
}

fn wait_for(suite: &Suite, event: &str, count: usize) -> Vec<String> {
    wait_until(event, LONG, || lines(suite, event).len() >= count);
    lines(suite, event)
}

#[test]
fn postfix_by_policy_with_our_certificate_and_resumed() {
    if !end_to_end::postfix::usable() {
        return;
    }
    let postfix = Postfix::discarding();
    let root = postfix.folder.path();
    self_signed(root, "client");
    let file = |name: &str| root.join(name).display().to_string();
    let more = format!(
        "[tls]\nroots = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n[client]\nmessages_per_session = 1\n[[destination]]\ntls = \"verify\"\n",
        file("server.pem"),
        file("client.pem"),
        file("client.key")
    );
    let suite = suite("localhost", postfix.ports[0], &more);
    send(&suite, 1);
    let first = wait_for(&suite, "delivered", 1);
    assert!(first[0].contains("tls=\"TLSv1.3 ") && first[0].contains("verify verified\""), "{first:?}");
    send(&suite, 1);
    let second = wait_for(&suite, "delivered", 2);
    assert!(second[1].contains("verify verified resumed\""), "{second:?}");
    assert_eq!((suite.counter("ta-smtp", "tls_sessions"), suite.counter("ta-smtp", "tls_resumed")), (2, 1));
    assert!(postfix.log().contains("TLS connection established from"), "{}", postfix.log());
}

#[test]
fn a_server_that_is_too_old_and_one_that_asks_who_we_are() {
    let folder = tempfile::tempdir().unwrap();
    self_signed(folder.path(), "server");
    self_signed(folder.path(), "client");
    let (old, asking) = (free_port(), free_port());
    let _old = python(folder.path(), old, "old");
    listening(old);
    let destination = "[[destination]]\ntls = \"encrypt\"\n";
    let first = suite("127.0.0.1", old, destination);
    send(&first, 1);
    let line = wait_for(&first, "deferred", 1).remove(0);
    assert!(line.contains("status=4.7.5") && line.contains("TLS"), "{line}");
    assert!(first.counter("ta-smtp", "tls_failures") >= 1 && first.counter("ta-smtp", "tls_fallbacks") == 0);
    let _asking = python(folder.path(), asking, "asking");
    listening(asking);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let second = suite(
        "127.0.0.1",
        asking,
        &format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{destination}", file("client.pem"), file("client.key")),
    );
    send(&second, 1);
    let seen = || fs::read_to_string(folder.path().join("asking")).is_ok_and(|text| text.contains("(('commonName', 'client'),)"));
    wait_until("the server sees our certificate", LONG, seen);
}
