//! Names of people in front of their addresses.

use data_encoding::BASE64;

/// A name as a phrase: quoted where it must be, or an encoded word (RFC 2047). `None` for one that is too long or has control
/// bytes.
pub fn phrase(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > 45 && !name.is_ascii() || name.len() > 200 || name.chars().any(char::is_control) {
        return None;
    }
    if !name.is_ascii() {
        return Some(format!("=?UTF-8?B?{}?=", BASE64.encode(name.as_bytes())));
    }
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ' || b == b'-') {
        return Some(name.to_owned());
    }
    Some(format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_phrases() {
        assert_eq!(phrase("Ann Other").as_deref(), Some("Ann Other"));
        assert_eq!(phrase("A. \"B\" C").as_deref(), Some("\"A. \\\"B\\\" C\""));
        assert_eq!(phrase("J\u{fc}rgen").as_deref(), Some("=?UTF-8?B?SsO8cmdlbg==?="));
        assert_eq!((phrase(""), phrase("a\nBcc: x")), (None, None));
    }
}
