//! Durations and sizes as administrators write them.

use std::time::Duration;

/// `5m`, `10 s`, `1h30m`, `2 days`; a number alone is seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let word_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (word, next) = after.split_at_checked(word_end)?;
        if word.is_empty() && !(next.is_empty() && rest.len() == text.trim().len()) {
            return None;
        }
        millis = millis.checked_add(number.checked_mul(unit_millis(word)?)?)?;
        rest = next.trim_start();
    }
    Some(Duration::from_millis(millis))
}

/// The number at the start, and what follows it and its blanks.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, after) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, after.trim_start()))
}

fn unit_millis(word: &str) -> Option<u64> {
    Some(match word {
        "ms" => 1,
        "" | "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 604_800_000,
        _ => return None,
    })
}

/// `50MiB`, `64 k`, `1GB`; a number alone is bytes. KB, MB, GB count by 1000; K, KiB and so on by 1024.
pub fn size(text: &str) -> Option<u64> {
    let (number, word) = leading_number(text.trim())?;
    let factor: u64 = match word.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Milliseconds in the largest unit that divides them.
pub fn print_duration(millis: u64) -> String {
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= length && millis.is_multiple_of(length) {
            return format!("{}{unit}", millis / length);
        }
    }
    if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") }
}

/// Bytes in the largest binary unit that divides them.
pub fn print_size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("5m", 300_000),
            ("10 s", 10_000),
            ("1h30m", 5_400_000),
            ("1 h 30 m", 5_400_000),
            ("7", 7000),
            ("100ms", 100),
            ("2 days", 172_800_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "x", "5x", "m", "-1s", "1.5h", "5 5", "5m5", "99999999999999999999s", "18446744073709551615w"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("50MiB", 52_428_800), ("64k", 65_536), ("1 GB", 1_000_000_000), ("12", 12), ("3 b", 3)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "5x", "-1", "99999999999TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn printing_reads_back() {
        for millis in [0, 1, 1000, 90_000, 3_600_000, 86_400_000 * 5] {
            assert_eq!(duration(&print_duration(millis)), Some(Duration::from_millis(millis)));
        }
        for bytes in [0, 7, 1024, 52_428_800] {
            assert_eq!(size(&print_size(bytes)), Some(bytes));
        }
    }
}
