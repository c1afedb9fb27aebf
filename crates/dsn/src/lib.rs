//! Delivery status notifications composed: RFC 3464 in RFC 6522's multipart/report, RFC 6533 for UTF-8 addresses.
//!
//! State in, bytes out: the caller passes time, names and a way to read the original message; nothing here does I/O of its
//! own. Lines end in LF, the spool's form.
//!
//! **Invariant:** no text from outside (addresses, replies of remote hosts, ids, the original message) can begin a header
//! line, a status field or a part of the report: texts are cleaned of all control characters, and the boundary
//! occurs nowhere in what is between the boundaries.

mod clean;
mod compose;
mod fields;
mod notification;
mod original;
mod template;
#[cfg(test)]
mod tests;

pub use compose::{Prepared, prepare};
pub use notification::{Action, Notification, Recipient};
pub use original::{Original, Returned};
pub use template::{MAX_TEMPLATE, TemplateError, Templates};
