//! The form of the state files: lines of text, each with its own checksum, so that a file cut short or damaged anywhere
//! gives back every whole line.
//!
//! ```text
//! 0c3f9a51 zpost-rates 1 ...        eight hexadecimal digits (FNV-1a of the rest), a blank, words with blanks between
//! ```

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::Write as _;

/// Appends one line.
pub fn write(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let begin = out.len();
    out.extend_from_slice(b"00000000 ");
    // Writing to memory cannot fail.
    let _ = out.write_fmt(text);
    let sum = checksum(out.get(begin + 9..).unwrap_or_default());
    if let Some(mut place) = out.get_mut(begin..begin + 8) {
        let _ = write!(place, "{sum:08x}");
    }
    out.push(b'\n');
}

/// The texts of all whole lines; how many others there are is counted in `damaged`.
pub fn read<'a>(bytes: &'a [u8], damaged: &'a Cell<u64>) -> impl Iterator<Item = &'a str> {
    bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| {
        let whole = whole(line);
        damaged.set(damaged.get() + u64::from(whole.is_none()));
        whole
    })
}

fn whole(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, text) = (text.get(..8)?, text.get(8..)?.strip_prefix(' ')?);
    (u32::from_str_radix(sum, 16) == Ok(checksum(text.as_bytes()))).then_some(text)
}

fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A text as one word: blanks, control characters and `%` as %XX; nothing as `-`, and `-` as %2d.
pub fn escape(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    if text == "-" {
        return "%2d".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || c.is_whitespace() || c == '%' {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The text of a word.
pub fn unescape(word: &str) -> Option<String> {
    if word == "-" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_read_as_they_are_written(text in ".*") {
            let word = escape(&text);
            prop_assert!(!word.is_empty() && !word.contains(char::is_whitespace));
            prop_assert_eq!(unescape(&word), Some(text));
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), word in ".*") {
            let damaged = Cell::new(0);
            let _ = read(&bytes, &damaged).count();
            let _ = unescape(&word);
        }

        #[test]
        fn a_file_cut_short_gives_its_whole_lines(texts in proptest::collection::vec("[a-z ]{0,20}", 0..20), cut in 0usize..600) {
            let mut file = Vec::new();
            let mut ends = Vec::new();
            for text in &texts {
                write(&mut file, format_args!("{text}"));
                ends.push(file.len());
            }
            file.truncate(cut);
            let damaged = Cell::new(0);
            let read: Vec<String> = read(&file, &damaged).map(str::to_owned).collect();
            let whole = ends.iter().filter(|end| **end <= cut).count();
            prop_assert_eq!(&read, &texts.iter().take(whole).cloned().collect::<Vec<_>>());
            prop_assert_eq!(damaged.get(), u64::from(!file.is_empty() && !ends.contains(&file.len())));
        }

        #[test]
        fn a_damaged_line_is_left_out(at in 0usize..60, with: u8) {
            let mut file = Vec::new();
            for n in 0..3 {
                write(&mut file, format_args!("line number {n}"));
            }
            let before = file.clone();
            if let Some(byte) = file.get_mut(at) {
                *byte = with;
            }
            let damaged = Cell::new(0);
            let lines = read(&file, &damaged).count();
            // The digits of the sum may be written in capitals.
            let same = before.eq_ignore_ascii_case(&file);
            prop_assert!(lines >= 1 && (same || lines < 3));
        }
    }
}
