//! `[headers]`: what changes in headers and senders of mail on its way out.

use crate::Fault;
use crate::lookups::refers;
use crate::sheet::{Group, Sheet};

/// `[headers]`. Tables are names of `[[table]]`, asked in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    pub canonical: Vec<String>,
    pub masquerade: Vec<String>,
    /// Users.
    pub masquerade_except: Vec<String>,
    pub masquerade_sender: bool,
    /// Channels that `canonical` and `masquerade` are for.
    pub channels: Vec<String>,
    /// For channel smtp.
    pub generic: Vec<String>,
    /// Who may give which senders.
    pub senders: Vec<String>,
}

pub fn headers(g: &Group) -> Headers {
    Headers {
        canonical: g.texts("canonical"),
        masquerade: g.texts("masquerade"),
        masquerade_except: g.texts("masquerade_except"),
        masquerade_sender: g.is("masquerade_sender"),
        channels: g.texts("channels"),
        generic: g.texts("generic"),
        senders: g.texts("senders"),
    }
}

pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    for key in ["canonical", "generic", "senders"] {
        refers(sheet, "headers", key, false, faults);
    }
}
