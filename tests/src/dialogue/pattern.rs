//! Patterns of replies and the escapes of dialogues.

/// Does `text` fit `pattern`, where `*` is any run of characters?
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.len() >= last.len() && text.ends_with(last)
}

/// Does `text` fit one of the patterns between ` | `?
pub fn fits_one(patterns: &str, text: &str) -> bool {
    patterns.split(" | ").any(|pattern| fits(pattern, text))
}

/// `\r \n \0 \t \\ \xNN`; `\u`: the name of this run; `\{text*N}`: the text (with its own escapes) N times.
pub fn unescape(text: &str, run: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let mut letters = after.chars();
        let letter = letters.next().ok_or("a backslash at the end")?;
        rest = letters.as_str();
        match letter {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'u' => bytes.extend_from_slice(run.as_bytes()),
            'x' => {
                let digits = rest.get(..2).ok_or("\\x wants two digits")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "\\x wants two hexadecimal digits")?);
                rest = &rest[2..];
            }
            '{' => {
                let (repeated, after) = rest.split_once('}').ok_or("\\{ without }")?;
                let (repeated, times) = repeated.rsplit_once('*').ok_or("\\{text*N} wants *N")?;
                let times = times.parse().map_err(|_| "\\{text*N} wants a number")?;
                bytes.extend(unescape(repeated, run)?.repeat(times));
                rest = after;
            }
            other => return Err(format!("\\{other} is no escape")),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in [("250 *", "250 ok"), ("*", ""), ("a*b*c", "aXbYc"), ("250 2.1.0 ok", "250 2.1.0 ok"), ("a*a", "aa")] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("250 *", "2500"), ("a*a", "a"), ("a*b*c", "aXcYb"), ("250", "250 ok"), ("*x", "")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(fits_one("501 * | 553 *", "553 5.1.3 no") && !fits_one("501 * | 553 *", "550 no"));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"a\r\n\0\x41\\\u\{x\n*3}${run{}}", "me").unwrap(), b"a\r\n\0A\\mex\nx\nx\n${run{}}");
        for bad in [r"\", r"\q", r"\x4", r"\xzz", r"\{x*y}", r"\{x}", r"\{x*1"] {
            assert!(unescape(bad, "").is_err(), "{bad}");
        }
    }
}
