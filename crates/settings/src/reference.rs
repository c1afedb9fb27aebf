//! The parameter reference of the manual page, made from the table.

use crate::table::{Kind, Parameter, SECTIONS, parameters};
use crate::units::{print_duration, print_size};
use std::fmt::Write as _;

/// What a value of this kind is, in words.
pub fn kind_words(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Line => "a text".to_owned(),
        Kind::Path => "an absolute path".to_owned(),
        Kind::Pattern => "a path pattern".to_owned(),
        Kind::Duration { min, max } => format!("a duration, {} to {}", print_duration(min), print_duration(max)),
        Kind::Size { min, max } => format!("a size, {} to {}", print_size(min), print_size(max)),
        Kind::Integer { min, max } => format!("a whole number, {min} to {max}"),
        Kind::Number { min, max } => format!("a number, {min} to {max}"),
        Kind::Bool => "true or false".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Host => "a host name".to_owned(),
        Kind::Domain => "a domain, .suffix or *".to_owned(),
        Kind::Sender => "an address, a domain or .suffix".to_owned(),
        Kind::Ip => "an IP address".to_owned(),
        Kind::Proxy => "a proxy".to_owned(),
        Kind::Bind => "address:port or unix:/path".to_owned(),
        Kind::Users => "passwd, any, a path or a table".to_owned(),
        Kind::Texts => "a list of texts".to_owned(),
        Kind::Paths => "a list of absolute paths".to_owned(),
        Kind::Domains => "a list of domains".to_owned(),
        Kind::Mailboxes => "a list of addresses and domains".to_owned(),
        Kind::Networks => "a list of addresses and address blocks".to_owned(),
        Kind::Servers => "a list of addresses with or without a port".to_owned(),
        Kind::Map => "a table of texts".to_owned(),
        Kind::Rate => "a number in a time".to_owned(),
        Kind::Hours => "hours of the week".to_owned(),
        Kind::Priority => "a number from -9 to 9".to_owned(),
        Kind::Factors => "a text of numbers with blanks between".to_owned(),
        Kind::Steps => "a text of three rising numbers with blanks between".to_owned(),
    }
}

/// The PARAMETERS section of zpost.toml(5) in mdoc.
pub fn mdoc() -> String {
    let mut out = String::from(".Sh PARAMETERS\n");
    for section in SECTIONS {
        let brackets = if section.repeated { format!("[[{}]]", section.name) } else { format!("[{}]", section.name) };
        let _ = write!(out, ".Ss {brackets}\n{}\n.Bl -tag -width Ds\n", roff(section.doc));
        for parameter in parameters().filter(|p| p.section == section.name) {
            item(parameter, &mut out);
        }
        out.push_str(".El\n");
    }
    out
}

fn item(parameter: &Parameter, out: &mut String) {
    let default = match parameter.default {
        None => " Must be given.".to_owned(),
        Some("") => String::new(),
        Some(default) => format!(" Default: {default}."),
    };
    let text = format!("{} Type: {}.{default}", parameter.doc, kind_words(parameter.kind));
    let _ = writeln!(out, ".It Ic {}\n{}", parameter.key, roff(&text));
}

/// Text as roff source: each sentence on lines of its own of at most 78 characters, none that begins a request.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").split_inclusive(". ").flat_map(|sentence| wrap(sentence.trim())).collect::<Vec<_>>().join("\n")
}

fn wrap(sentence: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= 78 => {
                line.push(' ');
                line.push_str(word);
            }
            // A dot or a quote at the start of a line would be a request.
            _ if word.starts_with(['.', '\'']) => lines.push(format!("\\&{word}")),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_in_the_reference() {
        let text = mdoc();
        for parameter in parameters() {
            assert!(text.contains(&format!(".It Ic {}\n", parameter.key)), "{}", parameter.key);
        }
        assert!(text.lines().all(|l| !l.trim().is_empty()));
    }
}
