//! The statement of an SQL table: its text, and what is bound to it. A key is never part of the text.

/// A part of a key that is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `%k`: the key, as it is.
    Key,
    /// `%u`: what is before the last `@`; the whole key without one.
    User,
    /// `%d`: what is behind the last `@`; nothing without one.
    Domain,
}

impl Part {
    pub fn of(self, key: &str) -> &str {
        let (user, domain) = key.rsplit_once('@').unwrap_or((key, ""));
        match self {
            Self::Key => key,
            Self::User => user,
            Self::Domain => domain,
        }
    }

    /// The letter behind a per cent sign.
    pub(crate) const fn named(letter: char) -> Option<Self> {
        match letter {
            'k' => Some(Self::Key),
            'u' => Some(Self::User),
            'd' => Some(Self::Domain),
            _ => None,
        }
    }
}

/// A statement with a parameter for each `%k`, `%u`, `%d` of the `query` that it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    /// What each parameter is, in the order of the text.
    pub bound: Vec<Part>,
}

impl Statement {
    /// `parameter`: how the server's SQL writes the parameter of this number (from 1 on).
    pub fn parse(query: &str, parameter: impl Fn(usize) -> String) -> Result<Self, String> {
        let mut made = Self { text: String::new(), bound: Vec::new() };
        let mut quote = None;
        let mut letters = query.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                match quote {
                    Some(open) if open == letter => quote = None,
                    None if "'\"`".contains(letter) => quote = Some(letter),
                    _ => {}
                }
                made.text.push(letter);
                continue;
            }
            let next = letters.next();
            if next == Some('%') {
                made.text.push('%');
                continue;
            }
            let sign = next.map_or_else(String::new, |letter| letter.to_string());
            let part = next
                .and_then(Part::named)
                .ok_or_else(|| format!("%{sign} means nothing: there are %k, %u and %d; a per cent sign is written %%"))?;
            if quote.is_some() {
                return Err(format!("%{sign} stands between quotes, where it would be text: a parameter needs none"));
            }
            made.bound.push(part);
            made.text.push_str(&parameter(made.bound.len()));
        }
        if made.bound.is_empty() {
            return Err("none of %k, %u, %d is in it: every key would have the same answer".to_owned());
        }
        Ok(made)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(query: &str) -> Result<Statement, String> {
        Statement::parse(query, |number| format!("${number}"))
    }

    #[test]
    fn each_place_is_a_parameter() {
        let made = numbered("SELECT a FROM t WHERE u = %u AND d = %d OR k = %k OR k LIKE '%%' || %d").unwrap();
        assert_eq!(made.text, "SELECT a FROM t WHERE u = $1 AND d = $2 OR k = $3 OR k LIKE '%' || $4");
        assert_eq!(made.bound, [Part::User, Part::Domain, Part::Key, Part::Domain]);
        assert_eq!(Statement::parse("%k%k", |_| "?".to_owned()).unwrap().text, "??");
    }

    #[test]
    fn what_would_not_be_bound_is_a_fault() {
        for (query, says) in [
            ("SELECT 1 WHERE k = '%k'", "between quotes"),
            ("SELECT 1 WHERE k = \"%k\"", "between quotes"),
            ("SELECT '''%u'", "between quotes"),
            ("SELECT %s", "%s means nothing"),
            ("SELECT %", "% means nothing"),
            ("SELECT 1", "the same answer"),
        ] {
            let fault = numbered(query).unwrap_err();
            assert!(fault.contains(says), "{query}: {fault}");
        }
        assert!(numbered("SELECT 'it''s' WHERE k = %k").is_ok());
    }

    #[test]
    fn parts_of_keys() {
        for (key, user, domain) in
            [("a@b", "a", "b"), ("\"a@b\"@c", "\"a@b\"", "c"), ("a", "a", ""), ("@b", "", "b"), ("a@", "a", ""), ("", "", "")]
        {
            assert_eq!([Part::Key, Part::User, Part::Domain].map(|part| part.of(key)), [key, user, domain]);
        }
    }

    proptest! {
        #[test]
        fn as_many_parameters_as_places(query in "[a-z'%kud ]{0,30}") {
            if let Ok(made) = numbered(&query) {
                prop_assert_eq!(made.text.matches('$').count(), made.bound.len());
                prop_assert!(!made.bound.is_empty());
            }
        }
    }
}
