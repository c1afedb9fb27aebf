//! The wall clock, read once where a moment is needed twice.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970; 0 when the clock stands before that.
pub fn unix_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970.
pub fn unix_millis() -> u64 {
    unix_micros() / 1000
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    unix_micros() / 1_000_000
}
