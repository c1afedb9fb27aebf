//! Which mechanism is used.

/// A mechanism, the better one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// The password never leaves, and the server proves that it knows it too.
    ScramSha256,
    /// The password never leaves.
    CramMd5,
    Plain,
    Login,
}

const ALL: [Mechanism; 4] = [Mechanism::ScramSha256, Mechanism::CramMd5, Mechanism::Plain, Mechanism::Login];

impl Mechanism {
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::CramMd5 => "CRAM-MD5",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Whoever listens to the connection has the password.
    pub const fn shows_the_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }

    const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// The mechanisms that a server offers; those unknown here are not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mechanisms(u8);

impl Mechanisms {
    /// Adds one by its name, in any case.
    pub fn add(&mut self, name: &str) {
        if let Some(mechanism) = ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(name)) {
            self.0 |= mechanism.bit();
        }
    }

    pub const fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & mechanism.bit() != 0
    }

    /// The best one; `private`: nobody else hears the connection, or that does not matter.
    pub fn best(self, private: bool) -> Option<Mechanism> {
        ALL.into_iter().find(|m| self.contains(*m) && (private || !m.shows_the_password()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_may_be_used() {
        let offered = |names: &str| {
            let mut all = Mechanisms::default();
            names.split(' ').for_each(|name| all.add(name));
            all
        };
        for (names, private, best) in [
            ("LOGIN PLAIN CRAM-MD5 SCRAM-SHA-256", true, Some(Mechanism::ScramSha256)),
            ("login plain cram-md5", false, Some(Mechanism::CramMd5)),
            ("LOGIN PLAIN", true, Some(Mechanism::Plain)),
            ("LOGIN", true, Some(Mechanism::Login)),
            ("LOGIN PLAIN", false, None),
            ("XOAUTH2 GSSAPI SCRAM-SHA-256-PLUS", true, None),
            ("", true, None),
        ] {
            assert_eq!(offered(names).best(private), best, "{names}");
        }
    }
}
