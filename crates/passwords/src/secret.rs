//! What a password is held against.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use sasl::ScramSecret;
use sha_crypt::ShaCrypt;
use std::fmt;

/// How Dovecot marks SCRAM keys.
const SCRAM: &str = "{SCRAM-SHA-256}";

/// One secret of a user.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// `$argon2id$...` (also `$argon2i$`, `$argon2d$`).
    Argon2(String),
    /// `$5$...` and `$6$...` of crypt(5).
    ShaCrypt(String),
    /// `$2a$`, `$2b$`, `$2y$`.
    Bcrypt(String),
    /// For SCRAM; a password can be held against it too.
    Scram(ScramSecret),
}

/// Without the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Argon2(_) => "Argon2",
            Self::ShaCrypt(_) => "ShaCrypt",
            Self::Bcrypt(_) => "Bcrypt",
            Self::Scram(_) => "Scram",
        })
    }
}

impl Secret {
    /// By how it begins; `{CRYPT}` and the like before it, as Dovecot and others write, are let pass.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(keys) = text.strip_prefix(SCRAM) {
            return ScramSecret::parse(keys).map(Self::Scram);
        }
        let schemes = ["{CRYPT}", "{ARGON2ID}", "{ARGON2I}", "{SHA256-CRYPT}", "{SHA512-CRYPT}", "{BLF-CRYPT}"];
        let hash = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
        let begins = |any: &[&str]| any.iter().any(|prefix| hash.starts_with(prefix));
        if begins(&["$argon2id$", "$argon2i$", "$argon2d$"]) {
            argon2::password_hash::phc::PasswordHash::new(hash).ok().map(|_| Self::Argon2(hash.to_owned()))
        } else if begins(&["$5$", "$6$"]) {
            Some(Self::ShaCrypt(hash.to_owned()))
        } else if begins(&["$2a$", "$2b$", "$2y$"]) {
            Some(Self::Bcrypt(hash.to_owned()))
        } else {
            None
        }
    }

    /// Is this the password? Costs tens of milliseconds.
    pub fn is_of(&self, password: &str) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(password.as_bytes(), hash.as_str()).is_ok(),
            Self::ShaCrypt(hash) => ShaCrypt::SHA512.verify_password(password.as_bytes(), hash.as_str()).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Scram(keys) => keys.is_of(password),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2(hash) | Self::ShaCrypt(hash) | Self::Bcrypt(hash) => f.write_str(hash),
            Self::Scram(keys) => write!(f, "{SCRAM}{keys}"),
        }
    }
}

/// The secrets of a password: argon2id (19 MiB, 2 passes), and keys for SCRAM. The salts are random and never used twice.
pub fn make(password: &str, salts: &[[u8; 16]; 2]) -> Option<Vec<Secret>> {
    let [first, second] = salts;
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), first).ok()?;
    Some(vec![Secret::Argon2(hash.to_string()), Secret::Scram(ScramSecret::derive(password, second, sasl::ROUNDS))])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_found_right() {
        let secrets = make("correct horse", &[[1; 16], [2; 16]]).unwrap();
        for secret in &secrets {
            let again = Secret::parse(&secret.to_string()).unwrap();
            assert_eq!(&again, secret);
            assert!(again.is_of("correct horse") && !again.is_of("correct horsf") && !again.is_of(""), "{secret:?}");
            assert!(!format!("{secret:?}").contains('$'));
        }
    }

    /// Made by openssl passwd, crypt(3) and doveadm pw for `pencil`.
    #[test]
    fn hashes_of_others() {
        for text in [
            "$6$saltsalt$rD9fW1BwIrjB90WCgCTdIQc3phTBhf04I6Iw/XlgKD9E9aEbzqGZipjiFxGo/4wWXDA6jV6/vZO.kKdDSfUJb0",
            "{CRYPT}$5$saltsalt$hl9BvcGsj7AkON13nbqeQHDgRpHyFxt7WDzLoS.OCQ/",
            "{BLF-CRYPT}$2y$05$LZJgkYRYxSQ3k.5sDP/GTeG6xwIxo3/jmpFv5BaR1wrG3A5Sfvi9u",
            "$2b$04$urZMk4tjjadMOlCPX2msbumsWILT6E6Gg11.os/LLKFjV6gp2UMLa",
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$CJrscN64YqvM2RrhKauk0g$D6p4uSg0P0Uh68rTYL4cyBavimirV6/f+klr7B58hrc",
            "{SCRAM-SHA-256}4096,FN5zve4eXZPTK7ZUsq3AUw==,YUvMC64e22EPXrN06mbRWdxv7DqMY0A3DlhnNeuoxL0=,QhPN/fL984/6Wpg7/rdAVCN8pBZbUslcKFu5UuzV5eA=",
        ] {
            let secret = Secret::parse(text).unwrap();
            assert!(secret.is_of("pencil") && !secret.is_of("pencil2"), "{text}");
        }
    }

    /// Cut off: never a panic, and nobody's password.
    #[test]
    fn pieces_of_hashes() {
        for text in ["$6$", "$6$saltsalt$", "$5$saltsalt", "$2y$05$LZJgkYRYxSQ3k", "$2y$", "$6$rounds=x$a$b"] {
            assert!(!Secret::parse(text).unwrap().is_of("pencil"), "{text}");
        }
        assert_eq!(Secret::parse("pencil"), None);
        assert_eq!(Secret::parse("{PLAIN}pencil"), None);
        assert_eq!(Secret::parse("$argon2id$x"), None);
        assert_eq!(Secret::parse("{SCRAM-SHA-256}4096,x"), None);
    }
}
