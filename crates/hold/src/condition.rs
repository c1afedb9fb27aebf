//! The host field of channel `hold`.

use std::fmt;

/// What a recipient waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The administrator.
    Admin,
    /// A moment, Unix seconds.
    Until(u64),
    /// The next attempt; the reason is for people.
    Retry(Option<String>),
    /// Nothing: the administrator has released or rerouted it. Only the scheduler says so; a route may not (it would
    /// come here again and again).
    Now,
}
/// A host field that is no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionError;
impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host of channel hold is none of -, admin, until:SECONDS, retry, retry:REASON")
    }
}

impl Condition {
    pub fn parse(host: &str) -> Result<Self, ConditionError> {
        let (word, value) = match host.split_once(':') {
            Some((word, value)) => (word, Some(value)),
            None => (host, None),
        };
        match (word, value) {
            ("-" | "" | "admin", None) => Ok(Self::Admin),
            ("now", None) => Ok(Self::Now),
            ("retry", reason) => Ok(Self::Retry(reason.map(str::to_owned))),
            ("until", Some(digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Self::Until).map_err(|_| ConditionError)
            }
            _ => Err(ConditionError),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_form_and_nothing_else() {
        assert_eq!(Condition::parse("-"), Ok(Condition::Admin));
        assert_eq!(Condition::parse("admin"), Ok(Condition::Admin));
        assert_eq!(Condition::parse("until:1700000000"), Ok(Condition::Until(1_700_000_000)));
        assert_eq!(Condition::parse("retry"), Ok(Condition::Retry(None)));
        assert_eq!(Condition::parse("retry:home:missing"), Ok(Condition::Retry(Some("home:missing".into()))));
        assert_eq!(Condition::parse("now"), Ok(Condition::Now));
        for bad in ["until", "until:", "until:-1", "until:+1", "until:99999999999999999999999", "admin:x", "now:x", "later", "Retry"] {
            assert_eq!(Condition::parse(bad), Err(ConditionError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(host in "\\PC{0,40}") {
            let _ = Condition::parse(&host);
        }
    }
}
