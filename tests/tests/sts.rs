//! Mail to servers whose domains publish what TLS must be: DANE in signed zones, MTA-STS on a real HTTPS server; and the
//! report about it to the domain that asks for one.

use end_to_end::load::Session;
use end_to_end::zone::{Kind, World};
use end_to_end::{LONG, Suite, files, tls, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Names that the one certificate of all servers here is valid for.
const NAMES: [&str; 4] = ["mta-sts.sts-good.test", "mta-sts.sts-bad.test", "mx.sts-good.test", "mx.dane-named.test"];

/// A certification authority, a certificate of it, and the digest of the certificate's key.
struct Certificates {
    roots: std::path::PathBuf,
    config: Arc<ServerConfig>,
    digest: String,
}

fn certificates(folder: &Path) -> Certificates {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(NAMES.map(str::to_owned).to_vec()).unwrap().signed_by(&key, &root).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (chain, key_file) = (file("chain.pem", certificate.pem()), file("key.pem", key.serialize_pem()));
    let digest: String = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key)).iter().map(|b| format!("{b:02x}")).collect();
    Certificates { roots: file("roots.pem", root.pem()), config: tls::server(&chain, &key_file), digest }
}

/// Serves each connection on a thread; the port.
fn serve(work: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let work = Arc::new(work);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let work = Arc::clone(&work);
            std::thread::spawn(move || work(stream));
        }
    });
    port
}

/// Policies of the two domains: each allows its own exchanger.
fn policies(stream: TcpStream, config: &Arc<ServerConfig>) {
    let mut reader = BufReader::new(tls::accept(config, stream));
    let (mut line, mut host) = (String::new(), String::new());
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        if let Some(name) = line.to_ascii_lowercase().strip_prefix("host: mta-sts.") {
            host = name.split(':').next().unwrap().trim().to_owned();
        }
        line.clear();
    }
    let body = format!("version: STSv1\r\nmode: enforce\r\nmx: mx.{host}\r\nmax_age: 86400\r\n");
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let mut stream = reader.into_inner();
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// An SMTP server that takes mail over TLS alone; what it took, envelope and content.
fn mail_server(stream: TcpStream, config: &Arc<ServerConfig>, taken: &Mutex<Vec<String>>) {
    let mut plain = stream.try_clone().unwrap();
    plain.write_all(b"220 mx ESMTP\r\n").unwrap();
    let mut byte = [0; 1];
    let mut line = String::new();
    // Byte by byte: nothing of the handshake may be read here.
    while plain.read(&mut byte).is_ok_and(|n| n == 1) {
        line.push(char::from(byte[0]));
        if !line.ends_with('\n') {
            continue;
        }
        let word = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match word.as_str() {
            "EHLO" => "250-mx\r\n250 STARTTLS\r\n",
            "STAR" => "220 go\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "530 5.7.0 TLS first\r\n",
        };
        if plain.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if word == "STAR" {
            return over_tls(tls::accept(config, stream), taken);
        }
        line.clear();
    }
}

fn over_tls(stream: tls::ServerStream, taken: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let (mut text, mut line, mut data) = (String::new(), String::new(), false);
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        text.push_str(&line);
        let answer = match (data, line.trim_end()) {
            (true, ".") => {
                taken.lock().unwrap().push(std::mem::take(&mut text));
                data = false;
                "250 2.0.0 taken\r\n"
            }
            (true, _) => "",
            (false, "DATA") => {
                data = true;
                "354 go\r\n"
            }
            (false, command) if command.starts_with("EHLO") => "250-mx\r\n250 8BITMIME\r\n",
            (false, "QUIT") => "221 bye\r\n",
            _ => "250 2.0.0 ok\r\n",
        };
        line.clear();
        if reader.get_mut().write_all(answer.as_bytes()).and_then(|()| reader.get_mut().flush()).is_err() {
            return;
        }
    }
}

struct Site {
    suite: Suite,
    taken: Arc<Mutex<Vec<String>>>,
    _world: World,
    _folder: tempfile::TempDir,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let certificates = certificates(folder.path());
    let config = Arc::clone(&certificates.config);
    let https = serve(move |stream| policies(stream, &config));
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let (config, took) = (Arc::clone(&certificates.config), Arc::clone(&taken));
    let smtp = serve(move |stream| mail_server(stream, &config, &took));
    let mx = |more: &str| format!("@ IN MX 10 mx\nmx IN A 127.0.0.1\nmta-sts IN A 127.0.0.1\n{more}\n");
    let sts = "_mta-sts IN TXT \"v=STSv1; id=1;\"\n_smtp._tls IN TXT \"v=TLSRPTv1; rua=mailto:reports@local.example\"";
    let digest = &certificates.digest;
    let world = World::new()
        .zone("sts-good.test", Kind::Unsigned, &mx(sts))
        .zone("sts-bad.test", Kind::Unsigned, &mx(sts))
        .zone("dane-good.test", Kind::Signed, &mx(&format!("_{smtp}._tcp.mx IN TLSA 3 1 1 {digest}")))
        .zone("dane-bad.test", Kind::Signed, &mx(&format!("_{smtp}._tcp.mx IN TLSA 3 1 1 {}", "00".repeat(32))))
        .zone("dane-broken.test", Kind::Broken, &mx(&format!("_{smtp}._tcp.mx IN TLSA 3 1 1 {digest}")))
        .zone("dane-plain.test", Kind::Unsigned, &mx(&format!("_{smtp}._tcp.mx IN TLSA 3 1 1 {}", "00".repeat(32))))
        .serve();
    let roots = certificates.roots.display();
    let suite = Suite::builder()
        .with_maildirs()
        .with(&world.dns())
        .with(&format!("[client]\nport = {smtp}\n[sts]\nport = {https}\n[tls]\nroots = \"{roots}\"\n[queue]\nretry_first = \"1h\"\nretry_longest = \"1h\"\n"))
        .start();
    Site { suite, taken, _world: world, _folder: folder }
}

impl Site {
    fn send(&self, to: &str) {
        let (mut session, _) = Session::open(self.suite.port).unwrap();
        session.command("EHLO client.example").unwrap();
        let (code, text) = session.message("me@local.example", &[to], b"Subject: x\r\n\r\nhello\r\n").unwrap();
        assert_eq!(code, 250, "{to}: {text}");
    }

    fn took(&self, to: &str) -> bool {
        self.taken.lock().unwrap().iter().any(|text| text.contains(&format!("RCPT TO:<{to}>")))
    }

    /// What the queue says of a recipient whose delivery was put off.
    fn put_off(&self, to: &str) -> Option<String> {
        let queue = self.suite.json(&["queue"]).to_string();
        let at = queue.find(&format!("\"{to}\""))?;
        let last = queue[at..].split("\"last\":\"").nth(1)?.split("\",").next()?.to_owned();
        Some(last).filter(|last| !last.is_empty())
    }
}

#[test]
fn servers_must_be_what_their_domains_publish() {
    if !World::possible() {
        return;
    }
    let site = site();
    // A record in a zone that is not signed means nothing.
    for domain in ["dane-good.test", "sts-good.test", "dane-plain.test"] {
        let to = format!("a@{domain}");
        site.send(&to);
        wait_until(&format!("delivered to {to}"), LONG, || site.took(&to));
    }
    for (domain, word) in [("dane-bad.test", "4.7."), ("sts-bad.test", "4.7."), ("dane-broken.test", "4.")] {
        let to = format!("a@{domain}");
        site.send(&to);
        let mut last = String::new();
        wait_until(&format!("{to} is put off"), LONG, || {
            last = site.put_off(&to).unwrap_or_default();
            !last.is_empty()
        });
        assert!(last.contains(word), "{to}: {last}");
        assert!(!site.took(&to), "{to}");
    }
    let kept = || files(&site.suite.postoffice("tlspolicy/policies"));
    wait_until("both policies are kept", LONG, || kept() == ["sts-bad.test", "sts-good.test"]);
    report(&site);
}

/// Both domains with a policy get what happened.
fn report(site: &Site) {
    wait_until("the results are counted", LONG, || site.suite.counter("tlspolicy", "results") >= 2);
    let output = site.suite.zpost(&["tlsrpt", "--now"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = site.suite.path("mail/reports/new");
    wait_until("the reports arrive", LONG, || files(&folder).len() == 2);
    for name in files(&folder) {
        let output = Command::new("python3").args(["-c", CHECK]).arg(folder.join(&name)).output().unwrap();
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&fs::read(folder.join(&name)).unwrap())
        );
    }
}

/// RFC 8460 sections 4 and 5.3, by another reader of mail and JSON.
const CHECK: &str = r#"
import email, email.policy, gzip, json, sys
mail = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
domain = mail["TLS-Report-Domain"]
assert mail["TLS-Report-Submitter"] == "mta.test.example" and mail["TLS-Required"] == "No", mail
assert mail["Return-Path"].strip() == "<>", mail["Return-Path"]
assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "tlsrpt", mail["Content-Type"]
assert domain in mail["Subject"] and "mta.test.example" in mail["Subject"], mail["Subject"]
text, attached = mail.iter_parts()
assert attached.get_content_type() == "application/tlsrpt+gzip"
assert attached.get_filename().startswith("mta.test.example!" + domain + "!") and attached.get_filename().endswith(".json.gz")
report = json.loads(gzip.decompress(attached.get_payload(decode=True)))
assert report["organization-name"] == "mta.test.example" and report["contact-info"] == "postmaster@mta.test.example", report
assert report["date-range"]["start-datetime"].endswith("T00:00:00Z") and report["report-id"] in mail["Subject"].replace(" ", ""), report
[entry] = report["policies"]
policy, summary = entry["policy"], entry["summary"]
assert policy["policy-type"] == "sts" and policy["policy-domain"] == domain, policy
assert policy["policy-string"] == ["version: STSv1", "mode: enforce", "mx: mx." + domain, "max_age: 86400"], policy
assert policy["mx-host"] == ["mx." + domain], policy
good, bad = summary["total-successful-session-count"], summary["total-failure-session-count"]
if domain == "sts-good.test":
    assert good >= 1 and bad == 0 and "failure-details" not in entry, entry
else:
    assert domain == "sts-bad.test" and good == 0 and bad >= 1, entry
    detail = entry["failure-details"][0]
    assert detail["result-type"] == "certificate-host-mismatch", detail
    assert detail["receiving-mx-hostname"] == "mx.sts-bad.test" and detail["receiving-ip"] == "127.0.0.1", detail
    assert sum(d["failed-session-count"] for d in entry["failure-details"]) == bad, entry
"#;
