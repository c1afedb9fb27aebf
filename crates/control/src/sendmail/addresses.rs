//! Address lists of headers and arguments (RFC 5322 section 3.4): phrases, comments, groups and routes away, the
//! addresses stay.

use crate::output::shown;
use crate::trouble::{EX_DATAERR, Trouble};
use address::Address;

/// The addresses of a list. A bare name gets `@domain`; `who` is for the message about a wrong one.
pub fn list(text: &str, domain: &str, who: &str) -> Result<Vec<Address>, Trouble> {
    let wrong = |what: &str, why: &str| Trouble::new(EX_DATAERR, format!("{who}: `{}`: {why}; nothing was sent", shown(what)));
    let specs = specs(text).ok_or_else(|| wrong(text, "a quote, comment or bracket is not closed"))?;
    let read = |spec: &String| qualified(spec, domain).map_err(|e| wrong(spec, &e.to_string()));
    specs.iter().map(read).collect()
}

/// One address, a bare name with the domain put to it.
pub fn qualified(spec: &str, domain: &str) -> Result<Address, address::AddressError> {
    let parsed = Address::parse(spec)?;
    if parsed.domain().is_some() { Ok(parsed) } else { Address::parse(&format!("{spec}@{domain}")) }
}

/// What is being read.
#[derive(Default)]
struct Reader {
    found: Vec<String>,
    /// Outside of brackets: an address, or the phrase before a bracket.
    plain: String,
    /// Inside of brackets.
    angle: Option<String>,
    /// A bracket has closed in this element: the phrase is only a phrase.
    had_angle: bool,
}

impl Reader {
    fn current(&mut self) -> &mut String {
        self.angle.as_mut().unwrap_or(&mut self.plain)
    }

    /// The end of an element.
    fn element(&mut self) {
        let plain = std::mem::take(&mut self.plain);
        let spec = plain.trim();
        if !self.had_angle && !spec.is_empty() {
            self.found.push(tight(spec));
        }
        self.had_angle = false;
    }

    /// `>`
    fn close_angle(&mut self) -> Option<()> {
        let angle = self.angle.take()?;
        // Source routes: `@a,@b:user@c` (RFC 5322 section 4.4).
        let spec = if angle.trim_start().starts_with('@') { angle.split_once(':').map_or("", |(_, s)| s) } else { &angle };
        if !spec.trim().is_empty() {
            self.found.push(tight(spec.trim()));
        }
        self.had_angle = true;
        Some(())
    }
}

/// The address texts of a list; `None` when something is not closed.
fn specs(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader::default();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => skip_comment(&mut chars)?,
            '"' => copy_quoted(&mut chars, reader.current())?,
            '[' => copy_literal(&mut chars, reader.current())?,
            '<' if reader.angle.is_none() => reader.angle = Some(String::new()),
            '>' => reader.close_angle()?,
            ',' | ';' if reader.angle.is_none() => reader.element(),
            // The name of a group is no address.
            ':' if reader.angle.is_none() => reader.plain.clear(),
            c => reader.current().push(c),
        }
    }
    if reader.angle.is_some() {
        return None;
    }
    reader.element();
    Some(reader.found)
}

fn skip_comment(chars: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1_usize;
    while depth > 0 {
        match chars.next()? {
            '\\' => {
                chars.next()?;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

fn copy_quoted(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    out.push('"');
    loop {
        let c = chars.next()?;
        out.push(c);
        match c {
            '\\' => out.push(chars.next()?),
            '"' => return Some(()),
            _ => {}
        }
    }
}

fn copy_literal(chars: &mut std::str::Chars<'_>, out: &mut String) -> Option<()> {
    out.push('[');
    loop {
        let c = chars.next()?;
        out.push(c);
        if c == ']' {
            return Some(());
        }
    }
}

/// Blanks around `@` and dots are allowed in headers and mean nothing. Others stay, and make the address a wrong one.
fn tight(spec: &str) -> String {
    if spec.contains('"') {
        return spec.to_owned();
    }
    let mut out = String::with_capacity(spec.len());
    let mut blank = false;
    for c in spec.chars() {
        if c == ' ' || c == '\t' {
            blank = true;
            continue;
        }
        let free = matches!(c, '@' | '.') || out.ends_with(['@', '.']);
        if std::mem::take(&mut blank) && !free {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Vec<String> {
        list(text, "here.example", "To").unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_forms_of_rfc_5322() {
        assert_eq!(of("a@b.c"), ["a@b.c"]);
        assert_eq!(of("Ann Other <ann@b.c>, root , \"x, y\" <z@b.c>"), ["ann@b.c", "root@here.example", "z@b.c"]);
        assert_eq!(of("pete(his \\) account (nested))@silly.test(his host)"), ["pete@silly.test"]);
        assert_eq!(of("A Group:Ed <ed@a.b>,joe@where.test;, Undisclosed recipients:;"), ["ed@a.b", "joe@where.test"]);
        assert_eq!(of("\"a b\"@c.d, <@r1,@r2:u@v.w>, u@[10.0.0.1]"), ["\"a b\"@c.d", "u@v.w", "u@[10.0.0.1]"]);
        assert_eq!(of("a . b @ c . d"), ["a.b@c.d"]);
        assert!(of("").is_empty() && of(" , ;").is_empty() && of("<>").is_empty());
    }

    #[test]
    fn what_is_no_list() {
        for text in ["\"open", "(open", "<open@x", "a b@c.d", "a@b@c", "x@[10.0.0.1", "a\u{0}@b", "\"a\nb\"@c.d", "a>b", "a..b@c"] {
            assert_eq!(list(text, "h.example", "To").map_err(|t| t.code), Err(EX_DATAERR), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic_and_no_address_has_control_bytes(text in "[a-z@<>()\",;:.\\[\\]\\\\ \n\u{0}]{0,40}") {
            for address in list(&text, "h.example", "To").unwrap_or_default() {
                prop_assert!(!address.as_str().chars().any(char::is_control));
            }
        }
    }
}
