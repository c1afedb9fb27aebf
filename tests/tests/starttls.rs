//! TLS with clients: STARTTLS and TLS from the first byte, real clients, hostile ones, and new certificates by reload.

use end_to_end::load::Session;
use end_to_end::{LONG, Suite, free_port, pem, tls, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

/// A suite with a certificate for `mta.test.example` and one for `*.other.example`.
fn suite(also: Option<u16>) -> Suite {
    let mut builder = Suite::builder().with_maildirs().with_certificate("one", &["mta.test.example", "localhost"]);
    if let Some(port) = also {
        builder = builder.listening(&format!("kind = \"submissions\"\nbind = \"127.0.0.1:{port}\""));
    }
    builder.with_certificate("two", &["*.other.example"]).start()
}

fn python(script: &str, arguments: &[&str]) -> Output {
    Command::new("python3").arg("-c").arg(script).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn delivered(suite: &Suite, user: &str) -> usize {
    end_to_end::files(&suite.path(&format!("mail/{user}/new"))).len()
}

const SMTPLIB: &str = r#"
import smtplib, ssl, sys
port, ca, name, user, implicit = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5] == "implicit"
context = ssl.create_default_context(cafile=ca)
class Client(smtplib.SMTP_SSL if implicit else smtplib.SMTP):
    pass
if implicit:
    client = smtplib.SMTP_SSL("localhost", port, context=context)
else:
    client = smtplib.SMTP("127.0.0.1", port)
    client._host = name
    client.ehlo()
    assert client.has_extn("starttls")
    client.starttls(context=context)
client.ehlo()
assert not client.has_extn("starttls")
body = "Subject: inside\r\n\r\n" + "line\r\n" * 50000
client.sendmail("a@local.example", [user + "@local.example"], body)
print(client.sock.version())
client.quit()
"#;

#[test]
fn a_listener_may_take_mail_inside_tls_only() {
    let port = free_port();
    let builder = Suite::builder().with_maildirs().with_certificate("one", &["mta.test.example", "localhost"]);
    let suite = builder.listening(&format!("kind = \"submission\"\nbind = \"127.0.0.1:{port}\"\nrequire_tls = true")).start();
    let (mut session, _) = Session::open(port).unwrap();
    assert!(session.command("EHLO x.example").unwrap().1.contains("STARTTLS"));
    let (code, text) = session.command("MAIL FROM:<a@local.example>").unwrap();
    assert!(code == 530 && text.contains("5.7.0"), "{code} {text}");
    assert_eq!(session.command("NOOP").unwrap().0, 250);
    assert_eq!(session.command("QUIT").unwrap().0, 221);
    let ca = suite.path("one.pem").display().to_string();
    let output = python(SMTPLIB, &[&port.to_string(), &ca, "mta.test.example", "u1", "starttls"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("the message is delivered", LONG, || delivered(&suite, "u1") == 1);
}

#[test]
fn real_clients_verify_us_and_send_inside() {
    let port = free_port();
    let suite = suite(Some(port));
    let ca = |name: &str| suite.path(name).display().to_string();
    for (at, host, file, user, kind) in [
        (suite.port, "mta.test.example", "one.pem", "u1", "starttls"),
        (suite.port, "mx.other.example", "two.pem", "u2", "starttls"),
        (port, "localhost", "one.pem", "u3", "implicit"),
    ] {
        let output = python(SMTPLIB, &[&at.to_string(), &ca(file), host, user, kind]);
        assert!(output.status.success(), "{kind} {host}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "TLSv1.3");
        wait_until("the message is delivered", LONG, || delivered(&suite, user) == 1);
        let folder = suite.path(&format!("mail/{user}/new"));
        let name = end_to_end::files(&folder).remove(0);
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains("with ESMTPS") && text.contains("(TLSv1.3 TLS13_"), "{}", &text[..600.min(text.len())]);
        assert_eq!(text.matches("\nline\n").count() + text.matches("line\nline").count() / 50_000, 25_000, "whole and unharmed");
    }
    // A name that is nobody's gets the first certificate, which is not for it.
    let output = python(SMTPLIB, &[&suite.port.to_string(), &ca("one.pem"), "nobody.example", "u4", "starttls"]);
    assert!(!output.status.success() && delivered(&suite, "u4") == 0);
    let swaks = Command::new("swaks")
        .args([
            "--server",
            "127.0.0.1",
            "--port",
            &suite.port.to_string(),
            "--tls",
            "--from",
            "a@local.example",
            "--to",
            "u5@local.example",
        ])
        .output()
        .unwrap();
    assert!(swaks.status.success(), "{}", String::from_utf8_lossy(&swaks.stdout));
    wait_until("swaks' message is delivered", LONG, || delivered(&suite, "u5") == 1);
    assert!(suite.counter("smtpserver", "tls_sessions") >= 4);
}

#[test]
fn old_versions_and_noise_are_refused() {
    let suite = suite(None);
    for (version, works) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let output = Command::new("openssl")
            .args(["s_client", "-starttls", "smtp", version, "-brief", "-connect", &format!("127.0.0.1:{}", suite.port)])
            .args(["-cipher", "DEFAULT@SECLEVEL=0"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.contains("CONNECTION ESTABLISHED"), works, "{version}: {text}");
    }
    // Noise instead of a handshake ends the session, and only that.
    let failures = suite.counter("smtpserver", "tls_failures");
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO c").unwrap();
    assert_eq!(session.command("STARTTLS").unwrap().0, 220);
    session.send(b"EHLO c\r\nMAIL FROM:<>\r\n").unwrap();
    session.rest();
    wait_until("the failure is counted", LONG, || suite.counter("smtpserver", "tls_failures") > failures);
    assert_eq!(Session::open(suite.port).unwrap().1, 220);
}

#[test]
fn what_is_said_in_the_clear_is_not_run_inside() {
    let suite = suite(None);
    // Behind STARTTLS in the same segment: refused, whatever it is (CVE-2011-0411).
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO c").unwrap();
    session.send(b"STARTTLS\r\nRSET\r\n").unwrap();
    assert_eq!(session.reply().unwrap().0, 554);
    // Greeting, sender and so on begin anew inside.
    let mut plain = TcpStream::connect(("127.0.0.1", suite.port)).unwrap();
    let mut heard = [0; 2048];
    plain.write_all(b"").unwrap();
    let mut said = |stream: &mut dyn Read, code: &str| {
        let count = stream.read(&mut heard).unwrap();
        let text = String::from_utf8_lossy(&heard[..count]).into_owned();
        assert!(text.starts_with(code), "{text}");
        text
    };
    said(&mut plain, "220");
    plain.write_all(b"EHLO c\r\n").unwrap();
    said(&mut plain, "250");
    plain.write_all(b"STARTTLS\r\n").unwrap();
    said(&mut plain, "220");
    let mut inside = tls::connect(&tls::client(), plain, "mta.test.example");
    inside.write_all(b"MAIL FROM:<>\r\n").unwrap();
    said(&mut inside, "503");
    inside.write_all(b"EHLO c\r\n").unwrap();
    assert!(!said(&mut inside, "250").contains("STARTTLS"));
    inside.write_all(b"STARTTLS\r\n").unwrap();
    said(&mut inside, "503");
}

#[test]
fn a_reload_brings_the_new_certificate_and_refuses_a_broken_one() {
    let suite = suite(None);
    let serial = || {
        let script = "openssl s_client -starttls smtp -servername mta.test.example -connect 127.0.0.1:$1 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint";
        let output = Command::new("sh").args(["-c", script, "sh", &suite.port.to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let before = serial();
    assert!(before.contains("Fingerprint"));
    pem::certificate(suite.folder.path(), "one", &["mta.test.example"]);
    suite.give_away();
    assert!(suite.zpost(&["reload"]).status.success());
    let after = serial();
    assert!(after.contains("Fingerprint") && after != before);
    std::fs::copy(suite.path("two.key"), suite.path("one.key")).unwrap();
    let refused = suite.zpost(&["reload"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("one.pem") | text.contains("chain and key"), "{text}");
    assert_eq!(serial(), after);
    assert_eq!(suite.json(&["status"])["troubles"].as_array().map(Vec::len), Some(0));
}
