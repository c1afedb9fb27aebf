//! SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding. The password is taken as it stands: SASLprep would change
//! only some that are not ASCII.

use crate::Fault;
use crate::secret::keyed;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

/// RFC 7677 section 4.
const LEAST_ROUNDS: u32 = 4096;
/// The server chooses them and we compute: some 50 ms at this number.
const MOST_ROUNDS: u32 = 100_000;

/// `n,,` in base64: no channel binding, no other identity.
const BINDING: &str = "c=biws";

pub struct Scram {
    nonce: String,
    /// `n=user,r=nonce`.
    first: String,
    step: Step,
}

enum Step {
    AwaitingChallenge,
    /// The server's signature must be this.
    AwaitingProof([u8; 32]),
    Complete,
}

impl Scram {
    pub fn begin(user: &str, nonce: &str) -> (Self, String) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={user},r={nonce}");
        let message = format!("n,,{first}");
        (Self { nonce: nonce.to_owned(), first, step: Step::AwaitingChallenge }, message)
    }

    pub const fn is_complete(&self) -> bool {
        matches!(self.step, Step::Complete)
    }

    pub fn respond(&mut self, challenge: &[u8], password: &str) -> Result<String, Fault> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| Fault::Unexpected)?;
        match self.step {
            Step::AwaitingChallenge => self.prove(challenge, password),
            Step::AwaitingProof(expected) => {
                let given = challenge.strip_prefix("v=").ok_or(Fault::ServerUnproven)?;
                let given = given.split(',').next().unwrap_or_default();
                if BASE64.decode(given.as_bytes()).ok().as_deref() != Some(expected.as_slice()) {
                    return Err(Fault::ServerUnproven);
                }
                self.step = Step::Complete;
                Ok(String::new())
            }
            Step::Complete => Err(Fault::Unexpected),
        }
    }

    fn prove(&mut self, challenge: &str, password: &str) -> Result<String, Fault> {
        let mut fields = challenge.split(',');
        let mut field = |name: &str| fields.next().and_then(|text| text.strip_prefix(name)).ok_or(Fault::Unexpected);
        let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() <= self.nonce.len() {
            return Err(Fault::Unexpected);
        }
        let salt = BASE64.decode(salt.as_bytes()).map_err(|_| Fault::Unexpected)?;
        let rounds: u32 = rounds.parse().map_err(|_| Fault::Unexpected)?;
        if !(LEAST_ROUNDS..=MOST_ROUNDS).contains(&rounds) {
            return Err(Fault::Rounds);
        }
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, rounds, &mut salted);
        let last = format!("{BINDING},r={nonce}");
        let signed = format!("{},{challenge},{last}", self.first);
        let client_key = keyed(&salted, b"Client Key");
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let signature = keyed(&stored_key, signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        self.step = Step::AwaitingProof(keyed(&keyed(&salted, b"Server Key"), signed.as_bytes()));
        Ok(format!("{last},p={}", BASE64.encode(&proof)))
    }
}
