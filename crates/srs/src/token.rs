//! Hashes and days.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Days count in a circle of so many: two digits of base 32.
pub(crate) const DAYS: u64 = 1024;
const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Base64 of HMAC-SHA1 over the parts in lower case, one behind the other.
pub(crate) fn digest(secret: &[u8], parts: &[&str]) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    parts.iter().for_each(|part| mac.update(part.to_ascii_lowercase().as_bytes()));
    BASE64.encode(&mac.finalize().into_bytes())
}

/// Whether the given hash is how the right one begins, whatever its case: mailers change it. In constant time.
pub(crate) fn digests_equal(given: &str, right: &str) -> bool {
    let differs = |(a, b): (u8, u8)| a.to_ascii_lowercase() ^ b.to_ascii_lowercase();
    given.len() <= right.len() && given.bytes().zip(right.bytes()).map(differs).fold(0, |all, one| all | one) == 0
}

pub(crate) const fn day_of(unix_seconds: u64) -> u64 {
    unix_seconds / 86_400 % DAYS
}

pub(crate) fn write_day(day: u64) -> String {
    let digit = |n: u64| usize::try_from(n % 32).ok().and_then(|n| DIGITS.get(n)).map_or('A', |digit| char::from(*digit));
    [digit(day / 32), digit(day)].iter().collect()
}

pub(crate) fn read_day(text: &str) -> Option<u64> {
    let digit = |byte: u8| DIGITS.iter().position(|known| *known == byte.to_ascii_uppercase()).map(|n| n as u64);
    match text.as_bytes() {
        [high, low] => Some(digit(*high)? * 32 + digit(*low)?),
        _ => None,
    }
}
