//! The administrator's script (`[routing] script`): Lua 5.4 with five hooks that are functions of their arguments alone.
//!
//! **Bounds.** A call has a budget of instructions, a limit of memory and, behind both, one of processor time; whatever runs
//! into one ends with the line where it did. What Lua 5.4 leaves open (`pcall` swallows such an end; library functions in C run
//! unseen) is not there: the environment is a list of what may be had, not of what may not, and what takes more than constant
//! time pays for its length before it begins. There are no files, no network, no clock, no random numbers, no addresses of
//! objects, and tables are walked in the order of their keys: the same question has the same answer in every router.
//!
//! **Invariant:** nothing a call does can be seen by the next: the script's text runs anew for each, in an environment of its
//! own. No bound is passed by more than one library function's work. No `unsafe`.

mod arguments;
mod budget;
mod fault;
mod library;
mod machine;
mod patterns;
mod results;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod attack_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod hook_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod library_tests;

pub use arguments::{Address, Envelope, Place};
pub use fault::{Fault, Trouble};
pub use machine::Script;
pub use results::{Crossing, Refusal, Route};

use lookup::TableError;
use std::time::Duration;

/// What the script may ask for.
pub trait World {
    /// The values of a key in a declared table; `None`: it is not there.
    fn lookup(&mut self, table: &str, key: &str) -> Result<Option<Vec<String>>, TableError>;
}

/// No tables.
impl World for () {
    fn lookup(&mut self, table: &str, _: &str) -> Result<Option<Vec<String>>, TableError> {
        Err(TableError::Permanent(format!("there is no table {table}")))
    }
}

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instructions of the virtual machine; library functions pay for the length of their work in the same coin.
    pub instructions: u64,
    /// Bytes that the script can have at one time.
    pub memory: usize,
    /// Processor time: a net below the others. Whether it is reached depends on the machine, so it only ever makes a fault.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { instructions: 1_000_000, memory: 16 << 20, time: Duration::from_secs(2) }
    }
}

/// The functions a script may define.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Where does this address go?
    Route,
    /// Another form of an address of the envelope.
    Rewrite,
    /// Whom does this local name stand for?
    Expand,
    /// What of this pair of sender and recipient?
    Crossbar,
    /// Is this recipient taken from this sender?
    Policy,
}

impl Hook {
    pub const ALL: [Self; 5] = [Self::Route, Self::Rewrite, Self::Expand, Self::Crossbar, Self::Policy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Rewrite => "rewrite",
            Self::Expand => "expand",
            Self::Crossbar => "crossbar",
            Self::Policy => "policy",
        }
    }
}
