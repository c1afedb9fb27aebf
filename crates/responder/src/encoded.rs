//! Text in header fields beyond ASCII: encoded words (RFC 2047 section 4.1).

use data_encoding::BASE64;

/// Bytes of text in one encoded word, so that the word stays below 75 characters.
const PIECE: usize = 42;

/// The text as it may stand in an unstructured field: as it is when it is printable ASCII, else in encoded words, folded.
pub(crate) fn unstructured(text: &str) -> String {
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len() + c.len_utf8() > PIECE {
            words.push(word(&piece));
            piece.clear();
        }
        piece.push(c);
    }
    words.push(word(&piece));
    words.join("\n ")
}

fn word(piece: &str) -> String {
    format!("=?utf-8?B?{}?=", BASE64.encode(piece.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_stays_and_the_rest_is_encoded() {
        assert_eq!(unstructured("Re: hello"), "Re: hello");
        assert_eq!(unstructured("Grüße"), "=?utf-8?B?R3LDvMOfZQ==?=");
        let long = unstructured(&"ü".repeat(100));
        assert!(long.lines().count() > 4 && long.lines().all(|line| line.trim().len() <= 75), "{long}");
    }
}
