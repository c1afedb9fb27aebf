//! Certificates made by openssl.

use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::process::{Command, Stdio};

/// `NAME.pem` and `NAME.key` in a folder: a certificate of its own for some names.
pub fn certificate(folder: &Path, name: &str, hosts: &[&str]) {
    certificate_of(folder, name, hosts, USUAL);
}

/// The kind of key that costs least.
pub const USUAL: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// The same with a key of some kind, as `openssl req -newkey` wants to hear of it.
pub fn certificate_of(folder: &Path, name: &str, hosts: &[&str], key: &[&str]) {
    let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey"])
        .args(key)
        .args(["-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", &format!("subjectAltName={}", names.join(","))])
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.pem")))
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
}

/// A certificate of an authority of its own, `AUTHORITY.pem`.
pub fn signed(folder: &Path, authority: &str, name: &str, hosts: &[&str]) {
    let issuer = rcgen::KeyPair::generate().unwrap();
    let mut terms = rcgen::CertificateParams::new(Vec::new()).unwrap();
    terms.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    terms.distinguished_name.push(rcgen::DnType::CommonName, authority);
    std::fs::write(folder.join(format!("{authority}.pem")), terms.self_signed(&issuer).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(terms, issuer);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut terms = rcgen::CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
    terms.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    std::fs::write(folder.join(format!("{name}.pem")), terms.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// The `[[certificate]]` of such a pair.
pub fn section(folder: &Path, name: &str) -> String {
    let file = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
    format!("[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n", file("pem"), file("key"))
}

/// The DER of a private key (PKCS #8).
pub fn private_key(text: &str) -> Vec<u8> {
    PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap().secret_pkcs8_der().to_vec()
}

/// The DER of a certificate.
pub fn certificate_bytes(text: &str) -> Vec<u8> {
    rustls_pki_types::CertificateDer::from_pem_slice(text.as_bytes()).unwrap().to_vec()
}

/// The SHA-256 fingerprint of a certificate file, as `openssl x509 -fingerprint -sha256` prints it.
pub fn fingerprint(file: &Path) -> String {
    let output = Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().split_once('=').expect("a fingerprint").1.to_owned()
}
