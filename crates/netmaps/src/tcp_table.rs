//! Postfix's tcp table, as tcp_table(5) describes it: `get KEY` one way, a number and text the other, a line each, with what
//! a line cannot have written as `%` and two hexadecimal digits.

use crate::said::{Replies, Said};

/// Bytes of a line, its end included: tcp_table(5) allows no more.
const LONGEST_LINE: usize = 4096;

/// The line for a key.
pub fn request(key: &str) -> Result<Vec<u8>, String> {
    let mut line = b"get ".to_vec();
    for byte in key.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            line.push(byte);
        } else {
            line.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    line.push(b'\n');
    if line.len() > LONGEST_LINE {
        return Err("the key is too long for a tcp table".to_owned());
    }
    Ok(line)
}

/// Reads one reply.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
}

impl Replies for Reader {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<Said>, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        if self.line.len().saturating_add(piece.len()) >= LONGEST_LINE {
            return Err("the reply is too long".to_owned());
        }
        self.line.extend_from_slice(piece);
        match end {
            None => Ok(None),
            Some(end) if end.saturating_add(1) < bytes.len() => Err("the server says more than it was asked".to_owned()),
            Some(_) => said(self.line.strip_suffix(b"\r").unwrap_or(&self.line)).map(Some),
        }
    }
}

fn said(line: &[u8]) -> Result<Said, String> {
    let text = |encoded: &[u8]| decode(encoded).ok_or_else(|| "the reply is wrongly encoded".to_owned());
    match line.split_at_checked(3) {
        Some((b"200", [b' ', value @ ..])) => text(value).map(Said::Found),
        Some((b"500", [] | [b' ', ..])) => Ok(Said::Absent),
        Some((b"400", [b' ', why @ ..])) => text(why).map(Said::Trouble),
        Some((b"400", [])) => Ok(Said::Trouble("no reason given".to_owned())),
        _ => Err("the reply is none that a tcp table has".to_owned()),
    }
}

/// Without the escapes; `None`: one is none, or the whole is not UTF-8.
fn decode(encoded: &[u8]) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(encoded.len()), encoded);
    loop {
        match rest {
            [] => return String::from_utf8(bytes).ok(),
            [b'%', high, low, more @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = more;
            }
            [b'%', ..] => return None,
            [byte, more @ ..] => {
                bytes.push(*byte);
                rest = more;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Option<Said>, String> {
        Reader::default().take(bytes)
    }

    #[test]
    fn requests() {
        assert_eq!(request("a@x.example").unwrap(), b"get a@x.example\n");
        assert_eq!(request("a b%\nget c").unwrap(), b"get a%20b%25%0Aget%20c\n");
        assert_eq!(request("ü").unwrap(), b"get %C3%BC\n");
        request(&"k".repeat(4092)).unwrap_err();
        request(&"ü".repeat(1000)).unwrap_err();
    }

    #[test]
    fn replies() {
        let found = |text: &str| Ok(Some(Said::Found(text.to_owned())));
        assert_eq!(read(b"200 b@x\n"), found("b@x"));
        assert_eq!(read(b"200 a%20b%25c d\n"), found("a b%c d"));
        assert_eq!(read(b"200 %c3%BC\r\n"), found("ü"));
        assert_eq!(read(b"200 \n"), found(""));
        assert_eq!(read(b"500 not here\n"), Ok(Some(Said::Absent)));
        assert_eq!(read(b"500\n"), Ok(Some(Said::Absent)));
        assert_eq!(read(b"400 later%2C please\n"), Ok(Some(Said::Trouble("later, please".into()))));
    }

    #[test]
    fn what_is_none() {
        let long = format!("200 {}\n", "x".repeat(4092));
        let hostile: &[&[u8]] = &[
            b"\n",
            b"20\n",
            b"200\n",
            b"2000 x\n",
            b"250 ok\n",
            b"5000\n",
            b"200 %\n",
            b"200 %4\n",
            b"200 %zz\n",
            b"200 %ff\n",
            b"200 \xff\n",
            b"200 a\n200 b\n",
            b"200-a\n",
            b"hello\n",
            long.as_bytes(),
            &[b'2'; 5000],
        ];
        for reply in hostile {
            read(reply).unwrap_err();
        }
        assert_eq!(read(b"200 unfinished"), Ok(None));
    }

    proptest! {
        #[test]
        fn a_key_is_one_line_and_comes_back_out_of_it(key in ".{0,300}") {
            let Ok(line) = request(&key) else { return Ok(()) };
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let inside = line.strip_prefix(b"get ").unwrap().strip_suffix(b"\n").unwrap();
            prop_assert!(inside.iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(decode(inside).unwrap(), key);
        }

        #[test]
        fn pieces_do_not_matter(line in prop::collection::vec(any::<u8>().prop_filter("no end", |b| *b != b'\n'), 0..100), cut in 1usize..20) {
            let whole = [&line[..], b"\n"].concat();
            let (mut reader, mut last) = (Reader::default(), Ok(None));
            for piece in whole.chunks(cut) {
                prop_assert_eq!(&last, &Ok(None));
                last = reader.take(piece);
            }
            prop_assert_eq!(last, read(&whole));
        }

        #[test]
        fn any_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40)) {
            let mut reader = Reader::default();
            for piece in pieces {
                if !matches!(reader.take(&piece), Ok(None)) {
                    break;
                }
                prop_assert!(reader.line.len() < LONGEST_LINE);
            }
        }
    }
}
