//! The text of alias files and of `:include:` lists (Sendmail's aliases(5)).

use crate::lines::{Lines, SyntaxFault};
use std::fmt;
use std::io::BufRead;

/// One right-hand side of an alias, or one entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An address or a bare name, as written (angle brackets and phrases removed).
    Address(String),
    /// `\name`: the mailbox of that name, without alias expansion.
    Mailbox(String),
    /// `:include:/path`
    Include(String),
    /// `|program`
    Program(String),
    /// `/path`
    File(String),
}

/// One alias: `name: value, value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasLine {
    /// As written, quotes removed.
    pub name: String,
    /// 1-based line of the name.
    pub line: usize,
    /// The values, or why they do not parse: such a name is temporarily unavailable, not unknown.
    pub values: Result<Vec<Value>, String>,
}

/// Reads an alias file. Lines that begin with a blank go on the line before; `#` begins a comment line.
pub fn parse_aliases(text: &str) -> (Vec<AliasLine>, Vec<SyntaxFault>) {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for line in read_aliases(text.as_bytes()) {
        match line {
            Ok(alias) => lines.push(alias),
            Err(fault) => faults.push(fault),
        }
    }
    (lines, faults)
}

/// Reads a list file: addresses separated by commas or line ends, `#` comment lines.
pub fn parse_list(text: &str) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if !line.trim_start().starts_with('#') {
            let mut some = values(line).map_err(|reason| format!("line {}: {reason}", number + 1))?;
            all.append(&mut some);
        }
    }
    Ok(all)
}

/// [`parse_aliases`], line by line.
pub fn read_aliases<R: BufRead>(input: R) -> impl Iterator<Item = Result<AliasLine, SyntaxFault>> {
    Lines::new(input).map(|line| {
        let (line, text) = line?;
        parse_alias(line, &text)
    })
}

/// One line, with what goes on it.
pub(crate) fn parse_alias(line: usize, text: &str) -> Result<AliasLine, SyntaxFault> {
    match split_name(text) {
        Ok((name, rest)) => Ok(AliasLine { name, line, values: values(rest) }),
        Err(reason) => Err(SyntaxFault { line, reason: reason.to_owned() }),
    }
}

impl fmt::Display for Value {
    /// As an alias file says it, so that it reads back as this one value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match self {
            Self::Address(text) | Self::File(text) => text.clone(),
            Self::Mailbox(name) => format!("\\{name}"),
            Self::Include(path) => format!(":include:{path}"),
            Self::Program(program) => format!("|{program}"),
        };
        if matches!(values(&plain).as_deref(), Ok([value]) if value == self) {
            return f.write_str(&plain);
        }
        match self {
            Self::Address(text) => write!(f, "<{text}>"),
            _ => write!(f, "\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

fn split_name(text: &str) -> Result<(String, &str), &'static str> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (name, used) = unquote(quoted).ok_or("the name's quote does not end")?;
            (name, quoted.get(used..).unwrap_or_default())
        }
        None => {
            let colon = text.find(':').ok_or("no colon after the name")?;
            let (name, rest) = text.split_at(colon);
            (name.trim().to_owned(), rest)
        }
    };
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err("no name before the colon");
    }
    // `"quoted name"@example.org: ...`
    let (suffix, rest) = rest.split_once(':').ok_or("no colon after the name")?;
    Ok((name + suffix.trim(), rest))
}

/// The text of a quoted string up to its closing quote, and how many bytes it took, that quote included.
pub(crate) fn unquote(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, at + 1)),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

/// Reads the right-hand side of an alias: values with commas between.
pub fn parse_values(text: &str) -> Result<Vec<Value>, String> {
    values(text)
}

fn values(text: &str) -> Result<Vec<Value>, String> {
    split_commas(text)?.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(value).collect()
}

/// Splits at commas that are in no quotes and no comments.
fn split_commas(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start) = (Vec::new(), 0);
    each_outside(text, |at, c| {
        if c == ',' {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + 1;
        }
    })?;
    parts.push(text.get(start..).unwrap_or_default());
    Ok(parts)
}

/// Gives `each` the characters that are in no quotes and no comments. What is left open at the end would swallow the value
/// after it, and is refused.
fn each_outside(text: &str, mut each: impl FnMut(usize, char)) -> Result<(), &'static str> {
    let (mut quoted, mut escaped, mut comments) = (false, false, 0_u32);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if comments == 0 => quoted = !quoted,
            '(' if !quoted => comments = comments.saturating_add(1),
            ')' if !quoted => comments = comments.saturating_sub(1),
            c if !quoted && comments == 0 => each(at, c),
            _ => {}
        }
    }
    match (quoted, comments, escaped) {
        (true, ..) => Err("a quote does not end"),
        (_, 1.., _) => Err("a comment does not end"),
        (.., true) => Err("nothing after a backslash"),
        _ => Ok(()),
    }
}

fn value(part: &str) -> Result<Value, String> {
    if part.chars().any(char::is_control) {
        return Err("control byte in a value".to_owned());
    }
    let whole = part.strip_prefix('"').and_then(unquote).filter(|(_, used)| used + 1 == part.len()).map(|(text, _)| text);
    let plain = whole.as_deref().unwrap_or(part);
    if let Some(path) = plain.strip_prefix(":include:") {
        let path = path.trim().trim_matches('"');
        return if path.starts_with('/') { Ok(Value::Include(path.to_owned())) } else { Err(format!("no absolute path in {part}")) };
    }
    match plain.chars().next() {
        Some('|') => Ok(Value::Program(plain.get(1..).unwrap_or_default().trim().to_owned())),
        Some('/') => Ok(Value::File(plain.to_owned())),
        Some('\\') if plain.len() > 1 => Ok(Value::Mailbox(plain.get(1..).unwrap_or_default().to_owned())),
        Some(':') | None => Err(format!("unknown value {part}")),
        Some(_) => address(part),
    }
}

/// `Phrase <address>`, `address (comment)` or a bare address.
fn address(part: &str) -> Result<Value, String> {
    let mut text = part;
    if let (Some(open), true) = (part.rfind('<'), part.ends_with('>')) {
        text = part.get(open + 1..part.len() - 1).unwrap_or_default();
    } else if let (Some(open), true) = (part.find(" ("), part.ends_with(')')) {
        text = part.get(..open).unwrap_or_default();
    }
    let text = text.trim();
    // What stood in a comment or in quotes before may hold marks: alone it would be two values, perhaps of another kind.
    let mut marks = text.is_empty();
    each_outside(text, |_, c| marks |= matches!(c, ',' | '<' | '>'))?;
    if marks { Err(format!("no address in {part}")) } else { Ok(Value::Address(text.to_owned())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Vec<Value> {
        let (lines, faults) = parse_aliases(text);
        assert!(faults.is_empty(), "{faults:?}");
        lines[0].values.clone().unwrap()
    }

    #[test]
    fn reads_names_values_continuations_and_comments() {
        let (lines, faults) = parse_aliases(
            "# top\nroot: admin, Joe <joe@example.org>,\n\t# inside\n\n  \"|prog a, b\", /var/x\nlist: :include:/etc/list\n\"two words\": a\n",
        );
        assert!(faults.is_empty());
        assert_eq!(lines.iter().map(|l| (l.name.as_str(), l.line)).collect::<Vec<_>>(), [("root", 2), ("list", 6), ("two words", 7)]);
        let root = lines[0].values.clone().unwrap();
        let address = |t: &str| Value::Address(t.to_owned());
        assert_eq!(root, [address("admin"), address("joe@example.org"), Value::Program("prog a, b".into()), Value::File("/var/x".into())]);
        assert_eq!(lines[1].values, Ok(vec![Value::Include("/etc/list".into())]));
    }

    #[test]
    fn full_addresses_backslashes_and_quoted_addresses() {
        assert_eq!(one("info@example.org: \\joe"), [Value::Mailbox("joe".into())]);
        assert_eq!(one("a: \"b, c\"@example.org"), [Value::Address("\"b, c\"@example.org".into())]);
        assert_eq!(one("a: b@c (that is, B)"), [Value::Address("b@c".into())]);
        assert_eq!(one("a: \":include:/x y\""), [Value::Include("/x y".into())]);
    }

    #[test]
    fn a_bad_value_belongs_to_its_name_and_a_nameless_line_is_a_fault() {
        let (lines, faults) = parse_aliases("a: \"b\nnonsense\n: x\nc: :include:relative\nd: x(<y,z>)>\ne: x (y\nf: x\\\n");
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line.values.is_err()));
        assert_eq!(faults.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn lists_hold_one_or_more_addresses_a_line() {
        let list = parse_list("# members\na@b, c@d\n\n<e@f>\n").unwrap();
        assert_eq!(list.len(), 3);
        assert!(parse_list("a\n\"b").unwrap_err().starts_with("line 2"));
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        for (text, written) in [
            ("joe@example.org", "joe@example.org"),
            ("Joe <joe@example.org>", "joe@example.org"),
            ("<|x>", "<|x>"),
            ("\\joe", "\\joe"),
            ("\"|prog \\\"a, b\\\"\"", "|prog \"a, b\""),
            ("\"|prog a, b\"", "\"|prog a, b\""),
            ("|prog a", "|prog a"),
            ("\"/x, y\"", "\"/x, y\""),
            (":include:/x", ":include:/x"),
        ] {
            assert_eq!(one(&format!("a: {text}"))[0].to_string(), written);
        }
    }

    proptest! {
        #[test]
        fn a_value_reads_back(text in "[a-c:,\"\\\\<>()#|/ @\u{e9}]{0,40}", file in "[|/\\\\](include:/)?[a \",\\\\]{0,6}") {
            let quoted = format!("\"{}\"", file.replace('\\', "\\\\").replace('"', "\\\""));
            for value in [text, quoted].iter().filter_map(|text| parse_values(text).ok()).flatten() {
                let written = value.to_string();
                prop_assert_eq!(parse_values(&written), Ok(vec![value.clone()]), "{}", written);
                let more = Value::Address("b@c".to_owned());
                prop_assert_eq!(parse_values(&format!("{written}, {more}")), Ok(vec![value, more]), "{}", written);
            }
        }

        #[test]
        fn any_text_parses_without_panic(text in "[a-c:,\"\\\\<>()#|/ \t\n@\u{e9}\u{0}]{0,80}") {
            let (lines, faults) = parse_aliases(&text);
            prop_assert!(lines.len() + faults.len() <= text.lines().count());
            let _ = parse_list(&text);
        }

        #[test]
        fn what_is_written_is_read(name in "[a-z][a-z0-9.+-]{0,12}", values in proptest::collection::vec("[a-z0-9]{1,8}@[a-z]{1,8}", 1..20)) {
            let text = format!("{name}: {}\n", values.join(",\n   "));
            let expected: Vec<Value> = values.into_iter().map(Value::Address).collect();
            prop_assert_eq!(one(&text), expected);
        }
    }
}
