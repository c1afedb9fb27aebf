//! Postfix's regexp and pcre tables: `/pattern/flags value`, with `$1` where ours have `%1`.

use crate::draft::Draft;
use crate::lines::{logical, pair};

/// The same rules in our form; those that cannot be are remarked on.
pub(crate) fn convert(file: &str, text: &str, convert: fn(&str) -> Result<String, String>, draft: &mut Draft) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for (line, rule) in logical(text) {
        let word = pair(&rule).0;
        if word.eq_ignore_ascii_case("if") || word.eq_ignore_ascii_case("endif") {
            depth = if word.eq_ignore_ascii_case("if") { depth + 1 } else { depth.saturating_sub(1) };
            draft.remark(file, line, "if and endif are not known; what stands between them is left out");
            continue;
        }
        if depth > 0 {
            draft.remark(file, line, "left out: it stands inside of if");
            continue;
        }
        // What does not match is meant by the same sign here.
        let (not, rule) = rule.strip_prefix('!').map_or(("", rule.as_str()), |rest| ("!", rest.trim_start()));
        match split(rule) {
            Some((pattern, value)) if !["(?=", "(?!", "(?<"].iter().any(|open| pattern.contains(open)) => {
                match convert(&substitutions(value)) {
                    Ok(value) => out.push_str(&format!("{not}{pattern} {value}\n")),
                    Err(reason) => draft.remark(file, line, format!("left out: {reason}")),
                }
            }
            Some(_) => draft.remark(file, line, "left out: patterns that look ahead or behind are not known"),
            None => draft.remark(file, line, "left out: it is not /pattern/flags value"),
        }
    }
    out
}

/// The pattern with its slashes and flags, and the value.
fn split(rule: &str) -> Option<(String, &str)> {
    let delimiter = rule.chars().next().filter(|c| !c.is_ascii_alphanumeric())?;
    let mut escaped = false;
    let end = rule.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == delimiter && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    })?;
    let (pattern, rest) = (rule.get(delimiter.len_utf8()..end.0)?, rule.get(end.0 + delimiter.len_utf8()..)?);
    let (flags, value) = pair(rest);
    let (flags, value) = if rest.starts_with([' ', '\t']) { ("", rest.trim()) } else { (flags, value) };
    // Case is folded there unless the flag i, which turns it over, is given; here by [[table]] fold.
    let known =
        [('i', "c"), ('x', "x")].into_iter().filter(|(theirs, _)| flags.contains(*theirs)).map(|(_, ours)| ours).collect::<String>();
    let pattern = if delimiter == '/' { pattern.to_owned() } else { pattern.replace('/', "\\/") };
    Some((format!("/{pattern}/{known}"), value))
}

/// `$1`, `${1}`, `$(1)` as `%1`; `$$` as `$`.
pub(crate) fn substitutions(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('%', _) => out.push_str("%%"),
            ('$', Some('$')) => out.extend(rest.next()),
            ('$', Some(digit)) if digit.is_ascii_digit() => {
                out.push('%');
                out.extend(rest.next());
            }
            ('$', Some(open @ ('{' | '('))) => {
                rest.next();
                let close = if open == '{' { '}' } else { ')' };
                let name: String = rest.by_ref().take_while(|c| *c != close).collect();
                out.push('%');
                out.push_str(&name);
            }
            (c, _) => out.push(c),
        }
    }
    out
}
