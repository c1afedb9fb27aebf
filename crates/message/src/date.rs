//! Dates of header fields (RFC 5322 section 3.3), always in UTC.

use std::cell::RefCell;

/// `Sat, 21 Nov 2026 03:16:09 +0000`
pub fn date(unix_seconds: u64) -> String {
    let mut out = Vec::with_capacity(32);
    write_date(unix_seconds, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends a date. Messages of one second share the text: it is made once for each thread.
pub fn write_date(unix_seconds: u64, out: &mut Vec<u8>) {
    thread_local! { static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) }; }
    LAST.with_borrow_mut(|(second, text)| {
        if *second != unix_seconds || text.is_empty() {
            // Beyond the year 9999 (a clock gone mad): the last moment that can be written.
            let moment = i64::try_from(unix_seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
            *text = moment.unwrap_or(jiff::Timestamp::MAX).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
            *second = unix_seconds;
        }
        out.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_795_230_969, "Sat, 21 Nov 2026 03:16:09 +0000"),
        ] {
            assert_eq!(date(seconds), text);
            assert_eq!(date(seconds), text);
        }
        assert!(date(u64::MAX).contains(" 9999 "));
    }
}
