//! Certificates and their keys: read together, handed over apart.

use crate::Failure;
use crate::configuration::{Configuration, read_text, render, sealed};
use settings::Fault;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Sealed memory files of pairs.
#[derive(Debug)]
pub struct Halves {
    /// Chains and public keys (`tls::chains`), for the processes that speak TLS.
    pub chains: OwnedFd,
    /// The private keys, for the keyholder and nobody else.
    pub keys: OwnedFd,
}

/// Those of `[[certificate]]`. Tried here: a worker that cannot use them must not be the first to say so.
pub fn of_listeners(configuration: &Configuration) -> Result<Option<Halves>, Failure> {
    let (mut chains, mut keys) = (String::new(), Vec::new());
    let mut faults = Vec::new();
    for pair in &configuration.settings.certificates {
        faults.extend(read_pair(configuration, "certificate", (&pair.chain, &pair.key), (&mut chains, &mut keys)));
    }
    refused(configuration, &faults)?;
    halves(&chains, &mut keys)
}

/// That of `[tls]`.
pub fn of_client(configuration: &Configuration) -> Result<Option<Halves>, Failure> {
    let tls = &configuration.settings.tls;
    let (Some(chain), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(None) };
    let (mut chains, mut keys) = (String::new(), Vec::new());
    let faults = read_pair(configuration, "tls", (chain, key), (&mut chains, &mut keys));
    refused(configuration, &faults)?;
    halves(&chains, &mut keys)
}

/// Issuers of clients' certificates: path and text of each, with NUL behind both.
pub fn authorities(configuration: &Configuration) -> Result<Option<OwnedFd>, Failure> {
    let mut texts = BTreeMap::new();
    for path in configuration.settings.listeners.iter().filter_map(|listener| listener.client_ca.as_deref()) {
        let text = read_text(path).map_err(|e| e.to_string());
        let text = text.and_then(|text| tls::client::roots(text.as_bytes()).map(|_| text).map_err(|e| e.to_string()));
        let text = text.map_err(|why| {
            let fault = configuration.fault(&path.to_string_lossy(), format!("listener.client_ca: {}: {why}", path.display()));
            Failure::config(render(&configuration.path, &[fault]))
        })?;
        texts.insert(path.display().to_string(), text);
    }
    if texts.is_empty() {
        return Ok(None);
    }
    let words: Vec<u8> = texts.iter().flat_map(|(path, text)| [path.as_bytes(), b"\0", text.as_bytes(), b"\0"].concat()).collect();
    sealed(&words).map(Some).map_err(|e| Failure::system(format!("cannot make a memory file: {e}")))
}

/// Adds a pair to what was read before, or says what is wrong with its files.
fn read_pair(
    configuration: &Configuration,
    section: &str,
    (chain, key): (&Path, &Path),
    (chains, keys): (&mut String, &mut Vec<u8>),
) -> Vec<Fault> {
    let say = |value: &Path, text: String| configuration.fault(&value.to_string_lossy(), format!("{section}: {text}"));
    let (from, mut faults) = (keys.len(), Vec::new());
    for (file, lacks) in [(chain, lacks_certificate as fn(&str) -> Option<&'static str>), (key, lacks_key)] {
        match read_text(file) {
            Ok(text) => {
                faults.extend(lacks(&text).map(|what| say(file, format!("{} {what}", file.display()))));
                keys.extend_from_slice(text.as_bytes());
                keys.push(b'\n');
            }
            Err(e) => faults.push(say(file, format!("cannot read {}: {e}", file.display()))),
        }
    }
    if !faults.is_empty() {
        return faults;
    }
    match tls::pairs(keys.get(from..).unwrap_or_default()).as_deref() {
        Ok([pair]) => chains.push_str(&pair.without_key()),
        Ok(pairs) => {
            faults.push(say(key, format!("{} and {} hold {} keys, not one", chain.display(), key.display(), pairs.len())));
        }
        Err(e) => {
            let why = e.0.strip_prefix("certificate 1: ").unwrap_or(&e.0);
            faults.push(say(chain, format!("{} and {}: {why}", chain.display(), key.display())));
        }
    }
    faults
}

fn lacks_certificate(text: &str) -> Option<&'static str> {
    (!text.contains("-----BEGIN CERTIFICATE-----")).then_some("holds no certificate (PEM, `BEGIN CERTIFICATE`)")
}

fn lacks_key(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Some("holds a key with a passphrase, which nobody could type; take it off: openssl pkey -in OLD -out NEW");
    }
    (!text.contains("PRIVATE KEY-----")).then_some("holds no private key (PEM, `BEGIN PRIVATE KEY`)")
}

fn refused(configuration: &Configuration, faults: &[Fault]) -> Result<(), Failure> {
    if faults.is_empty() { Ok(()) } else { Err(Failure::config(render(&configuration.path, faults))) }
}

fn halves(chains: &str, keys: &mut [u8]) -> Result<Option<Halves>, Failure> {
    if chains.is_empty() {
        return Ok(None);
    }
    let made = sealed(chains.as_bytes()).and_then(|chains| Ok(Halves { chains, keys: sealed(keys)? }));
    keys.fill(0);
    made.map(Some).map_err(|e| Failure::system(format!("cannot make a memory file: {e}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let [path, chain, key] = ["zpost.toml", "chain.pem", "key.pem"].map(|name| folder.path().join(name));
        let section = format!("[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display());
        std::fs::write(&path, format!("{}{section}", crate::tests::SMALLEST)).unwrap();
        let says = || Configuration::read(&path).unwrap_err().text;
        assert_eq!(says().matches("cannot read").count(), 2, "{}", says());
        std::fs::write(&chain, "hello").unwrap();
        std::fs::write(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").unwrap();
        for part in ["chain.pem holds no certificate", "key.pem holds a key with a passphrase"] {
            assert!(says().contains(part), "{}", says());
        }
        std::fs::write(&key, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(says().contains("key.pem holds no private key"), "{}", says());
        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap());
        std::fs::write(&chain, one.cert.pem()).unwrap();
        std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
        assert!(says().contains("the key does not belong to the first certificate of the chain"), "{}", says());
    }
}
