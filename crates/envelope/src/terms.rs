//! What a sender may ask for beyond the plain envelope: urgency, moments, and how the message may travel.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The terms of one message. The default asks for nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// MT-PRIORITY, -9 to 9 (RFC 6710).
    pub priority: i8,
    /// BY (RFC 2852), as a moment.
    pub deliver_by: Option<DeliverBy>,
    /// Unix seconds before which nothing is delivered (RFC 4865).
    pub hold_until: Option<u64>,
    pub tls: TlsTerms,
}

/// A moment by which the message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverBy {
    /// Unix seconds.
    pub until: u64,
    /// `R`: past the moment the message goes back; else (`N`) the sender is told and delivery goes on.
    pub or_return: bool,
    /// `T`: every relay reports.
    pub trace: bool,
}

/// How the message may cross the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsTerms {
    /// As the destination's policy says.
    #[default]
    Usual,
    /// REQUIRETLS (RFC 8689 section 2): only over verified TLS, to servers that promise the same.
    Required,
    /// `TLS-Required: No` (RFC 8689 section 5): delivered even where the policy would forbid it.
    Optional,
}

impl Terms {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads -9 to 9.
pub fn read_priority(text: &str) -> Option<i8> {
    text.parse::<i8>().ok().filter(|priority| (-9..=9).contains(priority))
}

impl DeliverBy {
    /// Reads `1795230009 R`, `1795230009 NT`: Unix seconds and the by-mode of RFC 2852.
    pub fn parse(text: &str) -> Option<Self> {
        let (until, mode) = text.split_once(' ')?;
        let until = until.bytes().all(|b| b.is_ascii_digit()).then(|| until.parse().ok()).flatten()?;
        let (mode, trace) = mode.strip_suffix(['T', 't']).map_or((mode, false), |mode| (mode, true));
        let or_return = [("R", true), ("N", false)].into_iter().find(|(name, _)| mode.eq_ignore_ascii_case(name))?.1;
        Some(Self { until, or_return, trace })
    }
}

impl fmt::Display for DeliverBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.or_return { "R" } else { "N" };
        write!(f, "{} {mode}{}", self.until, if self.trace { "T" } else { "" })
    }
}

impl TlsTerms {
    /// As the control file has it; `None` for [`TlsTerms::Usual`], which is not written.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Usual => None,
            Self::Required => Some("REQUIRED"),
            Self::Optional => Some("OPTIONAL"),
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::Required, Self::Optional].into_iter().find(|terms| terms.word() == Some(word))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn deliver_by_is_read_as_written() {
        for text in ["1795230009 R", "0 NT", "1 N", "18446744073709551615 RT"] {
            assert_eq!(DeliverBy::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "12", "12 ", "R 12", "+5 R", "12 X", "12 T", "-1 R", "18446744073709551616 R", "12 R R"] {
            assert_eq!(DeliverBy::parse(text), None, "{text}");
        }
    }

    #[test]
    fn priority_has_its_bounds() {
        assert_eq!((read_priority("-9"), read_priority("9"), read_priority("0")), (Some(-9), Some(9), Some(0)));
        assert!(["10", "-10", "", "x", "128"].iter().all(|text| read_priority(text).is_none()));
    }
}
