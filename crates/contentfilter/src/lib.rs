//! # contentfilter: a pool of content filter programs
//!
//! Runs `[filter] program` (an argument vector, no shell) several times and asks it about every message before it is
//! accepted, in ZMailer's line protocol: the path of the message file and LF go to the program's standard input; it answers
//! lines `signed-number text`: negative refuses the message, 0 accepts it, positive sets it aside in `freezer/`. A
//! program that says `#hungry` when it begins says it again after each answer, and may send several lines before: the
//! last valid one counts. One that never says `#hungry` answers with exactly one line. Other lines that begin with `#`
//! are comments. Text may begin with an SMTP code and an enhanced code: 4xx refuses for now; CR stands for a line end.
//!
//! ## Trusts
//! Nobody: paths are checked, answers are bounded, what reaches an SMTP reply holds only printable ASCII.
//!
//! ## May touch
//! The filter programs' pipes. It opens no message itself.
//!
//! ## When it dies
//! Its programs see the end of their input. Sessions wait a bounded time, then follow `[filter] failure` (4xx by
//! default). A program that dies, hangs or talks nonsense is restarted with back-off, and the question it had follows
//! the same mode.

mod pool;
mod program;
mod protocol;
mod serve;

pub use serve::run;
