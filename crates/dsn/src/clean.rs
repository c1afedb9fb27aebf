//! Foreign text made harmless.

/// Longest text of one field, in characters; with the field name it stays under the 998 bytes of RFC 5322 section 2.1.1
/// even when each takes several bytes.
const TEXT_LIMIT: usize = 512;
/// Bytes that a text may have on a line at most.
const LINE_LIMIT: usize = 900;

/// One line without control characters; other than ASCII only where `utf8` allows it.
pub(crate) fn clean(text: &str, utf8: bool) -> String {
    let mut line: String = text.trim().chars().take(TEXT_LIMIT).map(|c| harmless(c, utf8)).collect();
    while line.len() > LINE_LIMIT {
        line.pop();
    }
    line
}
fn harmless(c: char, utf8: bool) -> char {
    let confusing = ('\u{200b}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    if c.is_control() {
        ' '
    } else if confusing || !(utf8 || c.is_ascii()) {
        '?'
    } else {
        c
    }
}

/// What xtext (RFC 3461 section 4) stands for; text that is none stays as it is. Not yet clean.
pub(crate) fn decode_xtext(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = (*first == b'+').then(|| tail.get(..2).and_then(hex)).flatten();
        if escaped.is_some() {
            rest = tail.get(2..).unwrap_or_default();
        }
        bytes.push(escaped.unwrap_or(*first));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
fn hex(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// An address in a status field: type, semicolon, address (RFC 3464 section 2.3, RFC 6533 section 3). Where
/// the field must stay ASCII, a UTF-8 address is written as utf-8-addr-xtext.
pub(crate) fn typed_address(address: &str, utf8: bool) -> String {
    let address = clean(address, true);
    if address.is_ascii() {
        return format!("rfc822; {address}");
    }
    if utf8 {
        return format!("utf-8; {address}");
    }
    let mut text = String::from("utf-8; ");
    for c in address.chars() {
        if text.len() > LINE_LIMIT {
            break;
        }
        if c.is_ascii() && !matches!(c, '\\' | '+' | '=') {
            text.push(c);
        } else {
            text.push_str(&format!("\\x{{{:X}}}", c as u32));
        }
    }
    text
}

/// A message id that can stand in References: `<` visible ASCII `>`, not longer than 250.
pub(crate) fn is_message_id(id: &str) -> bool {
    id.len() <= 250
        && id
            .strip_prefix('<')
            .and_then(|id| id.strip_suffix('>'))
            .is_some_and(|inside| !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b)))
}
