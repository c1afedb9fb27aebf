//! Every policy against servers with every kind of certificate; the resolver and the keeper of policies say what the test says.
use super::agent::{Agent, PATIENCE, client, resolver};
use envelope::{Terms, TlsTerms};
use ipc::channel::pair;
use ipc::dns::{Answer, MailHost, MailHosts, Question, Tlsa, Trouble};
use ipc::tlspolicy::{Ask, StsMode, StsPolicy, TlsResult, Told};
use ipc::{Caller, Channel, ContactPoint};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const HOST: &str = "mx.test.example";

struct Issued {
    config: Arc<ServerConfig>,
    der: Vec<u8>,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The `[tls]` section that trusts it.
    fn section(&self, folder: &tempfile::TempDir) -> String {
        let path = folder.path().join("roots.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        format!("[tls]\nroots = \"{}\"\n", path.display())
    }

    fn issue(&self, name: &str, expired: bool) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        issued(vec![certificate.der().clone(), self.0.der().clone()], &key)
    }
}

fn issued(chain: Vec<rustls::pki_types::CertificateDer<'static>>, key: &KeyPair) -> Issued {
    let der = chain[0].to_vec();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Issued { config: Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()), der }
}

fn self_signed() -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().self_signed(&key).unwrap();
    issued(vec![certificate.der().clone()], &key)
}

/// Serves until the test ends; tells every command with `tls ` or `plain ` before it. Without a certificate it offers
/// STARTTLS and breaks the handshake.
fn server(config: Option<Arc<ServerConfig>>, inside: &'static str) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (heard, commands) = channel();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let (config, heard) = (config.clone(), heard.clone());
            std::thread::spawn(move || {
                let _ = socket.write_all(b"220 mx\r\n");
                if !talk(&mut socket, "STARTTLS", "plain", &heard) {
                    return;
                }
                if let Some(config) = config {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
                    talk(&mut stream, inside, "tls", &heard);
                }
            });
        }
    });
    (port, commands)
}

/// True when STARTTLS was asked for.
fn talk(stream: &mut (impl Read + Write), offer: &str, tag: &str, heard: &Sender<String>) -> bool {
    let mut content = false;
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => line.push(byte[0]),
                _ => return false,
            }
        }
        let line = String::from_utf8(line).unwrap();
        if !content {
            let _ = heard.send(format!("{tag} {}", line.trim_end()));
        }
        let reply = match line.get(..4).unwrap_or_default() {
            _ if line == ".\r\n" => {
                content = false;
                "250 2.0.0 taken\r\n".to_owned()
            }
            _ if content => continue,
            "EHLO" => format!("250-mx\r\n250 {offer}\r\n"),
            "STAR" => "220 go\r\n".to_owned(),
            "DATA" => {
                content = true;
                "354 go\r\n".to_owned()
            }
            _ => "250 ok\r\n".to_owned(),
        };
        if stream.write_all(reply.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return false;
        }
        if line.starts_with("STARTTLS") {
            return true;
        }
    }
}

/// Exchangers of every domain: `HOST` on this machine.
fn names(secure: bool, tlsa: Result<Vec<Tlsa>, Trouble>) -> Caller {
    resolver(move |question| match question {
        Question::MailHosts { validate, .. } => {
            let secure = secure && *validate;
            let host = MailHost { preference: 10, name: HOST.into(), addresses: vec!["127.0.0.1".parse().unwrap()], secure };
            Ok(Answer::MailHosts(MailHosts { hosts: vec![host], secure }))
        }
        Question::Tlsa { host, .. } if host == HOST => tlsa.clone().map(Answer::Tlsa),
        other => panic!("{other:?}"),
    })
}

fn keeper(policy: Option<StsPolicy>) -> (Caller, Receiver<TlsResult>) {
    keeper_after(0, policy)
}

/// One that dies of its first questions, and whose successors answer.
fn keeper_after(mut deaths: usize, policy: Option<StsPolicy>) -> (Caller, Receiver<TlsResult>) {
    let (call, serve) = pair().unwrap();
    let (told, results) = channel();
    std::thread::spawn(move || {
        let point = ContactPoint::new(serve).unwrap();
        let mut callers: Vec<Channel<Told, Ask>> = Vec::new();
        loop {
            let Ok(caller) = point.accept() else { return };
            callers.extend(caller);
            callers.retain_mut(|caller| {
                match caller.recv_by(Instant::now() + Duration::from_millis(2)) {
                    Ok((Ask::Policy { .. }, _)) if deaths > 0 => {
                        deaths -= 1;
                        return false;
                    }
                    Ok((Ask::Policy { number, .. }, _)) => drop(caller.send(&Told { number, policy: policy.clone() })),
                    Ok((Ask::Results(batch), _)) => batch.into_iter().for_each(|result| drop(told.send(result))),
                    Err(_) => {}
                }
                true
            });
            std::thread::yield_now();
        }
    });
    (Caller::new(call).unwrap(), results)
}

fn clause(policy: &str) -> String {
    format!("[[destination]]\ntls = \"{policy}\"\n")
}

/// `Outcome status`, text, tls of one message.
fn sent(agent: &mut Agent, job: u64, port: u16) -> (String, String, String) {
    agent.send(job, "smtp", &format!("test.example:{port}"), &["a@test.example"], b"Subject: x\n\nhello\n");
    let result = agent.results(job, 1).remove(0);
    (format!("{:?} {}", result.outcome, result.status), result.text, result.tls)
}

fn short() -> settings::Client {
    settings::Client { messages_per_session: 1, ..client() }
}

#[test]
fn each_policy_with_each_certificate() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let roots = authority.section(&folder);
    let other = "[[destination]]\ntls = \"verify\"\ntls_names = [\"partner.example\"]\n";
    let (good, alone) = (authority.issue(HOST, false), self_signed());
    let (expired, wrong) = (authority.issue(HOST, true), authority.issue("partner.example", false));
    for (clause, certificate, outcome, text, tls) in [
        (clause("none"), &good, "Delivered 2.0.0", "taken", ""),
        (clause("may"), &good, "Delivered 2.0.0", "taken", "may verified"),
        (clause("may"), &expired, "Delivered 2.0.0", "taken", "may unverified"),
        (clause("sts"), &alone, "Delivered 2.0.0", "taken", "may unverified"),
        (clause("encrypt"), &alone, "Delivered 2.0.0", "taken", "encrypt unverified"),
        (clause("verify"), &good, "Delivered 2.0.0", "taken", "verify verified"),
        (clause("verify"), &alone, "Deferred 4.7.5", "of no issuer that is trusted here", ""),
        (clause("verify"), &expired, "Deferred 4.7.5", "has expired", ""),
        (clause("verify"), &wrong, "Deferred 4.7.5", "is not for mx.test.example", ""),
        (other.to_owned(), &wrong, "Delivered 2.0.0", "taken", "verify verified"),
        (other.to_owned(), &good, "Deferred 4.7.5", "is not for partner.example", ""),
    ] {
        let (port, heard) = server(Some(Arc::clone(&certificate.config)), "8BITMIME");
        let names = names(false, Err(Trouble::NoRecords));
        let mut agent = Agent::secured(short(), Default::default(), Some(names), None, &format!("{roots}{clause}"));
        let got = sent(&mut agent, 1, port);
        assert!(got.0 == outcome && got.1.contains(text) && got.2.ends_with(tls) && got.2.is_empty() == tls.is_empty(), "{clause} {got:?}");
        let mail: Vec<String> = heard.try_iter().filter(|line| line.contains("MAIL")).collect();
        let expected = match (outcome, tls) {
            ("Delivered 2.0.0", "") => vec!["plain MAIL FROM:<s@a.example>"],
            ("Delivered 2.0.0", _) => vec!["tls MAIL FROM:<s@a.example>"],
            _ => vec![],
        };
        assert_eq!(mail, expected, "{clause}");
        agent.drain();
    }
}

#[test]
fn sessions_are_resumed_under_the_same_requirement() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let (port, _heard) = server(Some(authority.issue(HOST, false).config), "8BITMIME");
    let sections = authority.section(&folder) + &clause("verify");
    let mut agent = Agent::secured(short(), Default::default(), Some(names(false, Err(Trouble::NoRecords))), None, &sections);
    assert!(sent(&mut agent, 1, port).2.ends_with("verify verified"));
    assert!(sent(&mut agent, 2, port).2.ends_with("verify verified resumed"));
    agent.drain();
}

#[test]
fn broken_tls_falls_back_once_and_is_remembered_and_never_where_it_is_needed() {
    let (port, heard) = server(None, "");
    let mut agent = Agent::secured(short(), Default::default(), Some(names(false, Err(Trouble::NoRecords))), None, "");
    for job in [1, 2] {
        assert_eq!(sent(&mut agent, job, port).0, "Delivered 2.0.0");
    }
    agent.drain();
    let lines: Vec<String> = heard.try_iter().collect();
    assert_eq!(lines.iter().filter(|line| *line == "plain STARTTLS").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("plain MAIL")).count(), 2);
    for policy in ["encrypt", "verify"] {
        let mut agent = Agent::secured(short(), Default::default(), Some(names(false, Err(Trouble::NoRecords))), None, &clause(policy));
        let got = sent(&mut agent, 1, port);
        assert!(got.0 == "Deferred 4.7.5" && got.1.contains(&format!("the policy \"{policy}\" needs")), "{got:?}");
        agent.drain();
    }
    assert!(heard.try_iter().all(|line| !line.contains("MAIL")));
}

fn tlsa(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> Tlsa {
    Tlsa { usage, selector, matching, data }
}

#[test]
fn dane_where_everything_is_proven() {
    let authority = Authority::new();
    let expired = authority.issue("elsewhere.example", true);
    let good = authority.issue(HOST, false);
    let root = authority.0.der().to_vec();
    let full = |issued: &Issued| vec![tlsa(3, 0, 0, issued.der.clone())];
    let unusable = vec![tlsa(1, 1, 1, vec![1; 32]), tlsa(3, 1, 1, vec![1; 19]), tlsa(3, 1, 1, vec![])];
    for (secure, records, certificate, outcome, says) in [
        // Neither name nor date counts for DANE-EE.
        (true, Ok(full(&expired)), &expired, "Delivered 2.0.0", "dane verified"),
        (true, Ok(vec![tlsa(2, 0, 0, root.clone())]), &good, "Delivered 2.0.0", "dane verified"),
        (true, Ok(vec![tlsa(2, 0, 0, root)]), &expired, "Deferred 4.7.5", "has expired"),
        (true, Ok(vec![tlsa(3, 1, 1, vec![9; 32])]), &good, "Deferred 4.7.5", "no TLSA record of the server matches"),
        (true, Ok(unusable), &good, "Delivered 2.0.0", "dane unverified"),
        (true, Err(Trouble::Temporary("bogus".into())), &good, "Deferred 4.7.5", "bogus"),
        (true, Err(Trouble::NoRecords), &good, "Delivered 2.0.0", "may unverified"),
        // Records that nothing proves are not even asked for.
        (false, Ok(vec![tlsa(3, 1, 1, vec![9; 32])]), &good, "Delivered 2.0.0", "may unverified"),
    ] {
        let (port, _heard) = server(Some(Arc::clone(&certificate.config)), "8BITMIME");
        let mut agent = Agent::secured(short(), Default::default(), Some(names(secure, records.clone())), None, "");
        let got = sent(&mut agent, 1, port);
        assert!(got.0 == outcome && format!("{} {}", got.1, got.2).contains(says), "{records:?} {got:?}");
        agent.drain();
    }
}

fn sts(mode: StsMode, host: &str) -> Option<StsPolicy> {
    Some(StsPolicy { id: "1".into(), mode, hosts: vec![host.into()], max_age: 86_400 })
}

#[test]
fn mta_sts_and_what_is_reported() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let roots = authority.section(&folder);
    let (good, alone) = (authority.issue(HOST, false), self_signed());
    for (policy, certificate, outcome, says, failure) in [
        (sts(StsMode::Enforce, "*.test.example"), &good, "Delivered 2.0.0", "sts verified", None),
        (sts(StsMode::Enforce, HOST), &alone, "Deferred 4.7.5", "no issuer", Some("certificate-not-trusted")),
        (sts(StsMode::Enforce, "mx.other.example"), &good, "Deferred 4.7.5", "does not allow it", Some("validation-failure")),
        (sts(StsMode::Testing, HOST), &alone, "Delivered 2.0.0", "sts-testing unverified", Some("certificate-not-trusted")),
        (None, &alone, "Delivered 2.0.0", "may unverified", None),
    ] {
        let (port, _heard) = server(Some(Arc::clone(&certificate.config)), "8BITMIME");
        let (caller, results) = keeper(policy.clone());
        let names = names(false, Err(Trouble::NoRecords));
        let mut agent = Agent::secured(short(), Default::default(), Some(names), Some(caller), &roots);
        let got = sent(&mut agent, 1, port);
        assert!(got.0 == outcome && format!("{} {}", got.1, got.2).contains(says), "{policy:?} {got:?}");
        let result = results.recv_timeout(PATIENCE).unwrap();
        assert_eq!((result.domain.as_str(), result.host.as_str(), result.failure.as_deref()), ("test.example", HOST, failure));
        assert_eq!(result.policy.contains(&"version: STSv1".to_owned()), policy.is_some());
        agent.drain();
    }
}

#[test]
fn a_policy_that_holds_is_not_lost_with_its_keeper() {
    let alone = self_signed();
    for (deaths, outcome) in [(1, "Deferred 4.7.5"), (2, "Delivered 2.0.0")] {
        let (port, _heard) = server(Some(Arc::clone(&alone.config)), "8BITMIME");
        let (caller, _results) = keeper_after(deaths, sts(StsMode::Enforce, HOST));
        let names = names(false, Err(Trouble::NoRecords));
        let mut agent = Agent::secured(short(), Default::default(), Some(names), Some(caller), "");
        assert_eq!(sent(&mut agent, 1, port).0, outcome, "{deaths}");
        agent.drain();
    }
}

#[test]
fn requiretls_needs_proof_and_its_keyword_and_the_header_needs_nothing() {
    let good = self_signed();
    let matching = vec![tlsa(3, 0, 0, good.der.clone())];
    let wrong = vec![tlsa(3, 1, 1, vec![9; 32])];
    let (required, optional) = (TlsTerms::Required, TlsTerms::Optional);
    for (terms, records, offers, outcome, says, mail) in [
        (required, matching.clone(), "REQUIRETLS", "Delivered 2.0.0", "dane verified", Some("tls MAIL FROM:<s@a.example> REQUIRETLS")),
        (required, matching, "8BITMIME", "Failed 5.7.30", "REQUIRETLS support required", None),
        (required, Vec::new(), "REQUIRETLS", "Failed 5.7.30", "neither DANE nor MTA-STS", None),
        (optional, wrong.clone(), "REQUIRETLS", "Delivered 2.0.0", "may unverified", Some("tls MAIL FROM:<s@a.example>")),
        (TlsTerms::Usual, wrong, "REQUIRETLS", "Deferred 4.7.5", "no TLSA record", None),
    ] {
        let (port, heard) = server(Some(Arc::clone(&good.config)), offers);
        let mut agent = Agent::secured(short(), Default::default(), Some(names(true, Ok(records))), None, "");
        agent.terms = Terms { tls: terms, ..Default::default() };
        let got = sent(&mut agent, 1, port);
        assert!(got.0 == outcome && format!("{} {}", got.1, got.2).contains(says), "{terms:?} {got:?}");
        assert_eq!(heard.try_iter().find(|line| line.contains("MAIL")).as_deref(), mail, "{terms:?} {offers}");
        agent.drain();
    }
}

/// Attack 48: the idle session in plain text is not for the message that needs proof.
#[test]
fn an_idle_session_is_not_taken_for_a_stricter_message() {
    let good = self_signed();
    let (port, heard) = server(Some(Arc::clone(&good.config)), "REQUIRETLS");
    let records = vec![tlsa(3, 0, 0, good.der.clone())];
    let long = settings::Client { idle: Duration::from_secs(60), ..client() };
    let mut agent = Agent::secured(long, Default::default(), Some(names(true, Ok(records))), None, "");
    agent.terms.tls = TlsTerms::Optional;
    assert!(sent(&mut agent, 1, port).2.ends_with("may unverified"));
    agent.terms.tls = TlsTerms::Required;
    assert!(sent(&mut agent, 2, port).2.ends_with("dane verified"));
    agent.terms.tls = TlsTerms::Usual;
    assert!(sent(&mut agent, 3, port).2.ends_with("dane verified"));
    agent.drain();
    // Two sessions: the third message went over the second's.
    assert_eq!(heard.try_iter().filter(|line| line == "plain STARTTLS").count(), 2);
}
