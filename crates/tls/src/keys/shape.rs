//! What is signed in TLS handshakes, known by its form.
//!
//! A process that speaks TLS may be taken over by who speaks with it. It can have handshakes signed for as long as it is
//! heard, and nothing else: no certificate requests, no mail, no code.

/// The end of a handshake that a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Server,
    Client,
}

/// Longest message: what a client signs in TLS 1.2 is the whole handshake so far, with the server's certificates.
pub const LONGEST: usize = 64 * 1024;
const PADDING: usize = 64;
const SERVER: &[u8] = b"TLS 1.3, server CertificateVerify\0";
const CLIENT: &[u8] = b"TLS 1.3, client CertificateVerify\0";

/// Does this side sign such a message under such a scheme?
pub fn is_signed_by(side: Side, scheme: u16, message: &[u8]) -> bool {
    if message.len() > LONGEST {
        return false;
    }
    // RFC 8446 section 4.2.3: PKCS #1 v1.5 signs certificates in TLS 1.3, never handshakes.
    let is_pkcs1 = scheme & 0xff == 1;
    match side {
        Side::Server => !is_pkcs1 && is_tls13(SERVER, message) || is_key_exchange(message),
        Side::Client => !is_pkcs1 && is_tls13(CLIENT, message) || is_handshake(message),
    }
}

/// RFC 8446 section 4.4.3: 64 blanks, a text, 0, the hash of the handshake.
fn is_tls13(context: &[u8], message: &[u8]) -> bool {
    let Some((padding, rest)) = message.split_at_checked(PADDING) else { return false };
    let hash = rest.strip_prefix(context);
    padding.iter().all(|byte| *byte == b' ') && hash.is_some_and(|hash| matches!(hash.len(), 32 | 48))
}

/// RFC 8422 section 5.4: client_random, server_random, ServerECDHParams: curve type, curve, length, point.
fn is_key_exchange(message: &[u8]) -> bool {
    let Some((_, parameters)) = message.split_at_checked(64) else { return false };
    let Some(([3, high, low, length], point)) = parameters.split_first_chunk() else { return false };
    let wanted = match u16::from_be_bytes([*high, *low]) {
        // x25519, secp256r1, secp384r1
        0x001d => 32,
        0x0017 => 65,
        0x0018 => 97,
        _ => return false,
    };
    usize::from(*length) == wanted && point.len() == wanted
}

/// RFC 5246 section 7.4.8: all handshake messages so far, from ClientHello to ClientKeyExchange.
fn is_handshake(message: &[u8]) -> bool {
    const CLIENT_HELLO: u8 = 1;
    const SERVER_HELLO: u8 = 2;
    const CLIENT_KEY_EXCHANGE: u8 = 16;
    let (mut rest, mut kinds) = (message, Vec::new());
    while let Some(([kind, a, b, c], after)) = rest.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
        let Some((_, next)) = after.split_at_checked(length) else { return false };
        kinds.push(*kind);
        rest = next;
    }
    rest.is_empty() && kinds.starts_with(&[CLIENT_HELLO, SERVER_HELLO]) && kinds.last() == Some(&CLIENT_KEY_EXCHANGE) && kinds.len() <= 16
}
