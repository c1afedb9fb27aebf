//! What the SMTP server asks of others.

use super::{Kind, Parameter, TIMEOUT, optional, required};

pub const TABLE: &[Parameter] = &[
    required("policy_service", "name", Kind::Text, "Its name, for [[access]]."),
    required("policy_service", "server", Kind::Text, "unix:/path or address:port."),
    optional("policy_service", "timeout", TIMEOUT, "10s", "For one question."),
    optional("call_ahead", "domains", Kind::Domains, "", "Recipients' domains whose next hop is asked before the recipient is accepted."),
];
