use super::ring::Ring;
use daemon::Contacts;
use ipc::keys::Sign;
use std::io::Write;
use std::os::fd::OwnedFd;
use tls::keys::Refused;

/// ECDSA with P-256 and SHA-256.
const P256: u16 = 0x0403;

fn memory(text: &str) -> OwnedFd {
    let made = nix::sys::memfd::memfd_create(c"test", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap();
    let mut file = std::fs::File::from(made);
    file.write_all(text.as_bytes()).unwrap();
    file.into()
}

fn question(key: [u8; 32], side: &str) -> Sign {
    let mut message = vec![b' '; 64];
    message.extend_from_slice(format!("TLS 1.3, {side} CertificateVerify\0").as_bytes());
    message.extend_from_slice(&[1; 32]);
    Sign { number: 1, key, scheme: P256, message }
}

#[test]
fn each_side_signs_for_itself() {
    let (server, both) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
    let id = |key: &rcgen::KeyPair| *tls::keys::PublicKey::read(&rcgen::PublicKeyData::subject_public_key_info(key)).unwrap().id();
    let keys = server.serialize_pem() + &both.serialize_pem();
    let named = vec![("keys".to_owned(), memory(&keys)), ("identity_key".to_owned(), memory(&both.serialize_pem()))];
    let ring = Ring::read(&mut Contacts::of(named)).unwrap();
    assert_eq!(ring.len(), 3);
    let signs = |key: &rcgen::KeyPair, side: &str| {
        let question = question(id(key), side);
        ring.find(&question).unwrap().sign(question.scheme, &question.message).map(drop)
    };
    assert_eq!((signs(&server, "server"), signs(&server, "client")), (Ok(()), Err(Refused::Shape)));
    assert_eq!((signs(&both, "server"), signs(&both, "client")), (Ok(()), Ok(())));
    assert!(ring.find(&question([0; 32], "server")).is_none());
    let mut other = question(id(&both), "server");
    other.message = b"please sign this".to_vec();
    assert_eq!(ring.find(&other).unwrap().sign(P256, &other.message), Err(Refused::Shape));
}

#[test]
fn what_is_no_key_is_said() {
    let of = |text: &str| Ring::read(&mut Contacts::of(vec![("keys".to_owned(), memory(text))]));
    assert_eq!(of("nothing").unwrap().len(), 0);
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(of(broken).unwrap_err().contains("key 1"));
    assert_eq!(Ring::read(&mut Contacts::default()).unwrap().len(), 0);
}
