//! Text of keys and values: `key value` or `key: value` a line.

use crate::alias_syntax::unquote;
use crate::lines::{Lines, SyntaxFault};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::BufRead;

/// One line: the key as written, quotes removed, and what follows it.
pub fn parse_pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (name, used) = unquote(quoted).ok_or("the key's quote does not end")?;
            let rest = quoted.get(used..).unwrap_or_default();
            // `"a b"@example.org value`
            let (more, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
            (name + without_colon(more), rest)
        }
        None => {
            let (key, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
            (without_colon(key).to_owned(), rest)
        }
    };
    let rest = rest.trim();
    let value = rest.strip_prefix(':').filter(|rest| rest.starts_with([' ', '\t'])).map_or(rest, str::trim);
    let value = value.replace('\t', " ");
    if key.is_empty() {
        return Err("no key");
    }
    if key.chars().chain(value.chars()).any(char::is_control) {
        return Err("a control character");
    }
    Ok((key, value))
}

/// `2001:db8::` ends with colons of its own.
fn without_colon(key: &str) -> &str {
    key.strip_suffix(':').filter(|key| !key.ends_with(':')).unwrap_or(key)
}

/// Every line of a text, by [`parse_pair`].
pub fn read_pairs<R: BufRead>(input: R) -> impl Iterator<Item = Result<(usize, String, String), SyntaxFault>> {
    Lines::new(input).map(|line| {
        let (line, text) = line?;
        let (key, value) = parse_pair(&text).map_err(|reason| SyntaxFault { line, reason: reason.to_owned() })?;
        Ok((line, key, value))
    })
}

/// A text in memory.
#[derive(Debug, Default)]
pub struct Pairs(HashMap<Box<str>, (usize, Box<str>)>);

impl Pairs {
    /// The first line of a key counts. The first fault is the whole text's: the key may be any.
    pub fn read(text: &str, fold: bool) -> Result<Self, SyntaxFault> {
        let mut pairs = HashMap::new();
        for pair in read_pairs(text.as_bytes()) {
            let (line, key, value) = pair?;
            let key = if fold { crate::folded(&key) } else { key };
            if let Entry::Vacant(place) = pairs.entry(key.into_boxed_str()) {
                place.insert((line, value.into_boxed_str()));
            }
        }
        Ok(Self(pairs))
    }

    /// Line and value.
    pub fn find(&self, key: &str) -> Option<(usize, &str)> {
        self.0.get(key).map(|(line, value)| (*line, &**value))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_and_values_in_all_their_forms() {
        for (text, key, value) in [
            ("joe jane", "joe", "jane"),
            ("joe:\tjane@example.org,  max", "joe", "jane@example.org,  max"),
            ("joe : jane", "joe", "jane"),
            ("joe", "joe", ""),
            ("list :include:/x", "list", ":include:/x"),
            ("2001:db8:: net", "2001:db8::", "net"),
            ("\"a b\"@example.org c", "a b@example.org", "c"),
            ("\"a b\": c", "a b", "c"),
            (".:ERROR error!x", ".:ERROR", "error!x"),
        ] {
            assert_eq!(parse_pair(text), Ok((key.to_owned(), value.to_owned())), "{text}");
        }
        for text in [": x", "\"a b", "\"\" x", "a\u{1} b", "a b\u{0}"] {
            assert!(parse_pair(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn keys_are_folded_and_the_first_counts() {
        let pairs = Pairs::read("Joe 1\njoe 2\n@M\u{fc}nchen.Example 3\n", true).unwrap();
        assert_eq!(pairs.find("joe"), Some((1, "1")));
        assert_eq!(pairs.find("@xn--mnchen-3ya.example"), Some((3, "3")));
        assert_eq!(Pairs::read("Joe 1\n", false).unwrap().find("joe"), None);
        assert_eq!(Pairs::read("a b\n: x\n", true).unwrap_err().line, 2);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([a-z\"@: #\t\\\\]{0,12}\n?){0,8}", any in any::<String>()) {
            for text in [text, any] {
                if let Ok(pairs) = Pairs::read(&text, true) {
                    prop_assert!(pairs.0.values().all(|(line, value)| *line <= text.lines().count() && !value.contains('\n')));
                }
            }
        }
    }
}
