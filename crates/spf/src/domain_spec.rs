//! Macro strings and domain specifications (RFC 7208 section 7.1), read and not yet expanded.

/// A fault of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Macro(Macro),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Macro {
    /// In lower case.
    pub letter: u8,
    /// It was written in upper case: the value is escaped for URLs.
    pub escaped: bool,
    /// Of the parts from the right.
    pub keep: Option<usize>,
    pub reversed: bool,
    /// Empty: at dots.
    pub delimiters: Vec<u8>,
}

/// A sequence of parts. Of a domain specification it is known that something like a domain comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MacroString(pub Vec<Part>);

/// Letters of everywhere, and those of explanations besides.
const LETTERS: &[u8] = b"slodiphv";
const LETTERS_OF_EXPLANATIONS: &[u8] = b"slodiphvcrt";

impl MacroString {
    /// `domain-spec`.
    pub fn domain_spec(text: &str) -> Result<Self, Fault> {
        let spec = read(text, LETTERS, false)?;
        let ends_well = match spec.0.last() {
            Some(Part::Macro(_)) => true,
            Some(Part::Literal(tail)) => text.ends_with(['%', '_', '-']) && ends_with_escape(text) || ends_with_label(tail),
            None => false,
        };
        if ends_well { Ok(spec) } else { Err(Fault) }
    }

    /// The value of a modifier that nobody knows.
    pub fn any(text: &str) -> Result<Self, Fault> {
        read(text, LETTERS_OF_EXPLANATIONS, false)
    }

    /// `explain-string`: blanks too.
    pub fn explanation(text: &str) -> Result<Self, Fault> {
        read(text, LETTERS_OF_EXPLANATIONS, true)
    }
}

/// `%%`, `%_` or `%-` at the end. Percent signs stand in pairs with what follows, so their number before it decides.
fn ends_with_escape(text: &str) -> bool {
    let head = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let signs = head.bytes().rev().take_while(|byte| *byte == b'%').count();
    signs % 2 == 1
}

/// `"." toplabel [ "." ]`.
fn ends_with_label(tail: &str) -> bool {
    let tail = tail.strip_suffix('.').unwrap_or(tail);
    let Some((_, label)) = tail.rsplit_once('.') else { return false };
    let bytes = label.as_bytes();
    let inside = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    let ends = [bytes.first(), bytes.last()].iter().all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric));
    inside && ends && !bytes.iter().all(u8::is_ascii_digit)
}

fn read(text: &str, letters: &[u8], blanks: bool) -> Result<MacroString, Fault> {
    let (mut parts, mut literal) = (Vec::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '%' => {
                let next = rest.chars().next().ok_or(Fault)?;
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
                match next {
                    '%' => literal.push('%'),
                    '_' => literal.push(' '),
                    '-' => literal.push_str("%20"),
                    '{' => {
                        let (inside, after) = rest.split_once('}').ok_or(Fault)?;
                        if !literal.is_empty() {
                            parts.push(Part::Literal(std::mem::take(&mut literal)));
                        }
                        parts.push(Part::Macro(macro_expand(inside, letters)?));
                        rest = after;
                    }
                    _ => return Err(Fault),
                }
            }
            ' ' if blanks => literal.push(' '),
            '!'..='~' => literal.push(c),
            _ => return Err(Fault),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(MacroString(parts))
}

/// What stands between the braces: letter, digits, `r`, delimiters.
fn macro_expand(inside: &str, letters: &[u8]) -> Result<Macro, Fault> {
    let (first, rest) = inside.as_bytes().split_first().ok_or(Fault)?;
    let letter = first.to_ascii_lowercase();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at(digits);
    let (reversed, delimiters) = match rest.split_first() {
        Some((b'r' | b'R', rest)) => (true, rest),
        _ => (false, rest),
    };
    let keep = match number {
        [] => None,
        // More than there are parts, however large.
        digits => Some(std::str::from_utf8(digits).map_err(|_| Fault)?.parse::<usize>().unwrap_or(usize::MAX)),
    };
    if !letters.contains(&letter) || keep == Some(0) || !delimiters.iter().all(|byte| b".-+,/_=".contains(byte)) {
        return Err(Fault);
    }
    Ok(Macro { letter, escaped: first.is_ascii_uppercase(), keep, reversed, delimiters: delimiters.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_specifications() {
        for good in ["example.com", "example.com.", "%{d}", "%{ir}.%{v}._spf.%{d2}", "a_b.c-d", "x.%{l1r+-}", "%{d}.a1", "foo.%%", "A.%{H}"]
        {
            assert!(MacroString::domain_spec(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "com",
            "com.",
            "a.1",
            "a.-b",
            "a.b-",
            "%{d}com",
            "%",
            "%a",
            "%{",
            "%{}",
            "%{x}",
            "%{d0}",
            "%{d!}",
            "%{c}.x.com",
            "a b.c",
            "a.b..",
            "a.b/24",
            "\u{e9}.com",
            "%{dr1}",
            "foo.x%",
        ] {
            assert_eq!(MacroString::domain_spec(bad), Err(Fault), "{bad}");
        }
    }

    #[test]
    fn only_explanations_know_the_time() {
        assert!(MacroString::explanation("%{c} at %{t}, says %{R}").is_ok());
        assert_eq!(MacroString::domain_spec("%{t}"), Err(Fault));
    }
}
