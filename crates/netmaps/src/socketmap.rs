//! Socketmap, as Sendmail made it and Postfix's socketmap_table(5) describes it: netstrings with `MAP KEY` one way, a word
//! and data the other.

use crate::said::{Replies, Said};

/// Bytes of a request, without its frame. Servers take no more.
const LONGEST_REQUEST: usize = 10_000;
/// Bytes of a reply, without its frame: Postfix's limit.
const LONGEST_REPLY: usize = 100_000;
/// Digits of [`LONGEST_REPLY`].
const MOST_DIGITS: usize = 6;

/// The netstring for a key. The map is everything before the first space, the key everything after: no key can become
/// another map's, nor a second request, for its length is counted.
pub fn request(map: &str, key: &str) -> Result<Vec<u8>, String> {
    if map.is_empty() || map.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the name of the map is empty or has spaces in it".to_owned());
    }
    let length = map.len().saturating_add(1).saturating_add(key.len());
    if length > LONGEST_REQUEST {
        return Err("the key is too long for a socketmap".to_owned());
    }
    Ok(format!("{length}:{map} {key},").into_bytes())
}

/// Reads one reply.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// Of the netstring, once its colon has come; with it, where the payload begins.
    length: Option<(usize, usize)>,
}

impl Replies for Reader {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<Said>, String> {
        // Never more than the longest reply with its frame is kept.
        let room = (LONGEST_REPLY + MOST_DIGITS + 2).saturating_sub(self.bytes.len());
        if bytes.len() > room {
            return Err("the reply is too long".to_owned());
        }
        self.bytes.extend_from_slice(bytes);
        if self.length.is_none() {
            self.length = length(&self.bytes)?;
        }
        let Some((begin, length)) = self.length else { return Ok(None) };
        let end = begin.saturating_add(length);
        match self.bytes.get(end..) {
            None | Some([]) => Ok(None),
            Some([b',']) => said(self.bytes.get(begin..end).unwrap_or_default()).map(Some),
            Some([b',', ..]) => Err("the server says more than it was asked".to_owned()),
            Some(_) => Err("the reply is not as long as it says".to_owned()),
        }
    }
}

/// Where the payload begins, and its length; `None`: the colon has not come yet.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let no_netstring = || Err("the reply is no netstring".to_owned());
    if digits > MOST_DIGITS {
        return Err("the reply is too long".to_owned());
    }
    match bytes.get(digits) {
        None => Ok(None),
        Some(b':') if digits > 0 && (digits == 1 || bytes.first() != Some(&b'0')) => {
            let number = std::str::from_utf8(bytes.get(..digits).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
            match number {
                Some(length) if length <= LONGEST_REPLY => Ok(Some((digits.saturating_add(1), length))),
                Some(_) => Err("the reply is too long".to_owned()),
                None => no_netstring(),
            }
        }
        Some(_) => no_netstring(),
    }
}

fn said(payload: &[u8]) -> Result<Said, String> {
    let Ok(text) = std::str::from_utf8(payload) else { return Err("the reply is not UTF-8".to_owned()) };
    let (word, data) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "OK" => Said::Found(data.to_owned()),
        "NOTFOUND" => Said::Absent,
        "TEMP" | "TIMEOUT" | "PERM" => Said::Trouble(if data.is_empty() { word.to_owned() } else { data.to_owned() }),
        _ => return Err("the reply is none that socketmap has".to_owned()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Option<Said>, String> {
        Reader::default().take(bytes)
    }

    #[test]
    fn requests() {
        assert_eq!(request("m", "a b@x").unwrap(), b"7:m a b@x,");
        assert_eq!(request("m", "ü").unwrap(), "4:m ü,".as_bytes());
        for map in ["", "a b", "a\n"] {
            request(map, "k").unwrap_err();
        }
        assert!(request("m", &"k".repeat(9_998)).is_ok());
        request("m", &"k".repeat(9_999)).unwrap_err();
    }

    #[test]
    fn replies() {
        let found = |text: &str| Ok(Some(Said::Found(text.to_owned())));
        assert_eq!(read(b"5:OK ab,"), found("ab"));
        assert_eq!(read(b"3:OK ,"), found(""));
        assert_eq!(read(b"9:OK a b, c,"), found("a b, c"));
        assert_eq!(read(b"9:NOTFOUND ,"), Ok(Some(Said::Absent)));
        assert_eq!(read(b"8:NOTFOUND,"), Ok(Some(Said::Absent)));
        for word in ["TEMP", "TIMEOUT", "PERM"] {
            let text = format!("{word} so it is");
            let reply = format!("{}:{text},", text.len());
            assert_eq!(read(reply.as_bytes()), Ok(Some(Said::Trouble("so it is".into()))));
        }
        assert_eq!(read(b"4:PERM,"), Ok(Some(Said::Trouble("PERM".into()))));
    }

    #[test]
    fn what_is_none() {
        let ones = "1".repeat(200_000);
        let hostile: &[&[u8]] = &[
            b":OK a,",
            b"x",
            b"05:OK ab,",
            b"5;OK ab,",
            b"4:OK ab,",
            b"5:OK ab,,",
            b"5:OK ab,5:OK ab,",
            b"100001:",
            b"9999999",
            b"-1:",
            b"+5:OK ab,",
            b" 5:OK ab,",
            b"5:ok ab,",
            b"0:,",
            b"6:OK \xff\xfe,,",
            b"HTTP/1.1 400 Bad Request\r\n",
            ones.as_bytes(),
        ];
        for reply in hostile {
            read(reply).unwrap_err();
        }
        for unfinished in [&b""[..], b"5", b"5:", b"5:OK ab", b"100000:OK"] {
            assert_eq!(read(unfinished), Ok(None));
        }
    }

    proptest! {
        /// However it is cut, it reads the same; whatever comes, no more is kept than the longest reply.
        #[test]
        fn pieces_do_not_matter(value in "[^\0]{0,200}", cuts in prop::collection::vec(1usize..40, 1..50)) {
            let text = format!("OK {value}");
            let reply = format!("{}:{text},", text.len()).into_bytes();
            let (mut reader, mut at, mut cuts) = (Reader::default(), 0, cuts.into_iter().cycle());
            while at < reply.len() {
                let to = (at + cuts.next().unwrap()).min(reply.len());
                let said = reader.take(&reply[at..to]).unwrap();
                at = to;
                prop_assert_eq!(said, (at == reply.len()).then(|| Said::Found(value.clone())));
            }
        }

        #[test]
        fn any_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20)) {
            let mut reader = Reader::default();
            for piece in pieces {
                if !matches!(reader.take(&piece), Ok(None)) {
                    break;
                }
                prop_assert!(reader.bytes.len() <= LONGEST_REPLY + MOST_DIGITS + 2);
            }
        }

        /// A key is one request, of the length it says, and comes back out of it.
        #[test]
        fn a_key_is_never_syntax(key in ".{0,300}") {
            let request = String::from_utf8(request("map", &key).unwrap()).unwrap();
            let (length, rest) = request.split_once(':').unwrap();
            prop_assert_eq!(length.parse::<usize>().unwrap() + 1, rest.len());
            let inside = rest.strip_suffix(',').unwrap();
            prop_assert_eq!(inside.split_once(' ').unwrap(), ("map", key.as_str()));
        }
    }
}
