use crate::{Link, Place, Trouble, Values, in_order, password, trust};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Generous: only what must not come in time may use it up.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

fn soon() -> Instant {
    Instant::now() + LONG
}

/// A server of one connection, and the place of it.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    Place::Host { host: "127.0.0.1".into(), port }
}

#[test]
fn places() {
    for (text, shown) in [
        ("db.example", "db.example:5432"),
        ("db.example:1", "db.example:1"),
        ("192.0.2.1", "192.0.2.1:5432"),
        ("2001:db8::1", "[2001:db8::1]:5432"),
        ("[2001:db8::1]:7", "[2001:db8::1]:7"),
        ("unix:/run/x", "unix:/run/x"),
    ] {
        assert_eq!(Place::parse(text, 5432).unwrap().to_string(), shown);
    }
    for wrong in ["", ":1", "a b", "host:", "host:x", "host:99999", "unix:run", "user@host", "a/b", "2001:db8::zz"] {
        assert!(Place::parse(wrong, 1).is_err(), "{wrong}");
    }
}

#[test]
fn one_dead_server_of_two_costs_a_share_of_the_time() {
    let places = ["dead", "good"];
    let deadline = Instant::now() + LONG;
    let mut until = Vec::new();
    let opened = in_order(&places, deadline, |place, share| {
        until.push(share);
        if *place == "good" { Ok(7) } else { Err(Trouble::passing("no")) }
    });
    assert_eq!(opened.unwrap(), 7);
    assert!(until[0] < deadline - LONG / 3 && until[1] > deadline - LONG / 3);
    let fault = in_order(&places, deadline, |_, _| Err::<(), _>(Trouble::passing("no"))).unwrap_err();
    assert_eq!(fault, Trouble::broken("dead: no; good: no"));
}

#[test]
fn nobody_waits_beyond_the_deadline() {
    // One that takes connections and says nothing; one whose queue of connections is full.
    let silent = server(|mut socket| {
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let mut link = Link::connect(&silent, soon()).unwrap();
    link.begin(Instant::now() + SHORT);
    assert_eq!(link.receive(1).unwrap_err(), Trouble::broken("no answer in time"));
    // What is never taken can be sent only so far.
    link.begin(Instant::now() + SHORT);
    let deaf = server(|socket| std::thread::sleep(LONG + Duration::from_secs(u64::from(socket.ttl().unwrap()))));
    let mut link = Link::connect(&deaf, soon()).unwrap();
    link.begin(Instant::now() + SHORT);
    assert_eq!(link.send(&vec![0; 64 * 1024 * 1024]).unwrap_err(), Trouble::broken("no answer in time"));
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("full");
    let listener = UnixListener::bind(&full).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let begun = Instant::now();
    let waiting: Vec<Link> = std::iter::from_fn(|| Link::connect(&Place::Unix(full.clone()), Instant::now() + SHORT).ok()).collect();
    assert!(!waiting.is_empty() && begun.elapsed() < LONG);
}

#[test]
fn a_drip_does_not_make_time() {
    let drip = server(|mut socket| {
        while socket.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20))
        }
    });
    let mut link = Link::connect(&drip, soon()).unwrap();
    link.begin(Instant::now() + SHORT);
    assert_eq!(link.receive(1_000_000).unwrap_err(), Trouble::broken("no answer in time"));
}

#[test]
fn an_answer_has_an_end() {
    let endless = server(|mut socket| while socket.write_all(&[7; 65_536]).is_ok() {});
    let mut link = Link::connect(&endless, soon()).unwrap();
    let fault = std::iter::from_fn(|| Some(link.receive(100_000))).find_map(Result::err).unwrap();
    assert!(fault.reason.contains("more than 1048576 bytes"), "{fault:?}");
    link.begin(soon());
    assert!(link.receive(100_000).is_ok(), "the next question has its own");
    assert!(link.receive(usize::MAX).is_err());
}

#[test]
fn what_comes_unasked_is_no_answer() {
    let (tell, told) = std::sync::mpsc::channel::<&[u8]>();
    let place = server(move |mut socket| told.iter().for_each(|bytes| socket.write_all(bytes).unwrap()));
    let mut link = Link::connect(&place, soon()).unwrap();
    assert_eq!(link.expect_quiet(), Ok(()));
    tell.send(b"one").unwrap();
    assert_eq!(link.array(), Ok(*b"one"));
    assert_eq!(link.expect_quiet(), Ok(()));
    tell.send(b"two, unasked").unwrap();
    while link.expect_quiet().is_ok() {
        std::thread::yield_now();
    }
    assert!(link.expect_quiet().unwrap_err().reason.contains("says what it was not asked"));
    assert_eq!(link.array(), Ok(*b"two"));
    assert!(link.expect_quiet().is_err(), "there is more in the buffer");
    assert_eq!(link.some().unwrap(), b", unasked");
    drop(tell);
    while link.expect_quiet().is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(link.expect_quiet(), Err(Trouble::broken("the server ended the connection")));
}

/// Files `NAME.pem` and `NAME.key` for 127.0.0.1.
fn certificate(folder: &Path, name: &str) -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "db.example".to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![made.cert.der().clone()], key).unwrap())
}

#[test]
fn tls_with_whom_it_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (ours, other) = (certificate(at, "ours"), certificate(at, "other"));
    let echo = |config: &Arc<ServerConfig>| {
        let config = Arc::clone(config);
        server(move |socket| {
            let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
            let mut bytes = [0; 5];
            if stream.read_exact(&mut bytes).is_ok() {
                let _ = stream.write_all(&bytes);
            }
            let _ = stream.read(&mut [0]);
        })
    };
    let roots = trust(Some(&at.join("ours.pem")), &[]).unwrap();
    let mut link = Link::connect(&echo(&ours), soon()).unwrap().secure(&roots, "127.0.0.1").unwrap();
    assert!(link.is_private() && link.is_secure());
    link.send(b"hello").unwrap();
    assert_eq!((link.receive(2).unwrap(), link.receive(3).unwrap()), (b"he".to_vec(), b"llo".to_vec()));
    for (config, host) in [(&other, "127.0.0.1"), (&ours, "else.example")] {
        let fault = Link::connect(&echo(config), soon()).unwrap().secure(&roots, host).unwrap_err();
        assert!(fault.reason.starts_with("TLS: invalid peer certificate"), "{fault:?}");
    }
    // What somebody between has put before TLS, so that it would be taken for the server's.
    let early = server(|mut socket| {
        let _ = socket.write_all(b"Sinjected");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let mut link = Link::connect(&early, soon()).unwrap();
    assert_eq!(link.array(), Ok(*b"S"));
    let fault = link.secure(&roots, "127.0.0.1").unwrap_err();
    assert!(fault.reason.contains("goes on in the clear") || fault.reason.starts_with("TLS: "), "{fault:?}");
    // A server that never shakes hands, and one that talks of something else.
    let silent = server(|mut socket| {
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let link = Link::connect(&silent, Instant::now() + SHORT).unwrap();
    assert_eq!(link.secure(&roots, "127.0.0.1").unwrap_err(), Trouble::broken("TLS: no answer in time"));
    let http = server(|mut socket| {
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = socket.read_to_end(&mut Vec::new());
    });
    assert!(Link::connect(&http, soon()).unwrap().secure(&roots, "127.0.0.1").unwrap_err().reason.starts_with("TLS: "));
}

#[test]
fn files_of_trust_and_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let with = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    with("s3cret \r\nmore\n", 0o640);
    assert_eq!(password(&file).unwrap(), "s3cret ");
    with("s3cret\n", 0o644);
    assert!(password(&file).unwrap_err().reason.contains("everybody may read it"));
    for empty in ["", "\n", "\nx\n", "a\0b\n"] {
        with(empty, 0o600);
        assert!(password(&file).unwrap_err().reason.contains("no password"), "{empty:?}");
    }
    with("no certificate\n", 0o644);
    assert!(trust(Some(&file), &[]).unwrap_err().reason.contains("no certificate of an authority"));
    let nowhere = trust(Some(Path::new("/nonexistent/ca.pem")), &[]).unwrap_err();
    assert!(nowhere.reason.starts_with("ca = /nonexistent/ca.pem: "), "{nowhere:?}");
}

#[test]
fn values_are_texts_and_not_too_many() {
    let mut values = Values::default();
    assert!(values.push(b"a").is_ok() && values.push("\u{e4}".as_bytes()).is_ok());
    for bad in [&b"\xff"[..], b"a\nb", b"\0", b"\x1b[0m", "\u{85}".as_bytes()] {
        assert!(!values.push(bad).unwrap_err().broken, "{bad:?}");
    }
    assert_eq!(values.answer().unwrap(), ["a", "\u{e4}"]);
    let mut values = Values::default();
    assert!((0..10_000).all(|_| values.push(b"").is_ok()) && values.push(b"").is_err());
    assert!(Values::default().push(&[b'x'; 65_537]).is_err());
    assert_eq!(Values::default().answer(), None);
}
