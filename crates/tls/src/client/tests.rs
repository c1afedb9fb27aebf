use super::dane::{Shown, check};
use super::*;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256, Sha512};

struct Chain {
    leaf: CertificateDer<'static>,
    leaf_key: Vec<u8>,
    root: CertificateDer<'static>,
    root_key: Vec<u8>,
}

fn chain() -> Chain {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let spki = |der: &CertificateDer<'_>| webpki::EndEntityCert::try_from(der).unwrap().subject_public_key_info().to_vec();
    let (leaf, root) = (leaf.der().clone(), issuer.der().clone());
    Chain { leaf_key: spki(&leaf), root_key: spki(&root), leaf, root }
}

fn judge(chain: &Chain, records: &[Record], names: &[&str]) -> Result<(), Fault> {
    let shown = Shown {
        leaf: &chain.leaf,
        intermediates: std::slice::from_ref(&chain.root),
        now: UnixTime::now(),
        algorithms: ring::default_provider().signature_verification_algorithms,
    };
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    check(records, &names, &shown).map_err(|failure| failure.fault)
}

fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Record {
    let data = match matching {
        1 => Sha256::digest(data).to_vec(),
        2 => Sha512::digest(data).to_vec(),
        _ => data.to_vec(),
    };
    Record { usage, selector, matching, data }
}

#[test]
fn every_usage_selector_and_matching() {
    let chain = chain();
    let stranger = self::chain();
    for matching in 0..=2 {
        for (selector, leaf, root) in [(0, &chain.leaf[..], &chain.root[..]), (1, &chain.leaf_key[..], &chain.root_key[..])] {
            // DANE-EE: whatever the name.
            assert_eq!(judge(&chain, &[record(3, selector, matching, leaf)], &["other.example"]), Ok(()), "3 {selector} {matching}");
            assert_eq!(judge(&chain, &[record(3, selector, matching, root)], &["mx.example"]), Err(Fault::Tlsa));
            // DANE-TA: for one of the names.
            assert_eq!(judge(&chain, &[record(2, selector, matching, root)], &["x", "mx.example"]), Ok(()), "2 {selector} {matching}");
            assert_eq!(judge(&chain, &[record(2, selector, matching, root)], &["other.example"]), Err(Fault::HostMismatch));
            // PKIX usages say nothing here.
            assert_eq!(judge(&chain, &[record(1, selector, matching, leaf)], &["mx.example"]), Err(Fault::Tlsa));
        }
        assert!(judge(&stranger, &[record(3, 0, matching, &chain.leaf)], &["mx.example"]).is_err());
        assert!(judge(&stranger, &[record(2, 0, matching, &chain.root)], &["mx.example"]).is_err());
    }
    // One good record among bad ones is enough (a key that is being replaced).
    assert_eq!(judge(&chain, &[record(3, 1, 1, b"old"), record(3, 1, 1, &chain.leaf_key)], &[]), Ok(()));
}

#[test]
fn odd_sizes_match_nothing() {
    let chain = chain();
    for matching in 0..=3 {
        for length in [0, 1, 2, 3, 19, 31, 33, 63, 65, 17 * 1024] {
            let odd = Record { usage: 3, selector: 1, matching, data: vec![0; length] };
            assert!(matching == 0 || !any_usable(std::slice::from_ref(&odd)), "{matching} {length}");
            assert_eq!(judge(&chain, &[odd], &[]), Err(Fault::Tlsa));
        }
    }
}

proptest! {
    /// Any records, any certificates: an answer, and never a match by chance.
    #[test]
    fn any_bytes(
        records in proptest::collection::vec((any::<u8>(), any::<u8>(), 0..4u8, proptest::collection::vec(any::<u8>(), 0..70)), 0..80),
        leaf in proptest::collection::vec(any::<u8>(), 0..100)
    ) {
        let records: Vec<Record> =
            records.into_iter().map(|(usage, selector, matching, data)| Record { usage, selector, matching, data }).collect();
        let leaf = CertificateDer::from(leaf);
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let shown = Shown { leaf: &leaf, intermediates: std::slice::from_ref(&leaf), now: UnixTime::now(), algorithms };
        prop_assert!(check(&records, &["mx.example".to_owned()], &shown).is_err());
    }
}
