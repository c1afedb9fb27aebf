//! The postoffice: the only place that knows its paths, its legal states and the order of every step.
//!
//! | state | files | meaning | at start |
//! |---|---|---|---|
//! | S1 | `public/n` | being written; nobody was told | a complete one is adopted (S2), an old incomplete one removed |
//! | S2 | `router/n` | accepted | routed |
//! | S3 | `queue/xx/n` and `transport/xx/n` | routed | scheduled |
//! | S4 | `queue/xx/n`, no valid control file | a crash between two steps of routing | back to `router/` |
//! | S5 | `transport/xx/n`, no `queue/xx/n` | a crash between two steps of removing | removed |
//!
//! Acceptance (S1 to S2) is: create `public/n`, lock, write everything, fsync, rename to `router/n`, reply 250. Routing
//! (S2 to S3): write `transport/xx/.n`, rename `router/n` to `queue/xx/n`, rename `.n` to `n`. Removing: unlink
//! `queue/xx/n`, unlink `transport/xx/n`. The files that hold each step say why it stands where it does.
//!
//! What a power cut can cost, given a filesystem that journals names and for which fsync of a new file makes the name it
//! was created under durable (ext4, XFS, btrfs):
//! - before fsync returned: the message, of which nobody was told;
//! - after fsync, before the rename is on the disk: nothing. The file is found in `public/`, complete, and adopted;
//! - after routing: the new names may be lost together or one by one; the message is in `router/` or in `queue/` and is
//!   routed again where its control file is missing or torn;
//! - after a delivery: the state byte may be lost, and the recipient is delivered again; the removal may be lost, and the
//!   message is delivered again to those whose state byte was lost too. Never a loss.
//!
//! **Invariant:** every path of the postoffice is made here, every call is relative to a folder descriptor, no
//! symbolic link is ever followed, and no rename ever overwrites a message.

mod acceptance;
mod fault;
mod folder;
mod freezes;
mod input;
mod inspect;
mod layout;
mod marking;
mod notify;
mod recovery;
mod routed;
mod sites;
#[cfg(test)]
mod tests;
mod unnamed;
mod volumes;

pub use acceptance::{Draft, Submitter};
pub use folder::is_safe_name;
pub use freezes::Part;
pub use input::{InputFault, InputFile};
pub use inspect::Place;
pub use layout::{Layout, Owners, Spool};
pub use notify::{Notice, Notifier, NotifyError, parse_notice};
pub use recovery::Recovered;
pub use routed::{LoadError, Loaded, TransportScan};
pub use unnamed::Unnamed;
pub use volumes::{POSTOFFICE, Volume, VolumeNumber, Volumes};
