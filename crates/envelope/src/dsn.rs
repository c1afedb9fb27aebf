//! DSN parameters as carried through the suite (RFC 3461), and the body type (RFC 6152, RFC 3030).

use serde::{Deserialize, Serialize};

/// NOTIFY: when the sender wants a report. `None` of it in [`RecipientDsn`] means "not said" (failure and delay).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notify {
    pub never: bool,
    pub success: bool,
    pub failure: bool,
    pub delay: bool,
}

/// DSN data of one recipient. `orcpt` is kept as the xtext the client sent (`rfc822;user@example.org`), checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecipientDsn {
    pub notify: Option<Notify>,
    pub orcpt: Option<String>,
}

/// RET: what a failure report returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ret {
    Full,
    Headers,
}

/// BODY of MAIL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyType {
    #[default]
    SevenBit,
    EightBit,
}
