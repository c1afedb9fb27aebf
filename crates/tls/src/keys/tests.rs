use super::shape::{LONGEST, Side, is_signed_by};
use super::*;
use rustls::SignatureScheme;

/// A keyholder without a process.
#[derive(Debug)]
pub(crate) struct Keeper(Vec<PrivateKey>);

impl Keeper {
    pub(crate) fn of(pem: &str) -> Self {
        Self(private_keys(pem.as_bytes(), Side::Server).unwrap())
    }
    pub(crate) fn client(pem: &str) -> Self {
        Self(private_keys(pem.as_bytes(), Side::Client).unwrap())
    }
}

impl RemoteSigner for Keeper {
    fn sign(&self, key: &KeyId, scheme: u16, message: &[u8]) -> Result<Vec<u8>, String> {
        let key = self.0.iter().find(|k| k.id() == key).ok_or("no such key")?;
        key.sign(scheme, message).map_err(|refused| refused.to_string())
    }
}

const P256: u16 = 0x0403;

fn tls13(side: &str, hash: usize) -> Vec<u8> {
    let mut message = vec![b' '; 64];
    message.extend_from_slice(format!("TLS 1.3, {side} CertificateVerify\0").as_bytes());
    message.resize(message.len() + hash, 7);
    message
}

#[test]
fn only_handshakes_are_signed() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let key = private_keys(key.as_bytes(), Side::Server).unwrap().remove(0);
    assert!(key.is_quick() && key.sign(P256, &tls13("server", 32)).is_ok());
    assert_eq!(key.sign(P256, b"From: me"), Err(Refused::Shape));
    assert_eq!(key.sign(P256, &tls13("client", 32)), Err(Refused::Shape));
    assert_eq!(key.sign(u16::from(SignatureScheme::ED25519), &tls13("server", 32)), Err(Refused::Scheme));
    assert_eq!(key.sign(0x0503, &tls13("server", 48)), Err(Refused::Scheme));
}

#[test]
fn shapes_are_exact() {
    let server = |message: &[u8]| is_signed_by(Side::Server, P256, message);
    let client = |message: &[u8]| is_signed_by(Side::Client, P256, message);
    for hash in 0..80 {
        assert_eq!(server(&tls13("server", hash)), matches!(hash, 32 | 48), "{hash}");
        assert_eq!(client(&tls13("client", hash)), matches!(hash, 32 | 48), "{hash}");
    }
    assert!(!is_signed_by(Side::Server, 0x0401, &tls13("server", 32)), "PKCS #1 is not for TLS 1.3");
    // TLS 1.2, x25519: two random values and the parameters.
    let mut exchange = vec![9; 64];
    exchange.extend_from_slice(&[3, 0, 0x1d, 32]);
    exchange.resize(64 + 4 + 32, 1);
    assert!(server(&exchange) && !client(&exchange) && is_signed_by(Side::Server, 0x0401, &exchange));
    for cut in 0..exchange.len() {
        assert!(!server(&exchange[..cut]));
    }
    exchange.push(0);
    assert!(!server(&exchange));
    // TLS 1.2, the client: all messages from ClientHello to ClientKeyExchange.
    let handshake = [&[1, 0, 0, 2, 0, 0][..], &[2, 0, 0, 1, 0], &[11, 0, 0, 0], &[16, 0, 0, 1, 5]].concat();
    assert!(client(&handshake) && !server(&handshake));
    for cut in 0..handshake.len() {
        assert!(!client(&handshake[..cut]), "{cut}");
    }
    let mut long = vec![1, 0, 0xff, 0xff];
    long.resize(LONGEST + 1, 0);
    assert!(!client(&long));
}

proptest::proptest! {
    #[test]
    fn noise_is_no_handshake(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        proptest::prop_assert!(!is_signed_by(Side::Client, P256, &noise) || noise.starts_with(&[1]));
        is_signed_by(Side::Server, P256, &noise);
    }
}

#[test]
fn kinds_of_keys_are_known() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let private = private_keys(pair.serialize_pem().as_bytes(), Side::Server).unwrap().remove(0);
        let public = PublicKey::read(&rcgen::PublicKeyData::subject_public_key_info(&pair)).unwrap();
        assert_eq!(private.id(), public.id());
    }
    assert!(PublicKey::read(b"").is_err() && PublicKey::read(&[0x30, 2, 0x30, 0]).is_err());
}
