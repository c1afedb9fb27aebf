//! A job's recipient: the user, the domain and the attributes the router gave.

use crate::verdict::Verdict;

/// Longest user name and domain that become part of a path.
const MAX_NAME: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub user: String,
    pub domain: String,
    pub home: Option<String>,
    pub uid: Option<u32>,
    /// Of `user+detail`: hostile.
    pub detail: Option<String>,
}

impl Recipient {
    /// Reads `name@domain` (or a bare name) and `uid=1000,home=/home/joe,detail=lists`.
    pub fn parse(address: &str, attributes: &str) -> Result<Self, Verdict> {
        let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let mut recipient =
            Self { user: address::unquoted(local).into_owned(), domain: domain.to_owned(), home: None, uid: None, detail: None };
        if !is_safe(&recipient.user) || !(domain.is_empty() || is_safe(domain)) {
            return Err(Verdict::failed(1, 3, "the address cannot name a mailbox"));
        }
        for (key, value) in attributes.split(',').filter_map(|attribute| attribute.split_once('=')) {
            match key {
                "home" => recipient.home = Some(decoded(value)),
                "detail" => recipient.detail = Some(decoded(value)).filter(|detail| !detail.is_empty()),
                "uid" => recipient.uid = Some(value.parse().map_err(|_| Verdict::deferred(3, 5, "the user's id is no number"))?),
                "program" | "file" => return Err(Verdict::deferred(3, 3, "programs and files of aliases are not served yet")),
                _ => {}
            }
        }
        Ok(recipient)
    }
}

/// A name that stays one component of a path and does not hide or climb.
fn is_safe(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.starts_with('.') && !name.contains('/') && !name.chars().any(char::is_control)
}

/// Undoes `%XX`; what is no such escape stays.
fn decoded(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2).and_then(hexadecimal)).flatten();
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_attributes() {
        let got = Recipient::parse("\"a b\"@x.example", "uid=1000,home=/home/a%20b%2Cc,detail=..%2Fx").unwrap();
        assert_eq!(got.detail.as_deref(), Some("../x"));
        assert_eq!((got.user.as_str(), got.domain.as_str(), got.uid), ("a b", "x.example", Some(1000)));
        assert_eq!(got.home.as_deref(), Some("/home/a b,c"));
        assert_eq!(Recipient::parse("joe", "-").unwrap().domain, "");
        for address in ["", "@x", "../x@y", ".x@y", "a/b@y", "\"..\"@y", "\"a/b\"@y", "a@../x", "a@.x", "a\0b@x", "a\n@x"] {
            assert_eq!(Recipient::parse(address, "-").unwrap_err().status.to_string(), "5.1.3", "{address:?}");
        }
        assert!(Recipient::parse("a@b", "uid=-1").is_err());
    }

    proptest! {
        #[test]
        fn any_text(address in "\\PC{0,20}|[\"\\\\./@a]{0,12}", attributes in "\\PC{0,20}|(uid|home)=[%0-9a-f/]{0,9}") {
            if let Ok(recipient) = Recipient::parse(&address, &attributes) {
                prop_assert!(!recipient.user.contains('/') && !recipient.user.starts_with('.'));
            }
        }
    }
}
