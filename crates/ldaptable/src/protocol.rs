//! Requests and answers (RFC 4511), without I/O.

use ber::{BOOLEAN, Content, ENUMERATED, INTEGER, Malformed, OCTETS, SEQUENCE, SET, element, number};
use settings::Table;
use std::collections::BTreeSet;
use tablelink::{Trouble, Values, shown};

/// Entries that a search may bring.
const MOST_ENTRIES: u32 = 1000;

/// Result codes (RFC 4511 section 4.1.9).
pub const SUCCESS: u32 = 0;
pub const NO_SUCH_OBJECT: u32 = 32;

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const EXTENDED: u8 = 0x77;
const BIND_ANSWER: u8 = 0x61;
const ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const EXTENDED_ANSWER: u8 = 0x78;

/// RFC 4511 section 4.14.
const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

fn request(message: u32, operation: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[&number(INTEGER, message), operation].concat())
}

/// A simple bind (section 4.2).
pub fn bind(message: u32, dn: &str, password: &str) -> Vec<u8> {
    let content = [number(INTEGER, 3), element(OCTETS, dn.as_bytes()), element(0x80, password.as_bytes())].concat();
    request(message, &element(BIND, &content))
}

pub fn starttls(message: u32) -> Vec<u8> {
    request(message, &element(EXTENDED, &element(0x80, STARTTLS)))
}

/// Section 4.5.1. Aliases of the directory are not followed.
pub fn search(message: u32, table: &Table, filter: &[u8]) -> Vec<u8> {
    let scope = match table.scope.as_str() {
        "base" => 0,
        "one" => 1,
        _ => 2,
    };
    let seconds = u32::try_from(table.timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
    let attributes: Vec<u8> = table.attributes.iter().flat_map(|name| element(OCTETS, name.as_bytes())).collect();
    let content = [
        element(OCTETS, table.base.as_bytes()),
        number(ENUMERATED, scope),
        number(ENUMERATED, 0),
        number(INTEGER, MOST_ENTRIES),
        number(INTEGER, seconds),
        element(BOOLEAN, &[0]),
        filter.to_vec(),
        element(SEQUENCE, &attributes),
    ];
    request(message, &element(SEARCH, &content.concat()))
}

/// The end of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: u32,
    /// In the server's words; those of a search may hold the key.
    pub text: String,
}

#[derive(Debug)]
pub enum Answer<'a> {
    Entry(Content<'a>),
    /// To another server, which is not asked: a part of what is searched is there.
    Reference,
    Done(Outcome),
    /// The server is about to end the connection (section 4.4.1).
    Leaving,
}

pub fn no_ldap(Malformed: Malformed) -> Trouble {
    Trouble::malformed("its answer is no LDAP")
}

/// What a message is; `wanted` is the number of the request that waits.
pub fn answer(message: &[u8], wanted: u32) -> Result<Answer<'_>, Trouble> {
    let (number, tag, content) = opened(message).map_err(no_ldap)?;
    match tag {
        EXTENDED_ANSWER if number == 0 => Ok(Answer::Leaving),
        _ if number != wanted => Err(Trouble::malformed("it answers what was not asked")),
        ENTRY => Ok(Answer::Entry(content)),
        REFERENCE => Ok(Answer::Reference),
        BIND_ANSWER | SEARCH_DONE | EXTENDED_ANSWER => outcome(content).map(Answer::Done).map_err(no_ldap),
        _ => Err(Trouble::malformed("its answer is none to a search")),
    }
}

fn opened(message: &[u8]) -> Result<(u32, u8, Content<'_>), Malformed> {
    let mut message = Content(message);
    let number = message.number(INTEGER)?;
    let (tag, content) = message.take()?.ok_or(Malformed)?;
    Ok((number, tag, content))
}

fn outcome(mut content: Content<'_>) -> Result<Outcome, Malformed> {
    let code = content.number(ENUMERATED)?;
    content.element(OCTETS)?;
    Ok(Outcome { code, text: shown(content.element(OCTETS)?.0) })
}

/// The values of an entry: attribute by attribute as they were asked for, and within each in the server's order.
pub fn collect(entry: Content<'_>, wanted: &[String], values: &mut Values) -> Result<(), Trouble> {
    let mut given = attributes(entry).map_err(no_ldap)?;
    // Section 4.1.7: no two of one description.
    let mut names = BTreeSet::new();
    if !given.iter().all(|(name, _)| names.insert(name.as_str())) {
        return Err(Trouble::malformed("an entry of its answer has an attribute twice"));
    }
    // `mail;lang-en` where `mail` was asked for; a subtype, such as cn where name was, comes last.
    let wanted: Vec<String> = wanted.iter().map(|wanted| wanted.to_ascii_lowercase()).collect();
    let place = |name: &str| {
        let begins = |wanted: &String| name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(';'));
        wanted.iter().position(begins).unwrap_or(wanted.len())
    };
    given.sort_by_cached_key(|(name, _)| place(name));
    for (_, mut set) in given {
        while let Some((tag, Content(value))) = set.take().map_err(no_ldap)? {
            if tag != OCTETS {
                return Err(Trouble::malformed("a value of its answer is none"));
            }
            values.push(value)?;
        }
    }
    Ok(())
}

/// Their names in lower case, and their sets of values.
fn attributes(mut entry: Content<'_>) -> Result<Vec<(String, Content<'_>)>, Malformed> {
    entry.element(OCTETS)?;
    let (mut list, mut all) = (entry.element(SEQUENCE)?, Vec::new());
    while let Some((tag, mut attribute)) = list.take()? {
        if tag != SEQUENCE {
            return Err(Malformed);
        }
        let name = shown(attribute.element(OCTETS)?.0).to_ascii_lowercase();
        all.push((name, attribute.element(SET)?));
    }
    Ok(all)
}

/// A code that is not success, for the log.
pub fn named(code: u32) -> String {
    let name = match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral; referrals are not followed",
        11 => "adminLimitExceeded",
        12 => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        16 => "noSuchAttribute",
        17 => "undefinedAttributeType",
        18 => "inappropriateMatching",
        21 => "invalidAttributeSyntax",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        _ => "other",
    };
    format!("result {code} ({name})")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An entry with these attributes.
    fn entry(attributes: &[(&str, &[&[u8]])]) -> Vec<u8> {
        let attribute = |(name, values): &(&str, &[&[u8]])| {
            let set: Vec<u8> = values.iter().flat_map(|value| element(OCTETS, value)).collect();
            element(SEQUENCE, &[element(OCTETS, name.as_bytes()), element(SET, &set)].concat())
        };
        let list: Vec<u8> = attributes.iter().flat_map(attribute).collect();
        [element(OCTETS, b"cn=x"), element(SEQUENCE, &list)].concat()
    }

    fn collected(attributes: &[(&str, &[&[u8]])]) -> Result<Option<Vec<String>>, Trouble> {
        let mut values = Values::default();
        collect(Content(&entry(attributes)), &["mail".to_owned(), "other".to_owned()], &mut values)?;
        Ok(values.answer())
    }

    #[test]
    fn values_in_the_order_of_the_wish() {
        let found = collected(&[("cn", &[b"s"]), ("Other", &[b"o"]), ("MAIL", &[b"a", b"b"]), ("mail;lang-de", &[b"d"])]).unwrap();
        assert_eq!(found.unwrap(), ["a", "b", "d", "o", "s"]);
        assert_eq!(collected(&[]).unwrap(), None);
        assert_eq!(collected(&[("mail", &[])]).unwrap(), None);
    }

    #[test]
    fn entries_that_are_none() {
        assert!(collected(&[("mail", &[b"a"]), ("Mail", &[b"b"])]).unwrap_err().reason.contains("twice"));
        assert!(collected(&[("mail", &[b"\xff"])]).unwrap_err().reason.contains("UTF-8"));
        assert!(collected(&[("mail", &[b"a\nb"])]).unwrap_err().reason.contains("control"));
        assert!(collected(&[("mail", &[&[b'x'; 70_000]])]).unwrap_err().reason.contains("65536"));
    }

    #[test]
    fn answers() {
        let done = [number(INTEGER, 7), element(SEARCH_DONE, b"\x0a\x01\x20\x04\0\x04\x02no")].concat();
        let Answer::Done(outcome) = answer(&done, 7).unwrap() else { panic!("{done:?}") };
        assert_eq!((outcome.code, outcome.text.as_str()), (NO_SUCH_OBJECT, "no"));
        assert!(answer(&done, 8).is_err(), "another's answer");
        let leaving = [number(INTEGER, 0), element(EXTENDED_ANSWER, b"\x0a\x01\x34\x04\0\x04\0")].concat();
        assert!(matches!(answer(&leaving, 7).unwrap(), Answer::Leaving));
        for wrong in [&b""[..], b"\x02\x01\x07", b"\x02\x01\x07\x65\0", b"\x02\x01\x07\x42\0", b"\x02\x01\x07\x65\x03\x0a\x01\x00"] {
            assert!(answer(wrong, 7).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = answer(&bytes, 1);
            let framed = [number(INTEGER, 1), element(ENTRY, &bytes)].concat();
            if let Ok(Answer::Entry(content)) = answer(&framed, 1) {
                let _ = collect(content, &["mail".to_owned()], &mut Values::default());
            }
        }
    }
}
