//! The line protocol of transport agents of others (zpost-agent(7)): one JSON object a line, in the manner of ZMailer's
//! hungry, job and result.
//!
//! **Invariant:** no I/O and no clock. What an agent says is sized, checked and escaped here before anybody else sees it; a
//! result counts only for a recipient that the agent was given and has not answered for.

mod dialogue;
mod words;

pub use dialogue::{Dialogue, Event, Fault};
pub use words::{MAX_LINE, job_line};
