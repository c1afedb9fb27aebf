//! The two text formats of the spool, as bytes to values and back: the envelope at the top of a message file
//! and the transport control file; and the message id that names both.
//!
//! **Invariant:** no I/O, no paths; every parser takes any bytes without panic and says the line it stopped at.

mod control;
mod dsn;
mod id;
mod lines;
mod message;

pub use control::{
    Control, ControlError, ControlRecipient, Diagnostic, Parsed, Quad, RecipientState, diagnostic_line, parse_control, write_control,
};
pub use dsn::{BodyType, Notify, RecipientDsn, Ret};
pub use id::{IdError, IdSource, MessageId};
pub use message::{Envelope, EnvelopeError, EnvelopeRecipient, LENGTH_FIELD, parse_envelope, write_envelope};
