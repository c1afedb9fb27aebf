//! What a report says.

use crate::{Returned, Templates};
use status::Enhanced;

/// One report to one address.
#[derive(Debug, Clone)]
pub struct Notification<'a> {
    /// This host: Reporting-MTA and the right side of MAILER-DAEMON.
    pub hostname: &'a str,
    /// The id of the report's own message: its Message-ID and the seed of the boundary.
    pub id: &'a str,
    /// The id of the original message, for people who ask the postmaster.
    pub original_id: &'a str,
    /// Who gets the report.
    pub to: &'a str,
    /// The sender, where this is a copy of his report for the postmaster: marked as a double bounce is.
    pub copy_of: Option<&'a str>,
    /// Unix seconds.
    pub date: u64,
    /// When the original arrived, Unix seconds; 0: not known.
    pub arrived: u64,
    /// ENVID of the original as the client sent it (xtext).
    pub envid: Option<&'a str>,
    /// Message-ID of the original, brackets included.
    pub message_id: Option<&'a str>,
    /// The original came with SMTPUTF8: the report may use UTF-8 in headers.
    pub smtputf8: bool,
    /// How much of the original to return.
    pub returned: Returned,
    /// The original was a report itself, and this goes to the postmaster. Marks the report with
    /// [`Notification::DOUBLE_BOUNCE`], so that its own failure ends the chain.
    pub double_bounce: bool,
    pub recipients: &'a [Recipient],
    pub templates: &'a Templates,
}
impl Notification<'_> {
    /// The header field that marks the report about a report.
    pub const DOUBLE_BOUNCE: &'static str = "X-Zpost-Double-Bounce";
}

/// What happened for one recipient.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The address that delivery was tried to.
    pub address: String,
    /// The address as the sender knows it, when it is another one.
    pub original: Option<String>,
    /// ORCPT of the original as the client sent it (`rfc822;` and xtext).
    pub orcpt: Option<String>,
    pub action: Action,
    pub status: Enhanced,
    /// The server that answered (`host [ip]:port`), `-` when none did.
    pub remote: String,
    /// Its answer, or our reason.
    pub text: String,
    /// Unix seconds; 0: not known.
    pub last_attempt: u64,
    /// Until when it is tried (Will-Retry-Until), Unix seconds; 0: it is not tried any more.
    pub retry_until: u64,
}

/// The Action field (RFC 3464 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
}
impl Action {
    pub const ALL: [Self; 5] = [Self::Failed, Self::Delayed, Self::Delivered, Self::Relayed, Self::Expanded];

    /// As the field has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}
