//! What content on the wire means: a second, slow reading of whole messages.

use super::case::{MOST_BYTES, MOST_HEADER, MOST_HOPS, MOST_LINE};

/// How it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Dots,
    Lines,
    Octets,
}

/// What must come of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Exactly this.
    Taken(Vec<u8>),
    Refused,
    /// Near a limit: either. If it is taken, it is this.
    Either(Vec<u8>),
    /// Octets behind a header that is none: where it ends is not worth modelling.
    Unknown,
}

/// Where the content that begins `stream` ends: the bytes before the end mark, and those with it.
pub fn end_of_data(stream: &[u8]) -> Option<(usize, usize)> {
    if stream.starts_with(b".\r\n") {
        return Some((0, 3));
    }
    let at = stream.windows(5).position(|window| window == b"\r\n.\r\n")?;
    Some((at + 2, at + 5))
}

/// Reads whole content (`last`), or the first chunks of it.
pub fn read(wire: &[u8], framing: Framing, blanks: bool, most: u64, last: bool) -> Due {
    // A CR at the end of a chunk may yet become a line end.
    let wire = if last { wire } else { wire.strip_suffix(b"\r").unwrap_or(wire) };
    let line_end: &[u8] = if framing == Framing::Octets { b"\r\n" } else { b"\n" };
    let (mut text, mut in_header, mut fields, mut hops) = (Vec::new(), true, false, 0);
    let (mut bad, mut longest, mut header) = (false, 0, 0);
    let mut rest = wire;
    while !rest.is_empty() {
        if framing == Framing::Octets && !in_header {
            text.extend_from_slice(rest);
            break;
        }
        let (mut line, after, ended) = match rest.windows(2).position(|window| window == b"\r\n") {
            Some(at) => (&rest[..at], &rest[at + 2..], true),
            None => (rest, &rest[rest.len()..], false),
        };
        if framing == Framing::Dots {
            line = line.strip_prefix(b".").unwrap_or(line);
        }
        longest = longest.max(line.len());
        if framing == Framing::Octets && line.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            return Due::Unknown;
        }
        bad |= line.contains(&0) || (!blanks && line.iter().any(|b| matches!(b, b'\r' | b'\n')));
        let line: Vec<u8> = line.iter().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { *b }).collect();
        if in_header {
            match name_of(&line, fields) {
                _ if line.is_empty() => in_header = false,
                Name::Field(name) => {
                    fields = true;
                    hops += u32::from(name.eq_ignore_ascii_case(b"received"));
                }
                Name::Continued => {}
                // An unfinished last line may become a field yet.
                Name::None if !last && !ended => {}
                Name::None if framing == Framing::Octets && !line.is_empty() => return Due::Unknown,
                Name::None => {
                    text.extend_from_slice(line_end);
                    in_header = false;
                }
            }
            header += line.len() + 2;
        }
        text.extend_from_slice(&line);
        if ended {
            text.extend_from_slice(line_end);
        }
        rest = after;
    }
    if bad || hops > MOST_HOPS {
        return Due::Refused;
    }
    let bytes = wire.len() as u64;
    let near = bytes > most.min(MOST_BYTES) || longest as u64 > MOST_LINE || (header as u64).min(bytes) > MOST_HEADER;
    match near {
        false => Due::Taken(text),
        // Dots that were doubled, and blanks, make less of it; never less than half.
        true if bytes > 2 * MOST_BYTES + 2 => Due::Refused,
        true => Due::Either(text),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Name<'l> {
    Field(&'l [u8]),
    Continued,
    None,
}

fn is_name(byte: u8) -> bool {
    (b'!'..=b'~').contains(&byte) && byte != b':'
}

/// RFC 5322 section 2.2.
fn name_of(line: &[u8], fields: bool) -> Name<'_> {
    if fields && matches!(line.first(), Some(b' ' | b'\t')) {
        return Name::Continued;
    }
    let length = line.iter().take_while(|b| is_name(**b)).count();
    if (1..=998).contains(&length) && line.get(length) == Some(&b':') { Name::Field(&line[..length]) } else { Name::None }
}
