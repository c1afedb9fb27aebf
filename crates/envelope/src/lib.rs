//! The two text formats of the spool, as bytes to values and back: the envelope at the top of a message file
//! and the transport control file; and the message id that names both.
//!
//! **Invariant:** no I/O, no paths; every parser takes any bytes without panic and says the line it stopped at.

mod checksum;
mod control;
mod control_read;
mod control_write;
mod dsn;
mod edits;
mod id;
mod lines;
mod message;
mod terms;
mod verp;

pub use control::{
    Control, ControlError, ControlRecipient, Diagnostic, EditSet, Form, Happened, Parsed, Quad, RecipientState, SENT_ON, Sender, UNFORMED,
};
pub use control_read::{parse_control, parse_edits};
pub use control_write::{MAX_DIAGNOSTIC, diagnostic_line, write_control};
pub use dsn::{BodyType, Notify, RecipientDsn, Ret, is_envid, is_orcpt, is_xtext};
pub use edits::{Edit, Edits};
pub use id::{IdError, IdSource, MessageId};
pub use lines::unescape;
pub use message::{Envelope, EnvelopeError, EnvelopeRecipient, INCOMPLETE, LENGTH_FIELD, MAX_LINE, parse_envelope, write_envelope};
pub use terms::{DeliverBy, Terms, TlsTerms, read_priority};
pub use verp::verp;
