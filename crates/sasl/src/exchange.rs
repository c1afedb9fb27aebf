//! The exchange of one login.

use crate::Mechanism;
use crate::scram::Scram;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use std::fmt;

/// Longest challenge that is looked at, in base64 (RFC 4954 section 4 lets lines be 12288 octets).
const MAX_CHALLENGE: usize = 12288;

/// A user and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why an exchange cannot go on; the other side's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No base64, or too much of it.
    Encoding,
    /// Not what the mechanism says here.
    Unexpected,
    /// The server has not shown that it knows the password: it is not who it should be.
    ServerUnproven,
    /// SCRAM with too few rounds to protect the password, or more than we are willing to compute.
    Rounds,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "the server's challenge is no base64",
            Self::Unexpected => "the server's challenge is not one of the mechanism",
            Self::ServerUnproven => "the server did not prove that it knows the password",
            Self::Rounds => "the server wants an unreasonable number of rounds",
        })
    }
}

impl std::error::Error for Fault {}

/// One login in progress. Responses and challenges are in base64, as SMTP carries them.
pub struct Exchange {
    login: Login,
    state: State,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("user", &self.login.user).finish_non_exhaustive()
    }
}

enum State {
    LoginUser,
    LoginPassword,
    CramMd5,
    Scram(Box<Scram>),
    /// Nothing more is to be said.
    Complete,
}

impl Exchange {
    /// Begins; gives the initial response where the mechanism has one. `nonce`: printable, without comma, never used before
    /// (only SCRAM needs it).
    pub fn begin(mechanism: Mechanism, login: Login, nonce: &str) -> (Self, Option<String>) {
        let (state, first) = match mechanism {
            Mechanism::Plain => {
                let text = format!("\0{}\0{}", login.user, login.password);
                (State::Complete, Some(text))
            }
            Mechanism::Login => (State::LoginUser, None),
            Mechanism::CramMd5 => (State::CramMd5, None),
            Mechanism::ScramSha256 => {
                let (scram, first) = Scram::begin(&login.user, nonce);
                (State::Scram(Box::new(scram)), Some(first))
            }
        };
        (Self { login, state }, first.map(|text| BASE64.encode(text.as_bytes())))
    }

    /// The response to a challenge (the text of a 334 reply).
    pub fn respond(&mut self, challenge: &str) -> Result<String, Fault> {
        let response = match &mut self.state {
            // What the prompts of LOGIN say has never been agreed on; only their order.
            State::LoginUser => {
                self.state = State::LoginPassword;
                self.login.user.clone()
            }
            State::LoginPassword => {
                self.state = State::Complete;
                self.login.password.clone()
            }
            State::CramMd5 => {
                let challenge = decode(challenge)?;
                self.state = State::Complete;
                format!("{} {}", self.login.user, cram_md5(&self.login.password, &challenge))
            }
            State::Scram(scram) => scram.respond(&decode(challenge)?, &self.login.password)?,
            State::Complete => return Err(Fault::Unexpected),
        };
        Ok(BASE64.encode(response.as_bytes()))
    }

    /// The server says that we are in: is that to be believed?
    pub fn succeeded(&self) -> Result<(), Fault> {
        match &self.state {
            State::Complete => Ok(()),
            State::Scram(scram) if scram.is_complete() => Ok(()),
            State::Scram(_) => Err(Fault::ServerUnproven),
            _ => Err(Fault::Unexpected),
        }
    }
}

fn decode(challenge: &str) -> Result<Vec<u8>, Fault> {
    if challenge.len() > MAX_CHALLENGE {
        return Err(Fault::Encoding);
    }
    BASE64.decode(challenge.trim().as_bytes()).map_err(|_| Fault::Encoding)
}

/// RFC 2195: the keyed digest of the challenge, in hexadecimal.
fn cram_md5(password: &str, challenge: &[u8]) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(password.as_bytes()) else { return String::new() };
    mac.update(challenge);
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: password.into() }
    }

    fn encode(text: &str) -> String {
        BASE64.encode(text.as_bytes())
    }

    fn decoded(text: &str) -> String {
        String::from_utf8(BASE64.decode(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn plain_is_said_at_once() {
        let (mut exchange, first) = Exchange::begin(Mechanism::Plain, login("tim", "tanstaaftanstaaf"), "");
        assert_eq!(decoded(&first.unwrap()), "\0tim\0tanstaaftanstaaf");
        assert_eq!(exchange.succeeded(), Ok(()));
        assert_eq!(exchange.respond(""), Err(Fault::Unexpected));
    }

    #[test]
    fn login_answers_two_prompts() {
        let (mut exchange, first) = Exchange::begin(Mechanism::Login, login("u", "p"), "");
        assert_eq!(first, None);
        assert_eq!(exchange.succeeded(), Err(Fault::Unexpected));
        assert_eq!(decoded(&exchange.respond("VXNlcm5hbWU6").unwrap()), "u");
        assert_eq!(decoded(&exchange.respond("whatever").unwrap()), "p");
        assert_eq!(exchange.succeeded(), Ok(()));
    }

    /// The example of RFC 2195 section 2.
    #[test]
    fn cram_md5_as_in_its_rfc() {
        let (mut exchange, first) = Exchange::begin(Mechanism::CramMd5, login("tim", "tanstaaftanstaaf"), "");
        assert_eq!(first, None);
        let answer = exchange.respond(&encode("<1896.697170952@postoffice.reston.mci.net>")).unwrap();
        assert_eq!(decoded(&answer), "tim b913a602c7eda7a495b4e6e7334d3890");
        let (mut odd, _) = Exchange::begin(Mechanism::CramMd5, login("tim", "x"), "");
        assert_eq!(odd.respond("%%%"), Err(Fault::Encoding));
    }

    /// The example of RFC 7677 section 3.
    #[test]
    fn scram_as_in_its_rfc() {
        let (mut exchange, first) = Exchange::begin(Mechanism::ScramSha256, login("user", "pencil"), "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(decoded(&first.unwrap()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = exchange.respond(&encode(challenge)).unwrap();
        assert_eq!(
            decoded(&answer),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(exchange.succeeded(), Err(Fault::ServerUnproven));
        assert_eq!(exchange.respond(&encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")).unwrap(), "");
        assert_eq!(exchange.succeeded(), Ok(()));
    }

    #[test]
    fn a_scram_server_that_cheats() {
        for (challenge, fault) in [
            ("r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", Fault::Unexpected),
            ("r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", Fault::Unexpected),
            ("m=x,r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", Fault::Unexpected),
            ("r=abcdef,s=%%,i=4096", Fault::Unexpected),
            ("r=abcdef,i=4096,s=W22ZaJ0SNY7soEsUEjb6gQ==", Fault::Unexpected),
            ("r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", Fault::Rounds),
            ("r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000", Fault::Rounds),
            ("e=unknown-user", Fault::Unexpected),
            ("", Fault::Unexpected),
        ] {
            let (mut exchange, _) = Exchange::begin(Mechanism::ScramSha256, login("u", "p"), "abc");
            assert_eq!(exchange.respond(&encode(challenge)), Err(fault), "{challenge}");
        }
        let (mut exchange, _) = Exchange::begin(Mechanism::ScramSha256, login("u,=", "p"), "abc");
        exchange.respond(&encode("r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")).unwrap();
        assert_eq!(exchange.respond(&encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")), Err(Fault::ServerUnproven));
    }

    #[test]
    fn nothing_prints_the_password() {
        let (exchange, _) = Exchange::begin(Mechanism::ScramSha256, login("u", "hunter2"), "abc");
        assert!(!format!("{exchange:?}{:?}", login("u", "hunter2")).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_challenges(challenges in proptest::collection::vec("\\PC{0,60}|[a-zA-Z0-9+/]{0,60}={0,2}", 0..4), raw: bool) {
            for mechanism in [Mechanism::ScramSha256, Mechanism::CramMd5, Mechanism::Plain, Mechanism::Login] {
                let (mut exchange, _) = Exchange::begin(mechanism, login("u", "p"), "abc");
                for challenge in &challenges {
                    let text = if raw { challenge.clone() } else { encode(challenge) };
                    if exchange.respond(&text).is_err() {
                        break;
                    }
                }
                let _ = exchange.succeeded();
            }
        }
    }
}
