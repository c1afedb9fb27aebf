//! Lookup tables: alias files in Sendmail's syntax, `:include:` lists, system accounts, user tables.
//!
//! A table answers "found", "not there" (`Ok(None)`) or a [`TableError`]: a table that cannot be read now is a
//! temporary failure and must never become a bounce. Files are looked at again at most once a second and reloaded when
//! their size, inode or modification time changed.
//!
//! **Invariant:** tables only say what they hold; no rule of routing is here. Every file is bounded in size before a
//! byte of it is read, and nothing but a regular file is opened.

mod accounts;
mod alias_syntax;
mod aliases;
pub mod compile;
mod conversation;
mod dns;
mod error;
mod forms;
mod groups;
mod kinds;
mod lines;
mod list_folder;
mod list_manner;
mod lists;
mod memory;
mod nameless;
mod networks;
mod pairs;
pub mod privilege;
mod regexps;
mod relations;
mod remote;
mod sinks;
mod sorted;
mod sorting;
mod substitution;
mod user_table;
mod watched;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod compile_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod relations_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod remote_tests;

pub use accounts::{Account, Accounts};
pub use alias_syntax::{AliasLine, Value, parse_aliases, parse_list, parse_values, read_aliases};
pub use aliases::{AliasEntry, AliasFiles, key};
pub use error::{TableError, table_in};
pub use forms::folded;
pub use lines::{Lines, SyntaxFault};
pub use list_folder::{ListEntry, ListFolder};
pub use list_manner::ListManner;
pub use lists::{List, Lists, stands_in};
pub use networks::Networks;
pub use pairs::{Pairs, parse_pair, read_pairs};
pub use privilege::Keeper;
pub use regexps::{Match, Patterns};
pub use relations::{Found, Relations};
pub use sorted::{LONGEST_LINE, Sorted};
pub use user_table::{TableUser, UserTable};
pub use watched::{FileFault, Watched};
