//! Proving who we are: SCRAM-SHA-256, MD5, or the password itself where nobody can read it.

use crate::message::{self, Demand};
use data_encoding::{BASE64, HEXLOWER};
use md5::{Digest, Md5};
use ring::rand::SecureRandom;
use sasl::{Exchange, Mechanism};
use tablelink::Trouble;

const SCRAM: &str = "SCRAM-SHA-256";

/// A login in progress.
pub struct Login<'a> {
    user: &'a str,
    password: Option<&'a str>,
    /// Nobody between can read what is sent.
    private: bool,
    scram: Option<Exchange>,
}

impl<'a> Login<'a> {
    pub const fn begin(user: &'a str, password: Option<&'a str>, private: bool) -> Self {
        Self { user, password, private, scram: None }
    }

    /// The message that meets the demand; `None`: there is nothing to say.
    pub fn respond(&mut self, demand: &Demand<'_>) -> Result<Option<Vec<u8>>, Trouble> {
        match demand {
            Demand::Nothing => self.finished().map(|()| None),
            Demand::Plain if !self.private => Err(Trouble::broken(
                "the server wants the password in the clear: write tls = \"starttls\", or scram-sha-256 into pg_hba.conf",
            )),
            Demand::Plain => Ok(Some(message::plain_password(self.password()?))),
            Demand::Md5(salt) => Ok(Some(message::plain_password(&keyed(self.user, self.password()?, *salt)))),
            Demand::Sasl(names) => self.first(names).map(Some),
            Demand::Continue(data) => self.next(data).map(|data| Some(message::password(&data))),
            Demand::Final(data) => self.next(data).map(|_| None),
            Demand::Unknown(kind) => {
                Err(Trouble::broken(format!("the server wants a login of kind {kind}: there are scram-sha-256 and md5")))
            }
        }
    }

    /// The server says that we are in.
    pub fn finished(&self) -> Result<(), Trouble> {
        self.scram.as_ref().map_or(Ok(()), |scram| scram.succeeded().map_err(Trouble::malformed))
    }

    fn password(&self) -> Result<&'a str, Trouble> {
        self.password.ok_or_else(|| Trouble::broken("the server wants a password, and there is no password_file"))
    }

    fn first(&mut self, names: &[u8]) -> Result<Vec<u8>, Trouble> {
        if !names.split(|byte| *byte == 0).any(|name| name == SCRAM.as_bytes()) {
            return Err(Trouble::broken(format!("the server knows no {SCRAM}")));
        }
        // The server takes the user from the startup message.
        let login = sasl::Login { user: String::new(), password: self.password()?.to_owned() };
        let mut random = [0; 18];
        ring::rand::SystemRandom::new().fill(&mut random).map_err(|_| Trouble::broken("no random numbers"))?;
        let (exchange, first) = Exchange::begin(Mechanism::ScramSha256, login, &BASE64.encode(&random));
        self.scram = Some(exchange);
        Ok(message::sasl_first(SCRAM, &decoded(&first.unwrap_or_default())?))
    }

    fn next(&mut self, data: &[u8]) -> Result<Vec<u8>, Trouble> {
        let scram = self.scram.as_mut().ok_or_else(|| Trouble::malformed("it goes on with a login that has not begun"))?;
        decoded(&scram.respond(&BASE64.encode(data)).map_err(Trouble::malformed)?)
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Trouble> {
    BASE64.decode(text.as_bytes()).map_err(|_| Trouble::malformed("a step of its login cannot be answered"))
}

/// The server's old way: a digest of a digest.
fn keyed(user: &str, password: &str, salt: [u8; 4]) -> String {
    let digest = |bytes: &[u8]| HEXLOWER.encode(&Md5::digest(bytes));
    let inner = digest(format!("{password}{user}").as_bytes());
    format!("md5{}", digest(&[inner.as_bytes(), &salt].concat()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_old_digest() {
        // As md5sum(1) has it: of `secretme`, and of that in hexadecimal with the salt behind it.
        assert_eq!(keyed("me", "secret", [1, 2, 3, 4]), "md58322d584bf59f0253d58346307bb6ba3");
    }

    #[test]
    fn passwords_are_given_to_nobody_who_did_not_prove_itself() {
        let mut open = Login::begin("me", Some("secret"), false);
        assert!(open.respond(&Demand::Plain).unwrap_err().reason.contains("in the clear"));
        assert!(open.respond(&Demand::Continue(b"r=x")).is_err());
        assert!(open.respond(&Demand::Sasl(b"SCRAM-SHA-256-PLUS\0\0")).unwrap_err().reason.contains("knows no"));
        assert!(open.respond(&Demand::Sasl(b"SCRAM-SHA-256\0\0")).unwrap().is_some());
        assert!(open.respond(&Demand::Nothing).unwrap_err().reason.contains("did not prove"));
        assert!(open.respond(&Demand::Unknown(7)).unwrap_err().reason.contains("kind 7"));
        let mut nobody = Login::begin("me", None, true);
        assert!(nobody.respond(&Demand::Plain).unwrap_err().reason.contains("no password_file"));
        assert_eq!(nobody.respond(&Demand::Nothing).unwrap(), None);
    }
}
