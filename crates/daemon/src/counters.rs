//! The counters of every service: one table of names, one shared memory row for each process.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use sys::SharedCounters;

/// Counters in a row.
pub const COLUMNS: usize = 64;
/// Rows in the table: processes that can be counted apart. The last one is [`OVERLOAD`]'s.
pub const ROWS: usize = 256;
/// The row that says how loaded the host is: the level, and when it was said (Unix milliseconds).
const OVERLOAD: usize = ROWS - 1;
/// A level that nobody has renewed for so long is no level.
const STALE_MS: u64 = 10_000;

/// Names of each service's counters; the position is the column. Append only: a row outlives an upgrade.
/// A name that ends in `_now` is a gauge.
pub const NAMES: &[(&str, &[&str])] = &[
    ("master", &["connections", "refused_total", "refused_address", "refused_network", "restarts", "sessions_now", "accept_errors"]),
    (
        "smtpserver",
        &[
            "sessions",
            "messages",
            "recipients",
            "bytes",
            "rejected_mail",
            "rejected_rcpt",
            "rejected_data",
            "deferred",
            "aborts",
            "timeouts",
            "protocol_errors",
            "sessions_now",
            "syncs",
            "helper_failures",
            "filtered",
            "frozen",
            "tls_sessions",
            "tls_failures",
            "etrn",
            "rejected_connection",
            "rejected_helo",
            "authenticated",
            "failed_authentications",
            "waited",
            "early_talkers",
            "not_smtp",
            "tarpitted",
            "too_slow",
            "session_limit",
            "overloaded",
            "shed",
            "tls_resumed",
            "key_failures",
        ],
    ),
    (
        "routermux",
        &[
            "datagrams",
            "datagrams_malformed",
            "files",
            "questions",
            "scans",
            "found_by_scan",
            "set_aside",
            "routers_replaced",
            "waiting_now",
            "announced",
        ],
    ),
    ("router", &["files", "addresses", "questions", "deferred_files", "errors", "expanded"]),
    (
        "scheduler",
        &[
            "datagrams",
            "datagrams_malformed",
            "messages",
            "recipients",
            "delivered",
            "deferred",
            "failed",
            "bounces",
            "expired",
            "jobs",
            "scans",
            "found_by_scan",
            "returned_to_router",
            "messages_now",
            "recipients_now",
            "active_now",
            "agents_now",
            "destinations_now",
            "removed",
            "announced",
            "successes",
            "warned",
        ],
    ),
    ("resolver", &["questions", "cache_hits", "asked", "failures", "timeouts", "over_limit", "cached_now"]),
    ("ratetracker", &["events", "questions", "refused", "entries_now", "evicted"]),
    ("keyholder", &["signatures", "refused", "keys_now"]),
    ("authserver", &["exchanges", "accepted", "refused", "failures", "lockouts"]),
    ("delegate", &["questions", "answered", "failures", "connections_now"]),
    ("callahead", &["questions", "cache_hits", "asked", "taken", "refused", "unknown", "cached_now"]),
    ("contentfilter", &["questions", "accepted", "rejected", "frozen", "failures", "restarts"]),
    (
        "tlspolicy",
        &["questions", "answered", "fetches", "fetch_failures", "policies_now", "results", "dropped", "reports", "report_failures"],
    ),
    (
        "ta-smtp",
        &[
            "jobs",
            "delivered",
            "deferred",
            "failed",
            "connections",
            "connect_failures",
            "reused",
            "bytes",
            "sessions_now",
            "tls_sessions",
            "tls_resumed",
            "tls_failures",
            "tls_fallbacks",
            "key_failures",
        ],
    ),
    ("ta-mailbox", &["jobs", "delivered", "deferred", "failed", "bytes", "forwarded", "forward_refused"]),
    ("ta-errormail", &["jobs", "bounces", "suppressed", "deferred", "delays", "successes", "copies"]),
    ("ta-hold", &["jobs", "resubmitted", "waiting"]),
    ("ta-pipe", &["jobs", "runs", "delivered", "deferred", "failed", "timeouts", "floods", "refused", "running_now"]),
    ("ta-line", &["jobs", "delivered", "deferred", "failed", "rubbish", "timeouts", "restarts"]),
];

/// The names of a service's counters.
pub fn names(service: &str) -> &'static [&'static str] {
    NAMES.iter().find(|(name, _)| *name == service).map_or(&[], |(_, names)| names)
}

/// This process's row. A name that is not in the table of its service counts nowhere (and fails the unit tests that
/// use it: see `Counters::column`).
#[derive(Debug, Clone)]
pub struct Counters {
    table: std::sync::Arc<SharedCounters>,
    row: usize,
    service: &'static [&'static str],
}

impl Counters {
    pub fn create_table() -> io::Result<OwnedFd> {
        SharedCounters::create(ROWS, COLUMNS)
    }

    pub fn map(table: &OwnedFd, row: u32, service: &str) -> io::Result<Self> {
        let table = std::sync::Arc::new(SharedCounters::map(table, ROWS, COLUMNS)?);
        Ok(Self { table, row: row as usize, service: names(service) })
    }

    /// A private row, for tests and for programs started without a master.
    pub fn detached(service: &str) -> io::Result<Self> {
        Self::map(&Self::create_table()?, 0, service)
    }

    fn cell(&self, name: &str) -> Option<&AtomicU64> {
        let column = self.service.iter().position(|n| *n == name);
        debug_assert!(column.is_some(), "no counter {name}");
        self.table.row(self.row)?.get(column?)
    }

    pub fn add(&self, name: &str, amount: u64) {
        if let Some(cell) = self.cell(name) {
            cell.fetch_add(amount, Relaxed);
        }
    }

    pub fn set(&self, name: &str, value: u64) {
        if let Some(cell) = self.cell(name) {
            cell.store(value, Relaxed);
        }
    }

    /// How loaded the host is, 0 to 3, as the ratetracker last said.
    pub fn overload(&self) -> u8 {
        let Some([level, said, ..]) = self.table.row(OVERLOAD) else { return 0 };
        if crate::clock::unix_millis().abs_diff(said.load(Relaxed)) > STALE_MS {
            return 0;
        }
        u8::try_from(level.load(Relaxed)).unwrap_or(0).min(3)
    }

    /// Says how loaded the host is; to be said again within 10 seconds.
    pub fn say_overload(&self, level: u8) {
        if let Some([cell, said, ..]) = self.table.row(OVERLOAD) {
            cell.store(u64::from(level.min(3)), Relaxed);
            said.store(crate::clock::unix_millis(), Relaxed);
        }
    }

    /// Another row of the same table, read by the master for `zpost counters`.
    pub fn read_row(&self, row: u32, service: &str) -> Vec<(&'static str, u64)> {
        let Some(cells) = self.table.row(row as usize) else { return Vec::new() };
        names(service).iter().zip(cells).map(|(name, cell)| (*name, cell.load(Relaxed))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_service_fits_its_row() {
        for (service, names) in NAMES {
            assert!(names.len() <= COLUMNS, "{service}");
        }
    }

    #[test]
    fn overload_is_one_word_for_all() {
        let table = Counters::create_table().unwrap();
        let a = Counters::map(&table, 1, "ratetracker").unwrap();
        let b = Counters::map(&table, 2, "smtpserver").unwrap();
        assert_eq!(b.overload(), 0);
        a.say_overload(2);
        assert_eq!(b.overload(), 2);
        a.say_overload(9);
        assert_eq!(b.overload(), 3);
    }

    #[test]
    fn rows_are_apart() {
        let table = Counters::create_table().unwrap();
        let a = Counters::map(&table, 1, "router").unwrap();
        let b = Counters::map(&table, 2, "router").unwrap();
        a.add("files", 3);
        b.add("files", 4);
        assert_eq!(a.read_row(2, "router").first(), Some(&("files", 4)));
    }
}
