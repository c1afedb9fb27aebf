//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) with the channel bindings of RFC 5929 and RFC 9266.

use super::plain::{is_same_user, user};
use super::{Surroundings, Turn, Why};
use crate::secret::{ScramSecret, same};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// Longest nonce of a client in bytes.
const MAX_NONCE: usize = 512;

pub struct Scram {
    user: String,
    /// What `c=` must be: the header of the first message, and the binding.
    binding: String,
    /// The client's first message without its header.
    first: String,
    nonce: String,
    step: Step,
}

enum Step {
    Begun,
    Challenged {
        secret: ScramSecret,
        challenge: String,
    },
    /// Our signature is said; the client has nothing left to say.
    Proven,
}

impl Scram {
    /// The client's first message; gives the user too.
    pub fn begin(plus: bool, around: &Surroundings, message: &[u8]) -> Result<(Self, String), Why> {
        let text = std::str::from_utf8(message).map_err(|_| Why::Malformed)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(acting_as), Some(first)) = (parts.next(), parts.next(), parts.next()) else { return Err(Why::Malformed) };
        let bound = bound(flag, plus, around)?;
        let mut fields = first.split(',');
        let (name, nonce) = (fields.next().and_then(|f| f.strip_prefix("n=")), fields.next().and_then(|f| f.strip_prefix("r=")));
        let (name, nonce) = name.zip(nonce).ok_or(Why::Malformed)?;
        let name = unescape(name).and_then(|name| user(name.as_bytes())).ok_or(Why::Malformed)?;
        let printable = |byte: u8| (0x21..=0x7e).contains(&byte);
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(printable) {
            return Err(Why::Malformed);
        }
        let other =
            if acting_as.is_empty() { name.clone() } else { acting_as.strip_prefix("a=").and_then(unescape).ok_or(Why::Malformed)? };
        if !is_same_user(other.as_bytes(), &name) {
            return Err(Why::Authorization);
        }
        let mut binding = format!("{flag},{acting_as},").into_bytes();
        binding.extend_from_slice(bound);
        let scram = Self {
            user: name.clone(),
            binding: BASE64.encode(&binding),
            first: first.to_owned(),
            nonce: format!("{nonce}{}", around.nonce),
            step: Step::Begun,
        };
        Ok((scram, name))
    }

    pub fn secret(&mut self, secret: ScramSecret) -> Turn {
        let challenge = format!("r={},s={},i={}", self.nonce, BASE64.encode(&secret.salt), secret.rounds);
        let said = challenge.clone().into_bytes();
        self.step = Step::Challenged { secret, challenge };
        Turn::Challenge(said)
    }

    pub fn hear(&mut self, message: &[u8]) -> Turn {
        match &self.step {
            Step::Begun => Turn::Refused(Why::Malformed),
            Step::Challenged { secret, challenge } => match self.proven(secret, challenge, message) {
                Ok(signature) => {
                    self.step = Step::Proven;
                    Turn::Challenge(signature.into_bytes())
                }
                Err(why) => Turn::Refused(why),
            },
            Step::Proven if message.is_empty() => Turn::Accepted(self.user.clone()),
            Step::Proven => Turn::Refused(Why::Malformed),
        }
    }

    /// The client's last message against the secret: our signature.
    fn proven(&self, secret: &ScramSecret, challenge: &str, message: &[u8]) -> Result<String, Why> {
        let text = std::str::from_utf8(message).map_err(|_| Why::Malformed)?;
        let (unproven, proof) = text.rsplit_once(",p=").ok_or(Why::Malformed)?;
        let mut fields = unproven.split(',');
        let (binding, nonce) = (fields.next().and_then(|f| f.strip_prefix("c=")), fields.next().and_then(|f| f.strip_prefix("r=")));
        let (binding, nonce) = binding.zip(nonce).ok_or(Why::Malformed)?;
        if nonce != self.nonce {
            return Err(Why::Malformed);
        }
        if binding != self.binding {
            return Err(Why::Binding);
        }
        let proof = BASE64.decode(proof.as_bytes()).map_err(|_| Why::Malformed)?;
        let signed = format!("{},{challenge},{unproven}", self.first);
        let signature = crate::secret::keyed(&secret.stored_key, signed.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, sign)| proof ^ sign).collect();
        if proof.len() != signature.len() || !same(&Sha256::digest(&client_key), &secret.stored_key) {
            return Err(Why::Credentials);
        }
        Ok(format!("v={}", BASE64.encode(&crate::secret::keyed(&secret.server_key, signed.as_bytes()))))
    }
}

/// The binding that the client's flag asks for. A client that knows bindings and believes that we know none (`y`) was
/// deceived by somebody in between (RFC 5802 section 6).
fn bound<'a>(flag: &str, plus: bool, around: &'a Surroundings) -> Result<&'a [u8], Why> {
    match (flag, flag.strip_prefix("p="), plus) {
        ("n", _, false) => Ok(&[]),
        ("y", _, false) if !around.offers_plus => Ok(&[]),
        ("y", _, false) => Err(Why::Binding),
        (_, Some(name), true) => {
            around.bindings.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice()).ok_or(Why::Binding)
        }
        _ => Err(Why::Malformed),
    }
}

/// `=2C` is a comma and `=3D` an equals sign; nothing else begins with one.
pub fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = part.strip_prefix("2C").map(|rest| (',', rest)).or_else(|| part.strip_prefix("3D").map(|rest| ('=', rest)))?;
        plain.push(sign);
        plain.push_str(rest);
    }
    Some(plain)
}
