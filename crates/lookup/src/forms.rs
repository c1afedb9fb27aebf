//! The forms in which a key is tried (ZMailer's drivers), and what each leaves of it for `%1` and `%2`.

use settings::KeyForm;
use std::borrow::Cow;

/// A text to look for. `left` is what the form left off the key, for `%1` and on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'k> {
    pub text: Cow<'k, str>,
    pub left: [&'k str; 2],
}

fn candidate<'k>(text: impl Into<Cow<'k, str>>, first: &'k str, second: &'k str) -> Candidate<'k> {
    Candidate { text: text.into(), left: [first, second] }
}

/// The texts of one form, in the order in which they are tried. `details`: characters that begin the detail of `user+detail`.
///
/// | form | of `user+detail@host.example.org` | `%1` | `%2` |
/// |---|---|---|---|
/// | exact | the key | | |
/// | without_detail | `user@host.example.org` | `detail` | |
/// | user | `user+detail`, then `user` | `host.example.org` | nothing, then `detail` |
/// | @domain | `@host.example.org` | `user+detail` | |
/// | domain | `host.example.org` | `user+detail` | |
/// | suffixes | `.host.example.org`, `.example.org`, `.org` | nothing, `host`, `host.example` | `user+detail` |
/// | longest | every beginning of the key, the longest first | the rest | |
/// | default | `.` | the key | |
///
/// A key without `@` is a domain for the forms that look for one, and a user for without_detail.
pub fn candidates<'k>(form: KeyForm, key: &'k str, details: &[char]) -> Vec<Candidate<'k>> {
    let (user, domain) = match key.rsplit_once('@') {
        Some((user, domain)) => (Some(user), domain),
        None => (None, key),
    };
    let left = user.unwrap_or_default();
    match form {
        KeyForm::Exact => vec![candidate(key, "", "")],
        KeyForm::WithoutDetail => match split_detail(user.unwrap_or(key), details) {
            Some((bare, detail)) if user.is_some() => vec![candidate(format!("{bare}@{domain}"), detail, "")],
            Some((bare, detail)) => vec![candidate(bare, detail, "")],
            None => Vec::new(),
        },
        KeyForm::User => {
            let Some(user) = user else { return Vec::new() };
            let bare = split_detail(user, details).map(|(bare, detail)| candidate(bare, domain, detail));
            std::iter::once(candidate(user, domain, "")).chain(bare).collect()
        }
        KeyForm::AtDomain => vec![candidate(format!("@{domain}"), left, "")],
        KeyForm::Domain => vec![candidate(domain, left, "")],
        KeyForm::Suffixes => suffixes(domain, left),
        KeyForm::Longest => {
            let ends = key.char_indices().skip(1).map(|(at, _)| at).chain(std::iter::once(key.len()));
            let mut all: Vec<_> = ends.filter_map(|end| key.split_at_checked(end)).map(|(text, rest)| candidate(text, rest, "")).collect();
            all.reverse();
            all
        }
        KeyForm::Default => vec![candidate(".", key, "")],
    }
}

fn split_detail<'k>(user: &'k str, details: &[char]) -> Option<(&'k str, &'k str)> {
    let at = user.find(details).filter(|at| *at > 0)?;
    let (bare, rest) = user.split_at_checked(at)?;
    let mut rest = rest.chars();
    rest.next();
    Some((bare, rest.as_str()))
}

/// `.domain`, and of each domain above. An address literal has none.
fn suffixes<'k>(domain: &'k str, left: &'k str) -> Vec<Candidate<'k>> {
    if domain.starts_with('[') || domain.is_empty() {
        return Vec::new();
    }
    let above = domain.match_indices('.').filter_map(|(at, _)| domain.split_at_checked(at));
    let above = above.filter(|(_, suffix)| suffix.len() > 1).map(|(labels, suffix)| candidate(suffix, labels, left));
    std::iter::once(candidate(format!(".{domain}"), "", left)).chain(above).collect()
}

/// The form under which keys are kept where a table folds them: lower case, domains normalised (so that both spellings of an
/// international one are the same).
pub fn folded(text: &str) -> String {
    if text.contains('@') {
        return crate::key(text);
    }
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let (dot, domain) = text.strip_prefix('.').map_or(("", text), |domain| (".", domain));
    match address::normalise(domain) {
        Ok(domain) if domain.contains('.') => format!("{dot}{domain}"),
        _ => text.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(form: KeyForm, key: &str) -> Vec<(String, String, String)> {
        let of = |c: Candidate<'_>| (c.text.into_owned(), c.left[0].to_owned(), c.left[1].to_owned());
        candidates(form, key, &['+']).into_iter().map(of).collect()
    }

    fn said(all: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        all.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
    }

    #[test]
    fn forms_of_an_address() {
        let key = "user+detail@host.example.org";
        for (form, wanted) in [
            (KeyForm::Exact, &[(key, "", "")][..]),
            (KeyForm::WithoutDetail, &[("user@host.example.org", "detail", "")]),
            (KeyForm::User, &[("user+detail", "host.example.org", ""), ("user", "host.example.org", "detail")]),
            (KeyForm::AtDomain, &[("@host.example.org", "user+detail", "")]),
            (KeyForm::Domain, &[("host.example.org", "user+detail", "")]),
            (
                KeyForm::Suffixes,
                &[
                    (".host.example.org", "", "user+detail"),
                    (".example.org", "host", "user+detail"),
                    (".org", "host.example", "user+detail"),
                ],
            ),
            (KeyForm::Default, &[(".", key, "")]),
        ] {
            assert_eq!(texts(form, key), said(wanted), "{form:?}");
        }
    }

    #[test]
    fn forms_of_what_is_no_address() {
        assert_eq!(texts(KeyForm::WithoutDetail, "user+x"), said(&[("user", "x", "")]));
        assert_eq!(texts(KeyForm::WithoutDetail, "+x@d"), []);
        assert_eq!(texts(KeyForm::User, "example.org"), []);
        assert_eq!(texts(KeyForm::AtDomain, "example.org"), said(&[("@example.org", "", "")]));
        assert_eq!(texts(KeyForm::Suffixes, "u@[192.0.2.1]"), []);
        assert_eq!(texts(KeyForm::Suffixes, "org."), said(&[(".org.", "", "")]));
        assert_eq!(texts(KeyForm::Longest, "+3\u{e9}"), said(&[("+3\u{e9}", "", ""), ("+3", "\u{e9}", ""), ("+", "3\u{e9}", "")]));
        assert_eq!(texts(KeyForm::Longest, ""), said(&[("", "", "")]));
    }

    #[test]
    fn both_spellings_of_a_domain_fold_to_one() {
        assert_eq!(folded("Joe@M\u{dc}NCHEN.example"), folded("joe@xn--mnchen-3ya.example"));
        assert_eq!(folded(".M\u{dc}NCHEN.example"), ".xn--mnchen-3ya.example");
        assert_eq!(folded("\u{c4}NNE"), "\u{e4}nne");
    }

    proptest! {
        #[test]
        fn any_key_has_forms(key in any::<String>(), address in "[a+@.\\[\u{e9}]{0,12}") {
            for key in [key, address] {
                for form in [KeyForm::Exact, KeyForm::WithoutDetail, KeyForm::User, KeyForm::AtDomain, KeyForm::Domain, KeyForm::Suffixes, KeyForm::Longest, KeyForm::Default] {
                    for candidate in candidates(form, &key, &['+', '-']) {
                        let taken = candidate.text.len() + candidate.left.iter().map(|left| left.len()).sum::<usize>();
                        prop_assert!(taken <= key.len() + 2);
                    }
                }
                prop_assert_eq!(folded(&folded(&key)), folded(&key));
            }
        }
    }
}
