//! What only the driver knows of a session, for the questions to policy services: filled in when one is asked, so that
//! sessions without services pay nothing.

use crate::connection::{Connection, Stream};
use crate::context::Client;
use crate::worker::Worker;
use policy::Query;
use std::net::SocketAddr;

impl Worker {
    /// Both ends of the connection, its TLS, and how loaded the host is, by their names in Postfix's protocol.
    pub(crate) fn complete(&self, c: &Connection, query: &mut Query) {
        let Query::Delegate { attributes, .. } = query else { return };
        let mut set = |name: &str, value: String| {
            if let Some((_, place)) = attributes.iter_mut().find(|(known, _)| known == name) {
                *place = value;
            }
        };
        if self.level > 0 {
            set("stress", "yes".to_owned());
        }
        // Behind a balancer or a relay the ends of the socket are not those of the client's connection.
        if let Some((client, server)) = c.stream.ends().filter(|(client, _)| Client::Network(client.ip().to_canonical()) == c.client) {
            set("client_port", client.port().to_string());
            set("server_address", server.ip().to_canonical().to_string());
            set("server_port", server.port().to_string());
        }
        if let Some((protocol, cipher)) = c.stream.describe().as_deref().and_then(|text| text.split_once(' ')) {
            set("encryption_protocol", protocol.to_owned());
            set("encryption_cipher", openssl(cipher));
            set("encryption_keysize", key_bits(cipher).to_string());
        }
    }
}

impl Stream {
    /// The client's end of the socket, and ours.
    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let socket = match self {
            Self::Tcp(socket) => socket,
            Self::Tls(secure) => &secure.socket,
            Self::Unix(_) | Self::Gone => return None,
        };
        socket.peer_addr().ok().zip(socket.local_addr().ok())
    }
}

/// A cipher suite of the registry as OpenSSL, and so Postfix, writes it.
fn openssl(suite: &str) -> String {
    if let Some(rest) = suite.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let Some((exchange, cipher)) = suite.strip_prefix("TLS_").and_then(|rest| rest.split_once("_WITH_")) else { return suite.to_owned() };
    // Where the cipher brings its own authentication the hash is left out of the name.
    let cipher = cipher.strip_suffix("_SHA256").filter(|cipher| cipher.starts_with("CHACHA20")).unwrap_or(cipher);
    format!("{exchange}_{}", cipher.replacen("AES_", "AES", 1)).replace('_', "-")
}

fn key_bits(suite: &str) -> u16 {
    if suite.contains("AES_128") { 128 } else { 256 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cipher_suites_are_called_as_services_know_them() {
        for (suite, name, bits) in [
            ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384", 256),
            ("TLS13_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", 128),
            ("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256", 256),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", 128),
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", 256),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", 256),
        ] {
            assert_eq!((openssl(suite).as_str(), key_bits(suite)), (name, bits));
        }
    }
}
