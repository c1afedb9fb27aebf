//! Prepared statements: requests, and what comes for them.

use crate::packet::{Reader, counted, malformed};
use settings::Part;
use tablelink::{Trouble, shown};

const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const QUERY: u8 = 0x03;
/// What all parameters are: VAR_STRING.
const TEXT: [u8; 2] = [0xfd, 0];
/// Flag of a column.
const UNSIGNED: u16 = 1 << 5;
const BINARY: u16 = 63;

pub fn query(text: &str) -> Vec<u8> {
    [&[QUERY], text.as_bytes()].concat()
}

pub fn prepare(text: &str) -> Vec<u8> {
    [&[PREPARE], text.as_bytes()].concat()
}

pub fn execute(statement: u32, bound: &[Part], key: &str) -> Vec<u8> {
    let mut out = vec![EXECUTE];
    out.extend(statement.to_le_bytes());
    // No cursor; once.
    out.extend([0, 1, 0, 0, 0]);
    // None is NULL.
    out.extend(vec![0; bound.len().div_ceil(8)]);
    out.push(1);
    bound.iter().for_each(|_| out.extend(TEXT));
    bound.iter().for_each(|part| out.extend(counted(part.of(key).as_bytes())));
    out
}

/// The answer to a preparation.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    pub statement: u32,
    pub columns: u16,
    pub parameters: u16,
}

pub fn prepared(packet: &[u8]) -> Result<Prepared, Trouble> {
    let mut reader = Reader(packet);
    if reader.byte()? != 0 {
        return Err(malformed());
    }
    Ok(Prepared { statement: u32::from_le_bytes(reader.array()?), columns: reader.short()?, parameters: reader.short()? })
}

/// How the first column's values come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Behind their number.
    Text,
    /// Bytes, and whether the highest bit is a sign.
    Integer(usize, bool),
    Single,
    Double,
    Null,
    Year,
}

impl Column {
    /// Of a column's definition.
    pub fn parse(packet: &[u8]) -> Result<Self, Trouble> {
        let mut reader = Reader(packet);
        for _ in 0..6 {
            reader.counted()?;
        }
        reader.number()?;
        let characters = reader.short()?;
        reader.bytes(4)?;
        let (kind, flags) = (reader.byte()?, reader.short()?);
        let signed = flags & UNSIGNED == 0;
        Ok(match kind {
            0x01 => Self::Integer(1, signed),
            0x02 => Self::Integer(2, signed),
            0x03 | 0x09 => Self::Integer(4, signed),
            0x08 => Self::Integer(8, signed),
            0x0d => Self::Year,
            0x04 => Self::Single,
            0x05 => Self::Double,
            0x06 => Self::Null,
            0x00 | 0xf6 | 0x0f | 0xf5 | 0xf7..=0xfe => Self::Text,
            _ => {
                let spelled = if characters == BINARY { " (a date, a time or bits)" } else { "" };
                return Err(Trouble::broken(format!(
                    "query: its first column has type {kind}{spelled}, which is no text; write CAST(... AS CHAR)"
                )));
            }
        })
    }

    /// The value in text.
    fn value(self, reader: &mut Reader<'_>) -> Result<Vec<u8>, Trouble> {
        Ok(match self {
            Self::Text => reader.counted()?.to_vec(),
            Self::Single => f32::from_le_bytes(reader.array()?).to_string().into_bytes(),
            Self::Double => f64::from_le_bytes(reader.array()?).to_string().into_bytes(),
            Self::Year => reader.short()?.to_string().into_bytes(),
            Self::Integer(length, signed) => integer(reader.bytes(length)?, signed).to_string().into_bytes(),
            Self::Null => return Err(malformed()),
        })
    }
}

fn integer(bytes: &[u8], signed: bool) -> i128 {
    let number = bytes.iter().rev().fold(0i128, |sum, byte| (sum << 8) | i128::from(*byte));
    let negative = signed && bytes.last().is_some_and(|last| *last >= 0x80);
    if negative { number - (1i128 << (bytes.len().min(8) * 8)) } else { number }
}

/// The first column of a row, unless it is NULL.
pub fn first(packet: &[u8], column: Column, columns: u16) -> Result<Option<Vec<u8>>, Trouble> {
    let mut reader = Reader(packet);
    if reader.byte()? != 0 {
        return Err(malformed());
    }
    // Two bits come before that of the first column.
    let nulls = reader.bytes((usize::from(columns) + 9) / 8)?;
    if nulls.first().is_some_and(|bits| bits & 4 != 0) {
        return Ok(None);
    }
    column.value(&mut reader).map(Some)
}

/// What ends definitions and rows.
pub fn is_end(packet: &[u8]) -> bool {
    packet.len() < 9 && packet.first() == Some(&0xfe)
}

/// That more results follow this one (the flags of [`is_end`]).
pub fn has_more(packet: &[u8]) -> bool {
    packet.get(3).is_some_and(|flags| flags & 8 != 0)
}

/// An error packet, behind its first byte.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub code: u16,
    /// In the server's words; that about a question may hold the key.
    pub text: String,
}

pub fn complaint(rest: &[u8]) -> Complaint {
    let (code, text) = rest.split_first_chunk::<2>().unwrap_or((&[0, 0], b""));
    let text = if text.first() == Some(&b'#') { text.get(6..).unwrap_or_default() } else { text };
    Complaint { code: u16::from_le_bytes(*code), text: shown(text) }
}

/// Those that happen.
pub fn named(code: u16) -> &'static str {
    match code {
        1053 | 1927 => "the server is being stopped",
        1142 | 1143 | 1370 => "no right to do so",
        1146 => "there is no such table",
        1205 | 1213 => "locked by others",
        1243 => "the statement is unknown",
        1267 | 1271 => "collations that cannot be compared",
        1792 => "the query writes, and may not",
        1969 | 3024 => "the server's time for it was over",
        _ => "see the list of errors in the manual of MariaDB or MySQL",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn definition(kind: u8, flags: u16) -> Vec<u8> {
        let mut packet = b"\x03def\0\x01t\x01t\x01a\x01a\x0c\x2d\0\xff\0\0\0".to_vec();
        packet.push(kind);
        packet.extend(flags.to_le_bytes());
        packet.extend([0, 0, 0]);
        packet
    }

    fn text(kind: u8, flags: u16, value: &[u8]) -> String {
        let column = Column::parse(&definition(kind, flags)).unwrap();
        String::from_utf8(first(&[b"\0\0", value].concat(), column, 1).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn values_of_all_types() {
        assert_eq!(text(0xfd, 0, b"\x03abc"), "abc");
        assert_eq!(text(0xfc, 0, b"\xfc\x03\0abc"), "abc");
        assert_eq!(text(0x01, 0, b"\xff"), "-1");
        assert_eq!(text(0x01, UNSIGNED, b"\xff"), "255");
        assert_eq!(text(0x02, 0, b"\x01\x02"), "513");
        assert_eq!(text(0x03, 0, b"\xfe\xff\xff\xff"), "-2");
        assert_eq!(text(0x08, 0, b"\0\0\0\0\0\0\0\x80"), i64::MIN.to_string());
        assert_eq!(text(0x08, UNSIGNED, b"\xff\xff\xff\xff\xff\xff\xff\xff"), u64::MAX.to_string());
        assert_eq!(text(0x05, 0, &1.5f64.to_le_bytes()), "1.5");
        assert_eq!(text(0x04, 0, &0.25f32.to_le_bytes()), "0.25");
        assert_eq!(text(0x0d, 0, b"\xea\x07"), "2026");
        assert_eq!(text(0xf6, 0, b"\x0412.3"), "12.3");
        assert!(Column::parse(&definition(0x0c, 0)).unwrap_err().reason.contains("CAST"));
        assert!(Column::parse(&definition(0x10, 0)).unwrap_err().reason.contains("type 16"));
    }

    #[test]
    fn rows() {
        assert_eq!(first(b"\0\x04", Column::Text, 1).unwrap(), None);
        assert_eq!(first(b"\0\x08\x01a", Column::Text, 2).unwrap().unwrap(), b"a");
        for wrong in [&b""[..], b"\x01\0\x01a", b"\0", b"\0\0", b"\0\0\x05a", b"\0\0\xfb"] {
            assert!(first(wrong, Column::Text, 1).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn requests() {
        let expected = b"\x17\x07\0\0\0\0\x01\0\0\0\0\x01\xfd\0\xfd\0\x01a\x02bc";
        assert_eq!(execute(7, &[Part::User, Part::Domain], "a@bc"), expected);
        assert_eq!(prepared(b"\0\x07\0\0\0\x01\0\x02\0\0\0\0").unwrap(), Prepared { statement: 7, columns: 1, parameters: 2 });
        assert_eq!(complaint(b"\x2a\x04#42S02no such table"), Complaint { code: 1066, text: "no such table".into() });
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60), columns in any::<u16>()) {
            let _ = (Column::parse(&bytes), prepared(&bytes), complaint(&bytes));
            for column in [Column::Text, Column::Integer(8, true), Column::Double, Column::Null] {
                let _ = first(&bytes, column, columns);
            }
        }
    }
}
