//! Policies from a real HTTPS server, and from ones that misbehave.

use crate::fetch::{Failure, Fetcher};
use crate::names::Names;
use ipc::dns::{Answer, Ask, Question, Told, Trouble};
use ipc::tlspolicy::{StsMode, StsPolicy};
use ipc::{Caller, ContactPoint};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, Stream};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: *.d.example\r\nmax_age: 86400\r\n";

/// What the server says, whole; then it stays silent for a while.
#[derive(Clone)]
struct Says(Vec<u8>, Duration);

fn page(head: &str, body: &str) -> Says {
    Says(format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes(), Duration::ZERO)
}

fn good(body: &str) -> Says {
    page("200 OK\r\ncontent-type: text/plain; charset=utf-8", body)
}

/// A server for names under a root of its own, and a resolver that knows one address.
struct World {
    fetcher: Fetcher,
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

fn world(name: &str, expired: bool, says: Says) -> World {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    }
    let certificate = params.signed_by(&key, &root).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    std::fs::write(&file, root.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, says, heard) = (Arc::clone(&config), says.clone(), Arc::clone(&heard));
            std::thread::spawn(move || serve(stream, config, &says, &heard));
        }
    });
    let names = Arc::new(Names::new(resolver(), Duration::from_secs(30)));
    let fetcher = Fetcher::new(names, Some(&file), port, Duration::from_secs(3)).unwrap();
    World { fetcher, port, requests, _folder: folder }
}

fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, says: &Says, heard: &Mutex<Vec<String>>) {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut stream = Stream::new(&mut tls, &mut stream);
    let (mut request, mut piece) = (Vec::new(), [0; 1000]);
    let complete = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).into_owned();
        let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
        text.split_once("\r\n\r\n").is_some_and(|(head, _)| request.len() >= head.len() + 4 + length)
    };
    while !complete(&request) {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => request.extend_from_slice(&piece[..n]),
            _ => return,
        }
    }
    heard.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    let _ = stream.write_all(&says.0).and_then(|()| stream.flush());
    std::thread::sleep(says.1);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn resolver() -> Caller {
    let (ours, theirs) = ipc::channel::pair().unwrap();
    let contact = ContactPoint::new(theirs).unwrap();
    std::thread::spawn(move || {
        loop {
            let Ok(next) = contact.accept::<Told, Ask>() else { return };
            let Some(mut channel) = next else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            if let Ok((Ask { number, question }, _)) = channel.recv_by(Instant::now() + Duration::from_secs(5)) {
                let answer = match question {
                    Question::Addresses { host } if host.ends_with(".example") => Ok(Answer::Addresses(vec!["127.0.0.1".parse().unwrap()])),
                    _ => Err(Trouble::NoSuchName),
                };
                channel.send(&Told { number, answer }).unwrap();
            }
        }
    });
    Caller::new(ours).unwrap()
}

fn fetch(says: Says) -> Result<StsPolicy, Failure> {
    world("mta-sts.d.example", false, says).fetcher.policy("d.example", "1")
}

fn kind(got: &Result<StsPolicy, Failure>) -> &'static str {
    got.as_ref().unwrap_err().kind
}

#[test]
fn a_policy_comes_by_https() {
    for (body, mode) in [
        (GOOD, StsMode::Enforce),
        (&GOOD.replace("enforce", "testing"), StsMode::Testing),
        (&GOOD.replace("enforce", "none"), StsMode::None),
    ] {
        let world = world("mta-sts.d.example", false, good(body));
        let policy = world.fetcher.policy("d.example", "7").unwrap();
        assert_eq!((policy.mode, policy.id.as_str(), policy.max_age), (mode, "7", 86_400));
        let request = world.requests.lock().unwrap()[0].clone();
        assert!(request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), "{request}");
        assert!(request.to_lowercase().contains(&format!("host: mta-sts.d.example:{}", world.port)), "{request}");
    }
}

#[test]
fn the_certificate_must_be_valid_for_the_name() {
    for (name, expired) in [("mta-sts.d.example", true), ("mta-sts.other.example", false), ("d.example", false)] {
        let got = world(name, expired, good(GOOD)).fetcher.policy("d.example", "1");
        assert_eq!(kind(&got), "sts-webpki-invalid", "{name} {got:?}");
    }
    // Signed by a root that is not trusted.
    let (ours, theirs) = (world("mta-sts.d.example", false, good(GOOD)), world("mta-sts.d.example", false, good(GOOD)));
    let file = ours._folder.path().join("roots.pem");
    let names = Arc::new(Names::new(resolver(), Duration::from_secs(30)));
    let fetcher = Fetcher::new(names, Some(&file), theirs.port, Duration::from_secs(3)).unwrap();
    assert_eq!(kind(&fetcher.policy("d.example", "1")), "sts-webpki-invalid");
}

#[test]
fn what_is_no_answer_is_a_fetch_error() {
    let redirect = page("301 Moved\r\nlocation: https://mta-sts.d.example/elsewhere\r\ncontent-type: text/plain", GOOD);
    let world = world("mta-sts.d.example", false, redirect);
    assert_eq!(kind(&world.fetcher.policy("d.example", "1")), "sts-policy-fetch-error");
    assert_eq!(world.requests.lock().unwrap().len(), 1);
    for head in
        ["404 Not Found\r\ncontent-type: text/plain", "200 OK\r\ncontent-type: text/html", "200 OK", "204 No\r\ncontent-type: text/plain"]
    {
        assert_eq!(kind(&fetch(page(head, GOOD))), "sts-policy-fetch-error", "{head}");
    }
    assert_eq!(kind(&fetch(Says(b"\x00\x01garbage\r\n\r\n".to_vec(), Duration::ZERO))), "sts-policy-fetch-error");
    let header = format!("200 OK\r\nx: {}\r\ncontent-type: text/plain", "y".repeat(40_000));
    assert_eq!(kind(&fetch(page(&header, GOOD))), "sts-policy-fetch-error");
    assert_eq!(kind(&world.fetcher.policy("nowhere.invalid", "1")), "sts-policy-fetch-error");
}

#[test]
fn bad_and_huge_policies_are_invalid() {
    assert_eq!(kind(&fetch(good("<html>hello</html>"))), "sts-policy-invalid");
    assert_eq!(kind(&fetch(good(&format!("{GOOD}{}", "x: y\r\n".repeat(100_000))))), "sts-policy-invalid");
}

#[test]
fn a_slow_body_ends_with_the_limit() {
    let mut slow = good(GOOD);
    slow.0.truncate(slow.0.len() - 10);
    slow.1 = Duration::from_secs(20);
    let begin = Instant::now();
    assert_eq!(kind(&fetch(slow)), "sts-policy-fetch-error");
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[test]
fn reports_are_posted() {
    let world = world("r.example", false, page("201 Created", ""));
    let url = format!("https://r.example:{}/in?a=b", world.port);
    world.fetcher.post(&url, world.port, b"zipped").unwrap();
    let request = world.requests.lock().unwrap()[0].clone();
    assert!(
        request.starts_with("POST /in?a=b HTTP/1.1\r\n")
            && request.contains("content-type: application/tlsrpt+gzip")
            && request.ends_with("zipped")
    );
    assert!(world.fetcher.post("https://r.example:25/", 25, b"x").is_err());
}
