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
mod error;
mod list_folder;
mod list_manner;
mod lists;
pub mod privilege;
mod relations;
mod user_table;
mod watched;

pub use accounts::{Account, Accounts};
pub use alias_syntax::{AliasLine, SyntaxFault, Value, parse_aliases, parse_list, parse_values};
pub use aliases::{AliasEntry, AliasFiles, key};
pub use error::TableError;
pub use list_folder::{ListEntry, ListFolder};
pub use list_manner::ListManner;
pub use lists::{List, Lists};
pub use privilege::Keeper;
pub use relations::{Found, Relations};
pub use user_table::{TableUser, UserTable};
pub use watched::Watched;
