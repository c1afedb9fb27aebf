//! Moments and ages as people and programs read them.

use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC.
pub fn rfc3339_millis(millis: u64) -> String {
    i64::try_from(millis).ok().and_then(|m| jiff::Timestamp::from_millisecond(m).ok()).map_or_else(|| "-".to_owned(), |t| t.to_string())
}

pub fn rfc3339_seconds(seconds: u64) -> String {
    rfc3339_millis(seconds.saturating_mul(1000))
}

/// Seconds since 1970.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// `42s`, `17m`, `5h20m`, `3d4h`.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m"),
        3600..86_400 => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// `in 5m`, `now` when it is past.
pub fn until(seconds: u64, now: u64) -> String {
    match seconds.checked_sub(now) {
        None | Some(0) => "now".to_owned(),
        Some(left) => format!("in {}", span(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(rfc3339_millis(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339_millis(u64::MAX), "-");
        assert_eq!([span(5), span(65), span(3700), span(100_000)], ["5s", "1m", "1h1m", "1d3h"]);
        assert_eq!((until(10, 20), until(80, 20)), ("now".to_owned(), "in 1m".to_owned()));
    }
}
