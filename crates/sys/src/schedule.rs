//! How the kernel's scheduler treats this process.

use std::io;

/// Asks for SCHED_BATCH: a process that is woken does not interrupt the one that runs. A message passes eight processes;
/// with the default policy each hand-over switches at once, for one message at a time, and under load more than half of
/// the time goes into switching. So whoever runs finishes its turn, and the next finds several messages waiting. An idle
/// machine sees no difference. Children inherit it. An error means only that things stay as they were.
pub fn prefer_throughput() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live structure of the right type, which the kernel only reads.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameter) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_policy_is_taken() {
        super::prefer_throughput().unwrap();
        // Field 41 of stat(5) is the policy; SCHED_BATCH is 3.
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(38), Some("3"));
    }
}
