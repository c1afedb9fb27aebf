//! What one client may do, and what EHLO tells it.

/// The rights of one client. The default is a stranger's: mail to our own domains, nothing else.
///
/// The driver sets them before the greeting, and again when it learns more: inside TLS, after a login, by a policy. What
/// EHLO announces and what the commands take come from here, so they cannot differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// To send to any domain.
    pub relay: bool,
    pub etrn: bool,
    pub vrfy: bool,
    pub expn: bool,
    pub xclient: bool,
    pub xforward: bool,
    /// SASL mechanisms offered, in capitals; empty: AUTH is not.
    pub mechanisms: Vec<String>,
    /// AUTH is offered inside TLS only, and this is outside: 538 for who tries.
    pub auth_after_tls: bool,
    /// No MAIL without a login: 530 5.7.0.
    pub login_required: bool,
    /// Nothing but EHLO, NOOP, STARTTLS and QUIT outside TLS (RFC 3207 section 4): 530 5.7.0.
    pub tls_required: bool,
    /// Largest message in bytes, where that is less than [`super::Config`] says.
    pub max_message_size: Option<u64>,
    /// Recipients may fare differently at the end of data: PRDR is offered, so that each can have its own reply.
    pub prdr: bool,
    /// The driver answers [`super::Step::Hello`] at each EHLO, HELO, LHLO.
    pub ask_hello: bool,
    /// The driver answers [`super::Step::Data`] before any content is taken.
    pub ask_data: bool,
}

/// A permission of the driver's own, against the relay policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// This recipient may be sent to though its domain is none of ours and the client may not relay.
    Relay,
}

/// What the relay policy says of a recipient that the driver is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Permitted,
    /// The address is ours, and must exist.
    Verify,
    /// Refused, unless the driver gives a [`Grant`].
    Denied,
}
