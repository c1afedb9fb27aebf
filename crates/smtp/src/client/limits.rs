//! What a server says about its limits: LIMITS (RFC 9422), and refusals because of too many connections.

use status::Reply;

/// LIMITS; what is not said or not understood has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Messages in one session.
    pub mail_max: Option<u32>,
    /// Recipients in one transaction.
    pub rcpt_max: Option<u32>,
    /// Different domains of recipients in one transaction.
    pub rcpt_domain_max: Option<u32>,
}

impl Limits {
    /// Reads the words after the keyword.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut limits = Self::default();
        for word in words {
            let Some((name, value)) = word.split_once('=') else { continue };
            // One to six digits, not zero (RFC 9422 section 2).
            let digits = value.len() <= 6 && value.bytes().all(|b| b.is_ascii_digit());
            let Some(value) = value.parse::<u32>().ok().filter(|value| digits && *value > 0) else { continue };
            for (known, limit) in
                [("MAILMAX", &mut limits.mail_max), ("RCPTMAX", &mut limits.rcpt_max), ("RCPTDOMAINMAX", &mut limits.rcpt_domain_max)]
            {
                if name.eq_ignore_ascii_case(known) {
                    *limit = Some(value);
                }
            }
        }
        limits
    }
}

/// Does a greeting that is none say that the server has too many connections? (421 says so by itself.)
pub(super) fn says_crowded(reply: &Reply) -> bool {
    if reply.code / 100 != 4 {
        return false;
    }
    let text = reply.to_string().to_ascii_lowercase();
    let of_connections = ["connection", "session", "concurren"].iter().any(|word| text.contains(word));
    of_connections && ["too many", "limit", "maximum", "exceed"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn limits_as_in_the_rfc() {
        let parse = |text: &str| Limits::parse(text.split(' '));
        let expected = Limits { mail_max: Some(10), rcpt_max: Some(100), rcpt_domain_max: Some(1) };
        assert_eq!(parse("MAILMAX=10 rcptmax=100 RCPTDOMAINMAX=1 FUTURE=x"), expected);
        assert_eq!(parse("MAILMAX=0 RCPTMAX=1234567 RCPTDOMAINMAX=+1 MAILMAX RCPTMAX="), Limits::default());
    }

    proptest! {
        #[test]
        fn any_words(text in "\\PC{0,60}|(MAILMAX|RCPTMAX)=[0-9a-z]{0,9}") {
            let limits = Limits::parse(text.split(' '));
            prop_assert!(limits.mail_max != Some(0) && limits.rcpt_max != Some(0));
        }
    }
}
