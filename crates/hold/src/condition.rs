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
    /// A declared table answers again; the reason it did not is for people.
    Table { name: String, reason: Option<String> },
    /// So many seconds since it arrived.
    Age(u64),
    /// A look-up of this name no longer fails for the moment.
    Lookup { name: String, kind: Kind },
    /// The home folder of a user can be looked at.
    Home(String),
    /// A program of the configuration, by its name, says yes; with an argument.
    Script { name: String, argument: Option<String> },
    /// The disk has rest. A guess: one attempt in ten goes (ZMailer's IO).
    Rest,
    /// Nothing: the administrator has released or rerouted it. Only the scheduler says so; a route may not (it would
    /// come here again and again).
    Now,
}
/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A or AAAA.
    Address,
    Mx,
    Text,
}
/// A host field that is no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionError;
impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host of channel hold is none of -, admin, until:SECONDS, retry, retry:REASON, table:NAME, age:TIME, ns:NAME/TYPE, home:USER, script:NAME, io")
    }
}

impl Condition {
    pub fn parse(host: &str) -> Result<Self, ConditionError> {
        let (word, value) = match host.split_once(':') {
            Some((word, value)) => (word, Some(value)),
            None => (host, None),
        };
        let upper = word.bytes().all(|b| b.is_ascii_uppercase());
        let lower = upper.then(|| word.to_ascii_lowercase());
        // ZMailer's words are capitals; ours may be too where they are the same.
        let word = lower.as_deref().filter(|w| ["age", "ns", "home", "script", "io", "timeout"].contains(w)).unwrap_or(word);
        match (word, value) {
            ("io", _) => Ok(Self::Rest),
            ("age", Some(age)) => settings::duration(age).map(|age| Self::Age(age.as_secs())).ok_or(ConditionError),
            ("ns", Some(value)) => lookup(value).ok_or(ConditionError),
            ("home", Some(user)) if !user.is_empty() && !user.contains('/') => Ok(Self::Home(user.to_owned())),
            ("script", Some(value)) if !value.is_empty() => {
                let (name, argument) = value.split_once('/').map_or((value, None), |(name, argument)| (name, Some(argument)));
                match argument.is_some_and(|argument| argument.starts_with('-')) {
                    true => Err(ConditionError),
                    false => Ok(Self::Script { name: name.to_owned(), argument: argument.map(str::to_owned) }),
                }
            }
            ("-" | "" | "admin", None) => Ok(Self::Admin),
            ("now", None) => Ok(Self::Now),
            ("retry", reason) => Ok(Self::Retry(reason.map(str::to_owned))),
            ("table", Some(value)) => table(value).ok_or(ConditionError),
            ("until" | "timeout", Some(digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Self::Until).map_err(|_| ConditionError)
            }
            _ => Err(ConditionError),
        }
    }
}

fn table(value: &str) -> Option<Condition> {
    let (name, reason) = value.split_once('/').map_or((value, None), |(name, reason)| (name, Some(reason)));
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then(|| Condition::Table { name: name.to_owned(), reason: reason.map(str::to_owned) })
}

fn lookup(value: &str) -> Option<Condition> {
    let (name, kind) = value.split_once('/')?;
    let kind = match kind.to_ascii_lowercase().as_str() {
        "a" | "aaaa" => Kind::Address,
        "mx" => Kind::Mx,
        "txt" => Kind::Text,
        _ => return None,
    };
    (!name.is_empty()).then(|| Condition::Lookup { name: name.to_owned(), kind })
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
        let people = |reason: Option<&str>| Ok(Condition::Table { name: "people".into(), reason: reason.map(str::to_owned) });
        assert_eq!((Condition::parse("table:people"), Condition::parse("table:people/a/b")), (people(None), people(Some("a/b"))));
        assert_eq!(Condition::parse("age:3h"), Ok(Condition::Age(10_800)));
        assert_eq!(Condition::parse("NS:a.example/MX"), Ok(Condition::Lookup { name: "a.example".into(), kind: Kind::Mx }));
        assert_eq!(Condition::parse("HOME:joe"), Ok(Condition::Home("joe".into())));
        assert_eq!(Condition::parse("SCRIPT:up/x y"), Ok(Condition::Script { name: "up".into(), argument: Some("x y".into()) }));
        assert_eq!(Condition::parse("TIMEOUT:17"), Ok(Condition::Until(17)));
        assert_eq!(Condition::parse("io:load"), Ok(Condition::Rest));
        for bad in [
            "table",
            "table:",
            "table:A B",
            "age",
            "age:x",
            "ns:a.example",
            "ns:/a",
            "ns:a.example/SOA",
            "home:",
            "home:a/b",
            "script:",
            "script:up/-x",
            "until",
            "until:",
            "until:-1",
            "until:+1",
            "until:99999999999999999999999",
            "admin:x",
            "now:x",
            "later",
            "Retry",
        ] {
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
