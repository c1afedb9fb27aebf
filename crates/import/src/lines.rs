//! Lines of the files that these systems have: comments, continuations, a key and a value.

/// Logical lines with the number of their first: a line that begins with a blank goes on the one before; `#` begins a
/// comment line, which does not end a logical one.
pub(crate) fn logical(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(trimmed);
            }
            _ => lines.push((number, trimmed.to_owned())),
        }
    }
    lines
}

/// Key and value with blanks between.
pub(crate) fn pair(line: &str) -> (&str, &str) {
    line.split_once([' ', '\t']).map_or((line, ""), |(key, value)| (key, value.trim()))
}

/// Elements of a list with commas or blanks between.
pub(crate) fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t']).map(str::trim).filter(|element| !element.is_empty())
}

/// A domain in normal form, a dot before it kept.
pub(crate) fn domain(text: &str) -> Option<String> {
    let (dot, name) = text.strip_prefix('.').map_or(("", text), |name| (".", name));
    address::normalise(name).ok().map(|name| format!("{dot}{name}"))
}
