//! Messages of the frontend/backend protocol, version 3.0 (PostgreSQL manual, chapter "Frontend/Backend Protocol"), without I/O.

use settings::Part;
use tablelink::{Link, Trouble, Values, shown};

/// Bytes of one message of a server.
const LONGEST: usize = 256 * 1024;
/// Rows of an answer at most; asked for with one more, so that it shows.
const MOST_ROWS: u32 = 10_000;
const TEXT: i32 = 25;
const STATEMENT: &[u8] = b"lookup\0";

pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A message of the server: what it is, and its content.
pub type Message = (u8, Vec<u8>);

pub fn message(link: &mut Link) -> Result<Message, Trouble> {
    let [kind, a, b, c, d] = link.array()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(Trouble::malformed(format!("a message of it has {length} bytes")));
    }
    let content = length.checked_sub(4).ok_or_else(malformed)?;
    Ok((kind, link.receive(content)?))
}

fn malformed() -> Trouble {
    Trouble::malformed("its answer is none of PostgreSQL's protocol")
}

/// With the length that counts itself.
fn framed(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len().saturating_add(4)).unwrap_or(u32::MAX).to_be_bytes();
    [kind, &length, content].concat()
}

/// Text up to a zero, which it therefore cannot hold.
fn text(text: &str) -> Vec<u8> {
    text.bytes().filter(|byte| *byte != 0).chain([0]).collect()
}

pub fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut content = vec![0, 3, 0, 0];
    for word in ["user", user, "database", database, "application_name", "zpost", "client_encoding", "UTF8"] {
        content.extend(text(word));
    }
    content.push(0);
    framed(b"", &content)
}

/// Any answer to a demand of the server's: a password, or a step of SASL.
pub fn password(content: &[u8]) -> Vec<u8> {
    framed(b"p", content)
}

pub fn plain_password(given: &str) -> Vec<u8> {
    password(&text(given))
}

/// Its first step: the mechanism and what begins it.
pub fn sasl_first(mechanism: &str, response: &[u8]) -> Vec<u8> {
    let length = u32::try_from(response.len()).unwrap_or(u32::MAX).to_be_bytes();
    password(&[&text(mechanism)[..], &length, response].concat())
}

/// Several statements without parameters.
pub fn simple(statements: &str) -> Vec<u8> {
    framed(b"Q", &text(statements))
}

/// Parse, Describe, Sync: the statement with as many parameters, all of them texts.
pub fn prepare(statement: &str, parameters: usize) -> Vec<u8> {
    let mut parse = [STATEMENT, &text(statement), &count(parameters)].concat();
    (0..parameters).for_each(|_| parse.extend(TEXT.to_be_bytes()));
    [framed(b"P", &parse), framed(b"D", &[b"S", STATEMENT].concat()), framed(b"S", b"")].concat()
}

/// Bind, Execute, Sync: parameters and results as texts.
pub fn execute(bound: &[Part], key: &str) -> Vec<u8> {
    let mut bind = [b"\0", STATEMENT, &[0, 0], &count(bound.len())].concat();
    for part in bound {
        let value = part.of(key).as_bytes();
        bind.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        bind.extend_from_slice(value);
    }
    bind.extend([0, 0]);
    [framed(b"B", &bind), framed(b"E", &[&[0][..], &(MOST_ROWS + 1).to_be_bytes()].concat()), framed(b"S", b"")].concat()
}

fn count(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

/// How we are to prove who we are.
#[derive(Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    Nothing,
    Plain,
    Md5([u8; 4]),
    /// Names of mechanisms, each ended by a zero.
    Sasl(&'a [u8]),
    Continue(&'a [u8]),
    Final(&'a [u8]),
    Unknown(u32),
}

pub fn demand(content: &[u8]) -> Result<Demand<'_>, Trouble> {
    let (kind, rest) = content.split_first_chunk::<4>().ok_or_else(malformed)?;
    Ok(match (u32::from_be_bytes(*kind), rest) {
        (0, _) => Demand::Nothing,
        (3, _) => Demand::Plain,
        (5, [a, b, c, d]) => Demand::Md5([*a, *b, *c, *d]),
        (10, names) => Demand::Sasl(names),
        (11, data) => Demand::Continue(data),
        (12, data) => Demand::Final(data),
        (other, _) => Demand::Unknown(other),
    })
}

/// Columns of a RowDescription, or parameters of a ParameterDescription.
pub fn counted(content: &[u8]) -> Result<u16, Trouble> {
    content.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes)).ok_or_else(malformed)
}

/// The first column of a DataRow, unless it is NULL.
pub fn row(content: &[u8], values: &mut Values) -> Result<(), Trouble> {
    let (columns, mut rest) = content.split_first_chunk::<2>().ok_or_else(malformed)?;
    let columns = u16::from_be_bytes(*columns);
    for column in 0..columns {
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(malformed)?;
        rest = behind;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { continue };
        let (value, behind) = rest.split_at_checked(length).ok_or_else(malformed)?;
        rest = behind;
        if column == 0 {
            values.push(value)?;
        }
    }
    if columns == 0 || !rest.is_empty() { Err(malformed()) } else { Ok(()) }
}

/// An ErrorResponse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complaint {
    /// The session is over.
    pub fatal: bool,
    /// SQLSTATE.
    pub code: String,
    /// In the server's words; that about a question may hold the key.
    pub text: String,
}

pub fn complaint(content: &[u8]) -> Complaint {
    let mut complaint = Complaint::default();
    for field in content.split(|byte| *byte == 0) {
        match field {
            [b'V', severity @ ..] => complaint.fatal = severity != b"ERROR",
            [b'C', code @ ..] => complaint.code = shown(code),
            [b'M', text @ ..] => complaint.text = shown(text),
            _ => {}
        }
    }
    complaint
}

/// The classes that happen (manual, appendix A); the rest has its number.
pub fn class(code: &str) -> &'static str {
    match code {
        "25006" => "the query writes, and may not",
        "57014" => "the server's time for it was over",
        _ => match code.get(..2).unwrap_or_default() {
            "22" => "data that the query cannot handle",
            "23" => "a constraint",
            "25" => "state of the transaction",
            "28" => "not let in",
            "40" => "rolled back",
            "42" => "syntax or rights",
            "53" => "out of resources",
            "57" => "the server is being stopped or started",
            _ => "see the manual of PostgreSQL, appendix A",
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_as_the_manual_draws_them() {
        assert_eq!(plain_password("pwd"), b"p\0\0\0\x08pwd\0");
        assert_eq!(sasl_first("S", b"n,,"), b"p\0\0\0\x0dS\0\0\0\0\x03n,,");
        assert_eq!(prepare("SELECT $1", 1), b"P\0\0\0\x1blookup\0SELECT $1\0\0\x01\0\0\0\x19D\0\0\0\x0cSlookup\0S\0\0\0\x04");
        assert_eq!(
            execute(&[Part::User, Part::Domain], "a@bc"),
            b"B\0\0\0\x1d\0lookup\0\0\0\0\x02\0\0\0\x01a\0\0\0\x02bc\0\0E\0\0\0\x09\0\0\0\x27\x11S\0\0\0\x04"
        );
        let start = startup("me", "mail");
        assert!(start.starts_with(&[0, 0, 0, 75, 0, 3, 0, 0]) && start.ends_with(b"UTF8\0\0"), "{start:?}");
    }

    fn values(rows: &[&[u8]]) -> Result<Option<Vec<String>>, Trouble> {
        let mut values = Values::default();
        rows.iter().try_for_each(|content| row(content, &mut values))?;
        Ok(values.answer())
    }

    #[test]
    fn the_first_column_of_rows() {
        let rows = [&b"\0\x02\0\0\0\x01a\0\0\0\x01x"[..], b"\0\x01\xff\xff\xff\xff", b"\0\x01\0\0\0\x02bc"];
        assert_eq!(values(&rows).unwrap().unwrap(), ["a", "bc"]);
        assert_eq!(values(&[b"\0\x01\xff\xff\xff\xff"]).unwrap(), None);
        for wrong in
            [&b""[..], b"\0\0", b"\0\x01", b"\0\x01\0\0\0\x05a", b"\0\x01\0\0\0\x01ab", b"\0\x02\0\0\0\x01a", b"\0\x01\x7f\xff\xff\xff"]
        {
            assert!(values(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn demands_and_complaints() {
        assert_eq!(demand(b"\0\0\0\x05abcd").unwrap(), Demand::Md5(*b"abcd"));
        assert_eq!(demand(b"\0\0\0\x05abc").unwrap(), Demand::Unknown(5));
        assert!(demand(b"\0\0").is_err());
        let said = complaint(b"SERROR\0VERROR\0C42P01\0Mno such\ntable\0\0");
        assert_eq!(said, Complaint { fatal: false, code: "42P01".into(), text: "no such table".into() });
        assert!(complaint(b"VFATAL\0C57P01\0\0").fatal);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = row(&bytes, &mut Values::default());
            let _ = (demand(&bytes), counted(&bytes), complaint(&bytes));
        }
    }
}
