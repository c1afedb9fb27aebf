//! One question on its way through the back-ends, in the order of the configuration.

use crate::{Answer, Found};
use sasl::server::Need;
use settings::Backend;
use std::collections::VecDeque;

/// What is asked, and who is left to be asked.
pub struct Inquiry {
    pub need: Need,
    left: VecDeque<Backend>,
    /// Why one of them could not say.
    trouble: Option<String>,
}

/// What came of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this one.
    Ask(Backend),
    Accepted(Found),
    Keys(Box<sasl::ScramSecret>, Found),
    /// Nobody knows such a login.
    Nobody,
    /// Nobody accepts it, and one could not say.
    Undecided(String),
}

impl Inquiry {
    pub fn new(need: Need, backends: &[Backend]) -> Self {
        let able = |backend: &&Backend| match &need {
            Need::Password { .. } => **backend != Backend::Token,
            Need::ScramSecret { .. } => **backend == Backend::File,
            Need::Token { .. } => **backend == Backend::Token,
        };
        let left = backends.iter().filter(able).copied().collect();
        Self { need, left, trouble: None }
    }

    /// The first one, or the next.
    pub fn next(&mut self) -> Next {
        match (self.left.pop_front(), self.trouble.take()) {
            (Some(backend), trouble) => {
                self.trouble = trouble;
                Next::Ask(backend)
            }
            (None, Some(trouble)) => Next::Undecided(trouble),
            (None, None) => Next::Nobody,
        }
    }

    /// Nobody is asked after this one.
    pub fn is_last(&self) -> bool {
        self.left.is_empty()
    }

    pub fn heard(&mut self, answer: Answer) -> Next {
        match answer {
            Answer::Accepted(found) => Next::Accepted(found),
            Answer::Keys(keys, found) => Next::Keys(keys, found),
            Answer::Wrong => Next::Nobody,
            Answer::Unknown => self.next(),
            Answer::Temporary(reason) => {
                self.trouble.get_or_insert(reason);
                self.next()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(backends: &[Backend]) -> Inquiry {
        Inquiry::new(Need::Password { user: "u".into(), password: "p".into() }, backends)
    }

    #[test]
    fn the_first_that_accepts_decides_and_the_file_alone_where_it_knows_the_user() {
        let all = [Backend::File, Backend::Token, Backend::Pam, Backend::Ldap];
        let mut inquiry = password(&all);
        assert_eq!(inquiry.next(), Next::Ask(Backend::File));
        assert_eq!(inquiry.heard(Answer::Unknown), Next::Ask(Backend::Pam), "tokens are no passwords");
        assert_eq!(inquiry.heard(Answer::Unknown), Next::Ask(Backend::Ldap));
        assert!(inquiry.is_last());
        assert_eq!(inquiry.heard(Answer::Unknown), Next::Nobody);
        let mut inquiry = password(&all);
        inquiry.next();
        assert_eq!(inquiry.heard(Answer::Wrong), Next::Nobody);
    }

    #[test]
    fn trouble_is_no_refusal_and_no_obstacle() {
        let mut inquiry = password(&[Backend::Pam, Backend::Ldap]);
        inquiry.next();
        assert_eq!(inquiry.heard(Answer::Temporary("a".into())), Next::Ask(Backend::Ldap));
        assert_eq!(inquiry.heard(Answer::Unknown), Next::Undecided("a".into()));
        let mut inquiry = password(&[Backend::Pam, Backend::Ldap]);
        inquiry.next();
        inquiry.heard(Answer::Temporary("a".into()));
        assert_eq!(inquiry.heard(Answer::Accepted(Found::user("u"))), Next::Accepted(Found::user("u")));
        let mut nobody = Inquiry::new(Need::ScramSecret { user: "u".into() }, &[Backend::Pam]);
        assert_eq!(nobody.next(), Next::Nobody);
    }
}
