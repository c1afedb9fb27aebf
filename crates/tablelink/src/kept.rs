//! Sessions that are kept between questions.

use crate::{Fault, Kind};
use std::fmt;
use std::time::{Duration, Instant};

/// A session, while there is one.
#[derive(Debug)]
pub struct Kept<S>(Option<S>);

impl<S> Kept<S> {
    pub const fn new(session: S) -> Self {
        Self(Some(session))
    }

    /// Asks in the session. One that the server has ended since the last question is made anew, once; what is asked must
    /// bear being asked twice.
    pub fn ask<A>(
        &mut self,
        timeout: Duration,
        open: impl Fn(Instant) -> Result<S, Fault>,
        question: impl Fn(&mut S, Instant) -> Result<A, Fault>,
    ) -> Result<A, Fault> {
        let deadline = Instant::now() + timeout;
        if let Some(mut session) = self.0.take() {
            match question(&mut session, deadline) {
                Err(fault) if fault.kind == Kind::Gone => {}
                Err(fault) if fault.kind == Kind::Broken => return Err(fault),
                other => {
                    self.0 = Some(session);
                    return other;
                }
            }
        }
        let mut session = open(deadline)?;
        let answer = question(&mut session, deadline);
        self.0 = Some(session).filter(|_| !matches!(&answer, Err(fault) if fault.kind != Kind::Refused));
        answer
    }
}

/// The first that works. Each has an equal share of the time that those before it have left; the fault names them all.
pub fn in_order<P: fmt::Display, S>(
    places: &[P],
    deadline: Instant,
    mut open: impl FnMut(&P, Instant) -> Result<S, Fault>,
) -> Result<S, Fault> {
    let mut reasons: Vec<String> = Vec::new();
    for (tried, place) in places.iter().enumerate() {
        let now = Instant::now();
        let others = u32::try_from(places.len() - tried).unwrap_or(u32::MAX);
        match open(place, now + deadline.saturating_duration_since(now) / others) {
            Ok(opened) => return Ok(opened),
            Err(fault) => reasons.push(fault.at(&place.to_string()).reason),
        }
    }
    Err(Fault::broken(if reasons.is_empty() { "there is no server to ask".to_owned() } else { reasons.join("; ") }))
}
