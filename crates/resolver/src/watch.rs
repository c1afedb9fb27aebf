//! Descriptors on tokio's poll.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches an object's descriptor while the object itself stays usable. The caller drops the watch before the object,
/// or a later descriptor of the same number would not be watched.
#[allow(deprecated, reason = "the successor of this constructor is unsafe, for the rule above; breaking it is no memory fault")]
pub fn watch(object: &impl AsRawFd, interest: Interest) -> io::Result<AsyncFd<RawFd>> {
    AsyncFd::with_interest(object.as_raw_fd(), interest)
}
