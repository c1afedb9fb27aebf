use super::*;
use crate::{chains, pairs};
use rustls::client::ClientConnection;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConnection};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::collections::BTreeMap;

fn issue(names: &[&str]) -> (String, String, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().clone())
}

fn client(root: &CertificateDer<'static>, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(client)
}

fn client_with(root: &CertificateDer<'static>, chain: &str, key: &str) -> Arc<ClientConfig> {
    let pair = pairs(format!("{chain}{key}").as_bytes()).unwrap().remove(0);
    let mut client = Arc::unwrap_or_clone(client(root, &[]));
    client.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(pair.certified()));
    Arc::new(client)
}

/// Both ends after the handshake and the tickets.
fn meet(config: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Result<ServerConnection, rustls::Error> {
    let mut client = ClientConnection::new(Arc::clone(client), name.to_owned().try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    loop {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
        if !client.is_handshaking() && !server.is_handshaking() && !client.wants_write() && !server.wants_write() {
            return Ok(server);
        }
    }
}

fn shake_hands(config: &Arc<ServerConfig>, name: &str, root: &CertificateDer<'static>) -> Result<(), rustls::Error> {
    meet(config, &client(root, &[]), name).map(drop)
}

fn smtp<'a>() -> Service<'a> {
    Service { name: "smtp", protocols: &["smtp"], clients: None, tickets: Secret::new() }
}

#[test]
fn the_name_chooses_the_certificate() {
    let (chain_a, key_a, root_a) = issue(&["mx.a.example"]);
    let (chain_b, key_b, root_b) = issue(&["*.b.example"]);
    let all = pairs(format!("{chain_a}{key_a}# a comment\n{chain_b}{key_b}").as_bytes()).unwrap();
    assert_eq!((all[0].names(), all[1].names()), (&["mx.a.example".to_owned()][..], &["*.b.example".to_owned()][..]));
    let config = config(&all, &smtp()).unwrap().unwrap();
    shake_hands(&config, "mx.a.example", &root_a).unwrap();
    shake_hands(&config, "mail.b.example", &root_b).unwrap();
    assert!(shake_hands(&config, "mx.a.example", &root_b).is_err());
    // Nobody's name: the first one is shown, and is not for it.
    assert!(shake_hands(&config, "other.example", &root_b).is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let (chain, key, _) = issue(&["a.example"]);
    let (_, other, _) = issue(&["b.example"]);
    let says = |text: String, part: &str| {
        let error = pairs(text.as_bytes()).unwrap_err();
        assert!(error.0.contains(part), "{error}");
    };
    says(chain.clone(), "the key is missing");
    says(key.clone(), "the chain is empty");
    says(format!("{chain}{other}"), "certificate 1: chain and key");
    says(format!("{chain}{key}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{key}"), "certificate 2");
    assert!(pairs(b"").unwrap().is_empty() && config(&[], &smtp()).unwrap().is_none());
}

#[test]
fn other_protocols_are_sent_away() {
    let (chain, key, root) = issue(&["a.example"]);
    let config = config(&pairs(format!("{chain}{key}").as_bytes()).unwrap(), &smtp()).unwrap().unwrap();
    for (protocols, welcome) in
        [(&[][..], true), (&["smtp"], true), (&["h2", "smtp"], true), (&["h2", "http/1.1"], false), (&["imap"], false)]
    {
        let met = meet(&config, &client(&root, protocols), "a.example");
        assert_eq!(met.is_ok(), welcome, "{protocols:?}");
        assert!(welcome || met.err() == Some(rustls::Error::NoApplicationProtocol));
    }
}

#[test]
fn sessions_are_resumed_at_their_service_only() {
    let (chain, key, root) = issue(&["a.example"]);
    let pairs = pairs(format!("{chain}{key}").as_bytes()).unwrap();
    let secret = Secret::new();
    let worker = |name: &'static str| config(&pairs, &Service { name, tickets: secret.clone(), ..smtp() }).unwrap().unwrap();
    let client = client(&root, &[]);
    let kind = |config: &Arc<ServerConfig>| meet(config, &client, "a.example").unwrap().handshake_kind();
    assert_eq!(kind(&worker("smtp")), Some(HandshakeKind::Full));
    assert_eq!(kind(&worker("smtp")), Some(HandshakeKind::Resumed), "another worker of the same service");
    assert_ne!(kind(&worker("submissions")), Some(HandshakeKind::Resumed));
    assert_eq!(kind(&worker("submissions")), Some(HandshakeKind::Resumed));
    assert_ne!(kind(&worker("smtp")), Some(HandshakeKind::Resumed));
}

#[test]
fn certificates_of_clients_are_their_names() {
    let (chain, key, root) = issue(&["a.example"]);
    let server = pairs(format!("{chain}{key}").as_bytes()).unwrap();
    let (joe_chain, joe_key, joe) = issue(&["joe.example"]);
    let (eve_chain, eve_key, _) = issue(&["eve.example"]);
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut of_authority = rcgen::CertificateParams::new(vec![]).unwrap();
    of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_text = of_authority.self_signed(&authority).unwrap().pem();
    let issuer = rcgen::Issuer::new(of_authority, authority);
    let ann_key = rcgen::KeyPair::generate().unwrap();
    let mut ann = rcgen::CertificateParams::new(vec!["Ann.example".to_owned()]).unwrap();
    ann.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let ann = ann.signed_by(&ann_key, &issuer).unwrap().pem();
    let users = BTreeMap::from([(fingerprint(&joe), "joe".to_owned())]);
    let shown = [
        (client_with(&root, &joe_chain, &joe_key), Some("joe")),
        (client_with(&root, &ann, &ann_key.serialize_pem()), Some("ann.example")),
        (client_with(&root, &eve_chain, &eve_key), None),
        (client(&root, &[]), None),
    ];
    for demand in [Demand::Ask, Demand::Require] {
        let clients = Arc::new(Clients::new(demand, users.clone(), Some(authority_text.as_bytes())).unwrap());
        let config = config(&server, &Service { clients: Some(Arc::clone(&clients)), ..smtp() }).unwrap().unwrap();
        for (client, user) in &shown {
            // Twice: the second session is resumed, and the certificate is known from the ticket.
            for _ in 0..2 {
                let met = meet(&config, client, "a.example");
                assert_eq!(met.is_ok(), demand == Demand::Ask || user.is_some());
                let Ok(met) = met else { continue };
                let found = clients.user(met.peer_certificates().unwrap_or_default(), UnixTime::now());
                assert_eq!(found.as_deref(), *user);
            }
        }
    }
}

#[test]
fn chains_go_without_their_keys() {
    let (chain, key, root) = issue(&["a.example"]);
    let whole = pairs(format!("{chain}{key}").as_bytes()).unwrap();
    let text = whole[0].without_key();
    assert!(!text.contains("PRIVATE") && text.contains("PUBLIC KEY"));
    let signer: Arc<dyn crate::keys::RemoteSigner> = Arc::new(crate::keys::tests::Keeper::of(&key));
    let far = chains(text.as_bytes(), &signer).unwrap();
    assert_eq!(far[0].names(), whole[0].names());
    let config = config(&far, &smtp()).unwrap().unwrap();
    shake_hands(&config, "a.example", &root).unwrap();
    let (_, other, _) = issue(&["b.example"]);
    let swapped = text.split("-----BEGIN PUBLIC").next().unwrap().to_owned() + pairs_text(&other).as_str();
    assert!(chains(swapped.as_bytes(), &signer).is_err());
}

/// The public half of a key, as [`crate::Pair::without_key`] writes it.
fn pairs_text(key: &str) -> String {
    let key = rcgen::KeyPair::from_pem(key).unwrap();
    rcgen::PublicKeyData::subject_public_key_info(&key);
    key.public_key_pem()
}

#[test]
fn a_client_far_from_its_key_proves_who_it_is() {
    let (chain, key, root) = issue(&["a.example"]);
    let server = pairs(format!("{chain}{key}").as_bytes()).unwrap();
    let (joe_chain, joe_key, joe) = issue(&["joe.example"]);
    let joe_text = pairs(format!("{joe_chain}{joe_key}").as_bytes()).unwrap()[0].without_key();
    let signer: Arc<dyn crate::keys::RemoteSigner> = Arc::new(crate::keys::tests::Keeper::client(&joe_key));
    let far = chains(joe_text.as_bytes(), &signer).unwrap().remove(0);
    let users = BTreeMap::from([(fingerprint(&joe), "joe".to_owned())]);
    let clients = Arc::new(Clients::new(Demand::Require, users, None).unwrap());
    let config = config(&server, &Service { clients: Some(Arc::clone(&clients)), ..smtp() }).unwrap().unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(far.certified()));
        let met = meet(&config, &Arc::new(client), "a.example").unwrap();
        assert_eq!(clients.user(met.peer_certificates().unwrap(), UnixTime::now()).as_deref(), Some("joe"), "{version:?}");
    }
}
