//! Certificates and their keys: read together, handed over apart.

use crate::Failure;
use crate::configuration::{Configuration, read_text, render, sealed};
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
    for pair in &configuration.settings.certificates {
        read_pair(configuration, "certificate", &pair.chain, &pair.key, (&mut chains, &mut keys))?;
    }
    halves(&chains, &mut keys)
}

/// That of `[tls]`.
pub fn of_client(configuration: &Configuration) -> Result<Option<Halves>, Failure> {
    let tls = &configuration.settings.tls;
    let (Some(chain), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(None) };
    let (mut chains, mut keys) = (String::new(), Vec::new());
    read_pair(configuration, "tls", chain, key, (&mut chains, &mut keys))?;
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

fn read_pair(
    configuration: &Configuration,
    section: &str,
    chain: &Path,
    key: &Path,
    (chains, keys): (&mut String, &mut Vec<u8>),
) -> Result<(), Failure> {
    let config = |value: &Path, text: String| {
        let fault = configuration.fault(&value.to_string_lossy(), format!("{section}: {text}"));
        Failure::config(render(&configuration.path, &[fault]))
    };
    let from = keys.len();
    for file in [chain, key] {
        let text = read_text(file).map_err(|e| config(file, format!("cannot read {}: {e}", file.display())))?;
        keys.extend_from_slice(text.as_bytes());
        keys.push(b'\n');
    }
    let pairs = tls::pairs(keys.get(from..).unwrap_or_default()).map_err(|e| config(chain, e.to_string()))?;
    let [pair] = pairs.as_slice() else {
        return Err(config(key, format!("{} and {} hold {} keys, not one", chain.display(), key.display(), pairs.len())));
    };
    chains.push_str(&pair.without_key());
    Ok(())
}

fn halves(chains: &str, keys: &mut [u8]) -> Result<Option<Halves>, Failure> {
    if chains.is_empty() {
        return Ok(None);
    }
    let made = sealed(chains.as_bytes()).and_then(|chains| Ok(Halves { chains, keys: sealed(keys)? }));
    keys.fill(0);
    made.map(Some).map_err(|e| Failure::system(format!("cannot make a memory file: {e}")))
}
