//! Clients that are known by a certificate.

use crate::Fault;
use crate::checks::{at, text};
use crate::sheet::{Group, Sheet};

/// `[[listener]] client_certificates`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    No,
    /// Who shows one that is known may do what a login allows; the others are served like anybody.
    Ask,
    /// Nobody else is served inside TLS.
    Require,
}

/// `[[client_certificate]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of the certificate (DER).
    pub fingerprint: [u8; 32],
    pub user: String,
}

pub(crate) fn demand(g: &Group) -> ClientCertificates {
    match g.text("client_certificates").as_str() {
        "ask" => ClientCertificates::Ask,
        "require" => ClientCertificates::Require,
        _ => ClientCertificates::No,
    }
}

pub(crate) fn client_certificate(g: &Group) -> ClientCertificate {
    ClientCertificate { fingerprint: fingerprint(&g.text("fingerprint")).unwrap_or_default(), user: g.text("user") }
}

/// As openssl prints it, or as one number; with `sha256:` before it or without.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

pub(crate) fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let known = sheet.groups("client_certificate");
    for group in known {
        if text(group, "fingerprint").is_some_and(|text| fingerprint(text).is_none()) {
            let advice = "no SHA-256 of a certificate (64 hexadecimal digits); openssl x509 -noout -fingerprint -sha256 -in FILE prints it";
            faults.push(at(group, "fingerprint", format!("client_certificate.fingerprint: {advice}")));
        }
        if text(group, "user").is_some_and(|user| user.trim().is_empty()) {
            faults.push(at(group, "user", "client_certificate.user: a name is wanted".to_owned()));
        }
    }
    for group in sheet.groups("listener") {
        let asks = text(group, "client_certificates").is_some_and(|word| word != "no");
        let authority = text(group, "client_ca").is_some_and(|path| !path.is_empty());
        if asks && sheet.groups("certificate").is_empty() {
            faults.push(at(group, "client_certificates", "listener.client_certificates: TLS needs a [[certificate]]".to_owned()));
        } else if asks && known.is_empty() && !authority {
            let text = "listener.client_certificates: no certificate could be known; give client_ca or [[client_certificate]]";
            faults.push(at(group, "client_certificates", text.to_owned()));
        } else if !asks && authority {
            faults.push(at(group, "client_ca", "listener.client_ca: has no effect without client_certificates".to_owned()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::fingerprint;

    #[test]
    fn fingerprints() {
        let plain = "00ff".repeat(16);
        let colons =
            plain.to_uppercase().as_bytes().chunks(2).map(|p| String::from_utf8_lossy(p).into_owned()).collect::<Vec<_>>().join(":");
        for text in [plain.clone(), format!("sha256:{plain}"), colons] {
            assert_eq!(fingerprint(&text).unwrap().first_chunk(), Some(&[0, 255]));
        }
        for text in ["", "sha256:", &plain[1..], "zz", &format!("{plain}00"), &plain.replace('f', "g"), &plain.replace("00", "+0")] {
            assert_eq!(fingerprint(text), None, "{text}");
        }
    }
}
