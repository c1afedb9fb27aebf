//! HTTPS: fetching policies, posting reports. Blocking, on threads of the pool.

use crate::names::Names;
use crate::policy;
use ipc::tlspolicy::StsPolicy;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// For one policy or report, all of it (RFC 8461 section 3.3).
pub const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a response's header.
const MAX_HEADER: usize = 16 * 1024;

/// An HTTPS client that asks our resolver for addresses and trusts what `[tls] roots` says.
#[derive(Debug, Clone)]
pub struct Fetcher {
    agent: Agent,
    port: u16,
}

/// Why there is no policy, as reports name it (RFC 8460 section 4.3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: &'static str,
    pub text: String,
}

impl Failure {
    fn fetch(text: impl Into<String>) -> Self {
        Self { kind: "sts-policy-fetch-error", text: text.into() }
    }
}

#[derive(Debug)]
struct OurNames(Arc<Names>);

impl Resolver for OurNames {
    fn resolve(&self, uri: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(443);
        let addresses = self.0.addresses(host).map_err(|text| Error::Io(std::io::Error::other(text)))?;
        let mut found = self.empty();
        for address in addresses.into_iter().take(16) {
            found.push(SocketAddr::new(address, port));
        }
        Ok(found)
    }
}

impl Fetcher {
    pub fn new(names: Arc<Names>, roots: Option<&Path>, port: u16, limit: Duration) -> Result<Self, String> {
        let roots: Vec<Certificate<'static>> = certificates(roots)?.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            // RFC 8461 section 3.3: redirects must not be followed.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Never one from the environment.
            .proxy(None)
            .user_agent("zpost")
            .max_response_header_size(MAX_HEADER)
            .max_idle_connections(0)
            .timeout_global(Some(limit))
            .tls_config(tls)
            .build();
        Ok(Self { agent: Agent::with_parts(config, DefaultConnector::new(), OurNames(names)), port })
    }

    /// The policy of a domain under this id.
    pub fn policy(&self, domain: &str, id: &str) -> Result<StsPolicy, Failure> {
        let authority = if self.port == 443 { format!("mta-sts.{domain}") } else { format!("mta-sts.{domain}:{}", self.port) };
        let response = self.agent.get(format!("https://{authority}/.well-known/mta-sts.txt")).call().map_err(|e| failure(&e))?;
        if response.status() != 200 {
            return Err(Failure::fetch(format!("HTTP status {}", response.status().as_u16())));
        }
        let media = response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("text/plain") {
            return Err(Failure::fetch(format!("media type {:.40}, not text/plain", media.escape_default().to_string())));
        }
        let mut text = Vec::new();
        let most = policy::MAX_TEXT as u64;
        response.into_body().into_reader().take(most + 1).read_to_end(&mut text).map_err(|e| Failure::fetch(e.to_string()))?;
        policy::parse(&text, id).map_err(|text| Failure { kind: "sts-policy-invalid", text })
    }

    /// Posts a report. Only on the port that HTTPS has here: a record must not make us knock at others.
    pub fn post(&self, url: &str, port: u16, body: &[u8]) -> Result<(), String> {
        if port != 443 && port != self.port {
            return Err(format!("port {port} is not asked"));
        }
        let response = self.agent.post(url).header("content-type", "application/tlsrpt+gzip").send(body).map_err(|e| failure(&e).text)?;
        if response.status().is_success() { Ok(()) } else { Err(format!("HTTP status {}", response.status().as_u16())) }
    }
}

/// Is it the certificate's fault?
fn failure(error: &Error) -> Failure {
    let inner = |e: &std::io::Error| e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let webpki = match error {
        Error::Rustls(_) | Error::Tls(_) => true,
        Error::Io(e) => inner(e),
        _ => false,
    };
    let text = error.to_string().replace(char::is_control, " ");
    if webpki { Failure { kind: "sts-webpki-invalid", text } } else { Failure::fetch(text) }
}

fn certificates(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(file) = file else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let place = |e: &dyn std::fmt::Display| format!("[tls] roots {}: {e}", file.display());
    let list = CertificateDer::pem_file_iter(file).map_err(|e| place(&e))?;
    let list: Vec<CertificateDer<'static>> = list.collect::<Result<_, _>>().map_err(|e| place(&e))?;
    if list.is_empty() { Err(place(&"no certificate in it")) } else { Ok(list) }
}
