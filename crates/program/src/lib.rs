//! Running a program of others for a message: an argument vector, an environment, standard input, what it says, how it
//! ends. For whoever delivers to programs (pipes, `.forward`) or asks them (held mail).
//!
//! The program gets a session, a process group and a limit of time of its own, nothing of our descriptors and nothing of
//! our environment. Output and standard error are one stream, kept up to a limit; what is beyond is read and dropped, so
//! that the program does not stop in the middle. At the deadline the whole group gets SIGTERM, and SIGKILL a little later;
//! at its end whatever it left running in its group is killed.
//!
//! **Invariant:** no shell, no text that is split into words, and no byte of what a program says leaves here unescaped.

mod ending;
mod environment;
mod input;
mod ownership;
mod running;

pub use ending::{Ended, Ending, Judgement};
pub use environment::{Account, environment};
pub use input::{Bytes, Content, Input};
pub use ownership::{Unsafe, check_program};
pub use running::{Order, Running, run};
