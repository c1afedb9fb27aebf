//! Header scanning and writing, dates (RFC 5322, RFC 5321 section 4.4).
//!
//! Content is bytes with LF or CRLF line ends; nothing is copied while scanning, and the time is linear in the bytes
//! looked at, whatever they are.
//!
//! **Invariant:** no I/O, no clock; what a builder here writes has no line end that it did not mean.

mod addresses;
mod builder;
mod convert;
mod date;
mod evaluation;
mod fields;
mod mend;
mod phrase;
mod respell;
mod scan;

pub use addresses::{addresses, holds_addresses};
pub use builder::{Client, Received, delivered_to, from_line, received_line, return_path};
pub use convert::{Converter, Plan, Surveyor, Unconvertible};
pub use date::{date, write_date};
pub use evaluation::{ReceivedSpf, received_spf};
pub use fields::{Field, Fields, fields, unfold};
pub use mend::{Mended, Mending, mend};
pub use phrase::phrase;
pub use respell::{Change, Respelled, respell};
pub use scan::{HeaderEnd, HeaderScanner, Progress, Summary, scan};
