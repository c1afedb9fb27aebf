//! Several servers, or several addresses of one.

use crate::Trouble;
use std::fmt;
use std::time::Instant;

/// The first that works. Each has an equal share of the time that those before it have left; the fault names them all.
pub fn in_order<P: fmt::Display, S>(
    places: &[P],
    deadline: Instant,
    mut open: impl FnMut(&P, Instant) -> Result<S, Trouble>,
) -> Result<S, Trouble> {
    let mut reasons: Vec<String> = Vec::new();
    for (tried, place) in places.iter().enumerate() {
        let now = Instant::now();
        let others = u32::try_from(places.len() - tried).unwrap_or(u32::MAX);
        match open(place, now + deadline.saturating_duration_since(now) / others) {
            Ok(opened) => return Ok(opened),
            Err(fault) => reasons.push(fault.at(&place.to_string()).reason),
        }
    }
    Err(Trouble::broken(if reasons.is_empty() { "there is no server to ask".to_owned() } else { reasons.join("; ") }))
}
