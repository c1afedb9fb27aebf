//! The password file of `[auth] password_file`: lines `user:secrets:senders`. See zpost-passwd(5).
//!
//! **Invariant:** no I/O and no randomness of its own; a line that is wrong gives nobody a login, and takes nobody else's.
//! Nothing here prints a password or a hash.

mod file;
mod logins;
mod secret;

pub use file::{Entry, Fault, Passwords, name, put, remove};
pub use logins::Logins;
pub use secret::{Secret, make};
