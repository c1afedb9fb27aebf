//! The content of a `.forward`: entries, read without a shell. zpost-forward(5) is its description.

use std::path::PathBuf;

/// Entries of one file at most.
pub const MAX_ENTRIES: usize = 100;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The user's own mailbox.
    Own,
    Address(String),
    /// An mbox; with a slash at its end, a Maildir.
    File(PathBuf),
    /// An argument vector.
    Program(Vec<String>),
}

/// Reads a file; a fault names its line. One fault spoils the whole file: half of what a user wrote is not what he wants.
pub fn parse(text: &[u8], user: &str) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut entries: Vec<Entry> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let fault = |why: String| format!("line {number}: {why}");
        for word in pieces(line.trim()).map_err(fault)? {
            let entry = entry(&word, user).map_err(fault)?;
            if !entries.contains(&entry) {
                entries.push(entry);
            }
            if entries.len() > MAX_ENTRIES {
                return Err(fault(format!("more than {MAX_ENTRIES} entries")));
            }
        }
    }
    Ok(entries)
}

/// The entries of a line: between commas outside of double quotes. A program without quotes takes the rest of the line.
fn pieces(line: &str) -> Result<Vec<String>, String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(pieces);
        }
        if rest.starts_with('|') {
            pieces.push(rest.to_owned());
            return Ok(pieces);
        }
        let end = piece_end(rest)?;
        let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        pieces.push(piece.trim_end().to_owned());
        rest = after;
    }
}

fn piece_end(text: &str) -> Result<usize, String> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return Ok(at),
            '#' if !quoted && text.get(..at).is_some_and(|before| before.ends_with(char::is_whitespace)) => return Ok(at),
            _ => {}
        }
    }
    if quoted { Err("a quotation mark is not closed".to_owned()) } else { Ok(text.len()) }
}

fn entry(word: &str, user: &str) -> Result<Entry, String> {
    let whole = whole_quoted(word);
    let plain = whole.as_deref().filter(|text| text.starts_with(['|', '/', '\\'])).unwrap_or(word);
    if let Some(command) = plain.strip_prefix('|') {
        return program(command.trim());
    }
    if plain.starts_with('/') {
        return file(plain);
    }
    if plain.starts_with(":include:") {
        return Err(":include: is for alias files".to_owned());
    }
    let name = plain.strip_prefix('\\').unwrap_or(plain);
    if name.eq_ignore_ascii_case(user) {
        return Ok(Entry::Own);
    }
    let address = address::Address::parse(name).map_err(|fault| format!("`{}` is no address: {fault}", printable(name)))?;
    Ok(Entry::Address(address.as_str().to_owned()))
}

/// A plain absolute path.
pub fn file(path: &str) -> Result<Entry, String> {
    let parts = path.trim_end_matches('/').split('/').skip(1);
    if parts.clone().any(|part| part.is_empty() || part == "." || part == "..") || path.contains(char::is_control) {
        return Err(format!("`{}` is no plain absolute path", printable(path)));
    }
    Ok(Entry::File(PathBuf::from(path)))
}

/// What stands between quotation marks that enclose all of the text.
fn whole_quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let (mut out, mut chars) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => out.push(c),
                c => out.extend(['\\', c]),
            },
            c => out.push(c),
        }
    }
    Some(out)
}

/// The argument vector of a command.
pub fn program(command: &str) -> Result<Entry, String> {
    // `|"/usr/bin/program with arguments"`, as Sendmail's users write it.
    let inner = whole_quoted(command).filter(|inner| inner.contains(char::is_whitespace));
    let words = words(inner.as_deref().unwrap_or(command))?;
    match words.first() {
        None => Err("no program after |".to_owned()),
        Some(name) if !name.starts_with('/') => Err(format!("the program `{}` is no absolute path", printable(name))),
        Some(_) => Ok(Entry::Program(words)),
    }
}

/// Splits at blanks. 'One' and "two" kinds of quotes keep words together; in the second kind a backslash keeps `"` and `\`.
fn words(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => quotation(&mut chars, '\'', word.get_or_insert_default())?,
            '"' => quotation(&mut chars, '"', word.get_or_insert_default())?,
            c if is_shells(c) || (matches!(c, '~' | '#') && word.is_none()) => return Err(shells(c)),
            c if c.is_control() => return Err("a control character in a command".to_owned()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quotation(chars: &mut std::str::Chars<'_>, end: char, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            c if c == end => return Ok(()),
            '\\' if end == '"' => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c @ ('$' | '`') if end == '"' => return Err(shells(c)),
            c if c.is_control() => return Err("a control character in a command".to_owned()),
            c => word.push(c),
        }
    }
    Err("a quotation mark is not closed".to_owned())
}

const fn is_shells(c: char) -> bool {
    matches!(c, '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | ']' | '!' | '\\')
}

fn shells(c: char) -> String {
    format!(
        "`{c}` means something only to a shell, and programs are run without one; put it into single quotes, or the command into a script"
    )
}

fn printable(text: &str) -> String {
    text.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
