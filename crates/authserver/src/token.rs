//! Tokens, shown to the server that knows them (RFC 7662). Blocking, on threads of the pool.

use crate::{Answer, Found};
use data_encoding::BASE64;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// The server, and what of its answers counts.
#[derive(Debug, Clone)]
pub struct Introspector {
    agent: Agent,
    url: String,
    /// The Authorization field's text.
    authorization: Option<String>,
    user: String,
    scope: String,
}

impl Introspector {
    pub fn new(token: &settings::Introspection, roots: &[CertificateDer<'static>], timeout: Duration) -> Result<Self, String> {
        let roots: Vec<Certificate<'static>> = roots.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // What we show is for this server only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent("zpost")
            .timeout_global(Some(timeout))
            .tls_config(tls)
            .build();
        let authorization = match &token.credentials {
            Some(path) => Some(credentials(path)?),
            None => None,
        };
        let (url, user, scope) = (token.url.clone(), token.user.clone(), token.scope.clone());
        Ok(Self { agent: Agent::new_with_config(config), url, authorization, user, scope })
    }

    /// Is the token good, and whose is it?
    pub fn ask(&self, user: Option<&str>, token: &str) -> Answer {
        match self.answer(token) {
            Ok(text) => judge(&text, user, &self.user, &self.scope),
            Err(reason) => Answer::Temporary(format!("token: {reason}")),
        }
    }

    fn answer(&self, token: &str) -> Result<Vec<u8>, String> {
        let mut request =
            self.agent.post(&self.url).header("content-type", "application/x-www-form-urlencoded").header("accept", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let body = format!("token={}&token_type_hint=access_token", form(token));
        let response = request.send(body.as_bytes()).map_err(|e| e.to_string())?;
        if response.status() != 200 {
            return Err(format!("HTTP status {}", response.status().as_u16()));
        }
        let mut text = Vec::new();
        response.into_body().into_reader().take(MAX_ANSWER).read_to_end(&mut text).map_err(|e| e.to_string())?;
        Ok(text)
    }
}

/// The first line of the file: `id:secret`, or `Bearer` and a token.
fn credentials(path: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.starts_with("Bearer ") {
        Ok(line.to_owned())
    } else if line.contains(':') {
        Ok(format!("Basic {}", BASE64.encode(line.as_bytes())))
    } else {
        Err(format!("{}: its first line is neither id:secret nor Bearer and a token", path.display()))
    }
}

fn form(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What the server says of the token. Only what is there once and of the right kind counts.
fn judge(text: &[u8], user: Option<&str>, member: &str, scope: &str) -> Answer {
    let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(text) else {
        return Answer::Temporary("token: an answer that is no JSON object".to_owned());
    };
    match said.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Answer::Unknown,
        _ => return Answer::Temporary("token: an answer without active".to_owned()),
    }
    let Some(name) = said.get(member).and_then(Value::as_str) else {
        return Answer::Temporary(format!("token: an answer without {member}"));
    };
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Answer::Temporary("token: a user name that is none".to_owned());
    }
    let scopes = said.get("scope").and_then(Value::as_str).unwrap_or_default();
    let in_scope = scope.is_empty() || scopes.split(' ').any(|one| one == scope);
    let is_owner = user.is_none_or(|user| user.to_lowercase() == name.to_lowercase());
    if in_scope && is_owner { Answer::Accepted(Found::user(name)) } else { Answer::Unknown }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers() {
        let good = Answer::Accepted(Found::user("Tim@example.org"));
        for (text, user, scope, answer) in [
            (r#"{"active":true,"username":"Tim@example.org","scope":"a smtp"}"#, Some("tim@example.org"), "smtp", Some(&good)),
            (r#"{"active":true,"username":"Tim@example.org"}"#, None, "", Some(&good)),
            (r#"{"active":true,"username":"Tim@example.org"}"#, Some("ann"), "", Some(&Answer::Unknown)),
            (r#"{"active":true,"username":"Tim@example.org","scope":"smtpx"}"#, None, "smtp", Some(&Answer::Unknown)),
            (r#"{"active":false}"#, None, "", Some(&Answer::Unknown)),
            (r#"{"active":"true","username":"a"}"#, None, "", None),
            (r#"{"active":true,"username":["a"]}"#, None, "", None),
            (r#"{"active":true,"username":"a\nb"}"#, None, "", None),
            (r#"{"active":true}"#, None, "", None),
            ("[]", None, "", None),
            ("<html>", None, "", None),
        ] {
            let said = judge(text.as_bytes(), user, "username", scope);
            match answer {
                Some(answer) => assert_eq!(&said, answer, "{text}"),
                None => assert!(matches!(said, Answer::Temporary(_)), "{text}"),
            }
        }
    }

    #[test]
    fn what_goes_into_a_form() {
        assert_eq!(form("a+b/c=&d"), "a%2Bb%2Fc%3D%26d");
    }

    proptest! {
        #[test]
        fn any_answer(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(!matches!(judge(&text, None, "username", ""), Answer::Accepted(_)));
        }
    }
}
