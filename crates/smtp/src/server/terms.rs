//! What MAIL asks for beyond the plain envelope: urgency, moments, TLS, whose message it is.
//!
//! DELIVERBY (RFC 2852), MT-PRIORITY (RFC 6710), FUTURERELEASE (RFC 4865), REQUIRETLS (RFC 8689), AUTH= (RFC 4954
//! section 5), PRDR.

use super::Protocol;
use super::parameters::ParameterError;
use super::session::{Security, Session};
use envelope::{DeliverBy, Terms, TlsTerms};

/// What [`super::Config`] offers of it to whom.
#[derive(Debug, Clone)]
pub struct Offers {
    /// Unix seconds. Asked only where a moment is.
    pub clock: fn() -> u64,
    /// Longest HOLDFOR in seconds; 0: FUTURERELEASE is not offered. Only for clients that may relay or are logged in.
    pub max_hold: u64,
    /// Highest priority of other clients.
    pub max_priority: i8,
    /// Least seconds of BY with R.
    pub min_deliver_by: u64,
    /// Of one session; `None`: any number.
    pub max_messages: Option<u32>,
}

impl Default for Offers {
    fn default() -> Self {
        Self { clock: || 0, max_hold: 0, max_priority: 0, min_deliver_by: 0, max_messages: None }
    }
}

/// The parameters as they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub by: Option<By>,
    pub hold: Option<Hold>,
    pub priority: Option<i8>,
    pub requiretls: bool,
    /// Checked xtext, or `<>`.
    pub submitter: Option<String>,
    pub prdr: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct By {
    pub seconds: i64,
    pub or_return: bool,
    pub trace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    For(u64),
    /// Unix seconds.
    Until(u64),
}

/// Code, enhanced code and text of a refusal.
pub(super) type Refusal = (u16, &'static str, &'static str);

const fn wrong(text: &'static str) -> Refusal {
    (501, "5.5.4", text)
}

impl Session {
    /// The client's word counts beyond its own message.
    pub(super) fn is_trusted(&self) -> bool {
        self.rights.relay || self.user.is_some()
    }

    /// LMTP has replies for each recipient anyway.
    pub(super) fn offers_prdr(&self) -> bool {
        self.rights.prdr && self.protocol != Protocol::Lmtp
    }

    pub(super) fn offers_future_release(&self) -> bool {
        self.config.offers.max_hold > 0 && self.is_trusted()
    }

    /// The terms, and whether the priority is less than asked for.
    pub(super) fn terms(&self, asked: &Asked) -> Result<(Terms, bool), Refusal> {
        let (priority, lowered) = self.priority(asked.priority.unwrap_or(0));
        let tls = if asked.requiretls { TlsTerms::Required } else { TlsTerms::Usual };
        let mut terms = Terms { priority, tls, ..Terms::default() };
        if asked.requiretls && self.security != Security::Tls {
            return Err((530, "5.7.10", "REQUIRETLS needs TLS"));
        }
        if asked.prdr && !self.offers_prdr() {
            return Err((555, "5.5.4", "PRDR is not offered"));
        }
        // The clock is read once at most.
        if asked.by.is_some() || asked.hold.is_some() {
            let now = (self.config.offers.clock)();
            terms.deliver_by = asked.by.map(|by| self.deliver_by(by, now)).transpose()?;
            terms.hold_until = asked.hold.map(|hold| self.hold_until(hold, now)).transpose()?.filter(|moment| *moment > now);
            if let (Some(by), Some(hold)) = (terms.deliver_by, terms.hold_until)
                && by.or_return
                && by.until <= hold
            {
                return Err(wrong("to be returned before it is released"));
            }
        }
        Ok((terms, lowered))
    }

    fn priority(&self, asked: i8) -> (i8, bool) {
        let most = if self.is_trusted() { 9 } else { self.config.offers.max_priority };
        (asked.min(most), asked > most)
    }

    fn deliver_by(&self, by: By, now: u64) -> Result<DeliverBy, Refusal> {
        if by.or_return && by.seconds <= 0 {
            return Err(wrong("BY with R wants a time to come"));
        }
        if by.or_return && by.seconds.unsigned_abs() < self.config.offers.min_deliver_by {
            return Err((555, "5.5.4", "less time than DELIVERBY allows"));
        }
        Ok(DeliverBy { until: now.saturating_add_signed(by.seconds), or_return: by.or_return, trace: by.trace })
    }

    fn hold_until(&self, hold: Hold, now: u64) -> Result<u64, Refusal> {
        if !self.offers_future_release() {
            return Err((555, "5.5.4", "FUTURERELEASE is not offered"));
        }
        let until = match hold {
            Hold::For(seconds) => now.saturating_add(seconds),
            Hold::Until(moment) => moment,
        };
        if until.saturating_sub(now) > self.config.offers.max_hold { Err(wrong("too far in the future")) } else { Ok(until) }
    }

    /// What follows FUTURERELEASE in EHLO's reply: the longest interval and the last moment.
    pub(super) fn future_release(&self) -> Option<(u64, jiff::Timestamp)> {
        let most = self.config.offers.max_hold;
        if !self.offers_future_release() {
            return None;
        }
        let last = (self.config.offers.clock)().saturating_add(most);
        let last = i64::try_from(last).ok().and_then(|last| jiff::Timestamp::from_second(last).ok())?;
        Some((most, last))
    }
}

/// `BY=120;R`, `BY=-60;NT` (RFC 2852 section 4).
pub(super) fn by(value: &str) -> Result<By, ParameterError> {
    const BROKEN: ParameterError = ParameterError::Malformed("malformed BY");
    let (seconds, mode) = value.split_once(';').ok_or(BROKEN)?;
    let digits = seconds.strip_prefix(['-', '+']).unwrap_or(seconds);
    let size: i64 = digits_of(digits, 9).and_then(|n| i64::try_from(n).ok()).ok_or(BROKEN)?;
    let (or_return, trace) = match mode.to_ascii_uppercase().as_str() {
        "R" => (true, false),
        "RT" => (true, true),
        "N" => (false, false),
        "NT" => (false, true),
        _ => return Err(BROKEN),
    };
    Ok(By { seconds: if seconds.starts_with('-') { -size } else { size }, or_return, trace })
}

pub(super) fn hold_for(value: &str) -> Result<Hold, ParameterError> {
    digits_of(value, 9).filter(|n| *n > 0).map(Hold::For).ok_or(ParameterError::Malformed("malformed HOLDFOR"))
}

/// RFC 3339 section 5.6.
pub(super) fn hold_until(value: &str) -> Result<Hold, ParameterError> {
    const BROKEN: ParameterError = ParameterError::Malformed("malformed HOLDUNTIL");
    let plain = value.bytes().all(|b| b.is_ascii_digit() || b"-:.+TZtz".contains(&b));
    if !plain || value.len() > 40 || !value.contains(['T', 't']) {
        return Err(BROKEN);
    }
    let moment: jiff::Timestamp = value.parse().map_err(|_| BROKEN)?;
    u64::try_from(moment.as_second()).map(Hold::Until).map_err(|_| BROKEN)
}

pub(super) fn priority(value: &str) -> Result<i8, ParameterError> {
    let plain = !value.starts_with('+') && value.len() <= 2;
    envelope::read_priority(value).filter(|_| plain).ok_or(ParameterError::Malformed("malformed MT-PRIORITY"))
}

/// `<>` or xtext.
pub(super) fn submitter(value: &str) -> Result<String, ParameterError> {
    if value == "<>" || (!value.is_empty() && value.len() <= 500 && envelope::is_xtext(value)) {
        return Ok(value.to_owned());
    }
    Err(ParameterError::Malformed("malformed AUTH"))
}

/// At most `most` digits.
fn digits_of(text: &str, most: usize) -> Option<u64> {
    let good = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}
