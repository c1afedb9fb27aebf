//! The counters of every service: one table of names, one shared memory row for each process.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use sys::SharedCounters;

/// Counters in a row.
pub const COLUMNS: usize = 64;
/// Rows in the table: processes that can be counted apart. The last one is `OVERLOAD`'s.
pub const ROWS: usize = 256;
/// The row that says how loaded the host is: the level, when it was said (Unix milliseconds), and which of [`SIGNS`]
/// made it so.
const OVERLOAD: usize = ROWS - 1;
/// The last column of every row says whose row it is: [`tag`] of its service.
const TAG: usize = COLUMNS - 1;
/// A level that nobody has renewed for so long is no level.
const STALE_MS: u64 = 10_000;

/// What overload is known by.
pub const SIGNS: [&str; 5] = ["sessions", "queue", "sync", "pressure", "memory"];

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
            "sync_micros_now",
            "partly_accepted",
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
            "answered_again",
            "sorted_now",
        ],
    ),
    (
        "router",
        &[
            "files",
            "addresses",
            "questions",
            "deferred_files",
            "errors",
            "expanded",
            "pending",
            "parked_now",
            "shadow_compared",
            "shadow_differs",
        ],
    ),
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
    (
        "ratetracker",
        &[
            "events",
            "questions",
            "refused",
            "entries_now",
            "evicted",
            "greylisted",
            "grey_waiting_now",
            "grey_passed_now",
            "clients_now",
            "saves",
            "overload_now",
            "sketch_bytes_now",
        ],
    ),
    ("keyholder", &["signatures", "refused", "keys_now"]),
    ("authserver", &["exchanges", "accepted", "refused", "failures", "lockouts"]),
    ("delegate", &["questions", "answered", "failures", "connections_now"]),
    ("callahead", &["questions", "cache_hits", "asked", "taken", "refused", "unknown", "cached_now"]),
    ("table-lmdb", TABLE),
    ("table-sqlite", TABLE),
    ("table-socketmap", TABLE),
    ("table-tcp", TABLE),
    ("table-ldap", TABLE),
    ("table-postgresql", TABLE),
    ("table-mysql", TABLE),
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

/// Of every process that answers for lookup tables.
const TABLE: &[&str] = &["questions", "found", "absent", "failures", "timeouts", "connects", "connections_now", "waiting_now"];

/// The names of a service's counters.
pub fn names(service: &str) -> &'static [&'static str] {
    NAMES.iter().find(|(name, _)| *name == service).map_or(&[], |(_, names)| names)
}

/// A service in a number (FNV-1a): positions in [`NAMES`] would not outlive an upgrade.
fn tag(service: &str) -> u64 {
    service.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
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
        if let Some(cell) = table.row(row as usize).and_then(|cells| cells.get(TAG)) {
            cell.store(tag(service), Relaxed);
        }
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

    /// Of a gauge that several threads count in.
    pub fn sub(&self, name: &str, amount: u64) {
        if let Some(cell) = self.cell(name) {
            cell.fetch_sub(amount, Relaxed);
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

    /// Says how loaded the host is, and which of [`SIGNS`] it is known by; to be said again within 10 seconds.
    pub fn say_overload(&self, level: u8, sign: usize) {
        if let Some([cell, said, why, ..]) = self.table.row(OVERLOAD) {
            why.store(sign as u64, Relaxed);
            cell.store(u64::from(level.min(3)), Relaxed);
            said.store(crate::clock::unix_millis(), Relaxed);
        }
    }

    /// The sign that the level was known by when it was last said.
    pub fn overload_sign(&self) -> &'static str {
        let Some([_, _, why, ..]) = self.table.row(OVERLOAD) else { return "" };
        usize::try_from(why.load(Relaxed)).ok().and_then(|at| SIGNS.get(at)).copied().unwrap_or_default()
    }

    /// What every process of a service has in these columns, also those that have ended: (row, values).
    pub fn of_service<const N: usize>(&self, service: &str, columns: [&str; N]) -> Vec<(usize, [u64; N])> {
        let (tag, names) = (tag(service), names(service));
        let at = columns.map(|column| names.iter().position(|name| *name == column));
        debug_assert!(at.iter().all(Option::is_some), "{columns:?}");
        let mine = |row: &usize| self.table.row(*row).and_then(|cells| cells.get(TAG)).is_some_and(|cell| cell.load(Relaxed) == tag);
        let rows = (0..OVERLOAD).filter(mine);
        rows.filter_map(|row| {
            let cells = self.table.row(row)?;
            Some((row, at.map(|at| at.and_then(|at| cells.get(at)).map_or(0, |cell| cell.load(Relaxed)))))
        })
        .collect()
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
            assert!(names.len() <= TAG, "{service}");
        }
        let tags: std::collections::HashSet<u64> = NAMES.iter().map(|(service, _)| tag(service)).collect();
        assert_eq!(tags.len(), NAMES.len());
    }

    #[test]
    fn overload_is_one_word_for_all() {
        let table = Counters::create_table().unwrap();
        let a = Counters::map(&table, 1, "ratetracker").unwrap();
        let b = Counters::map(&table, 2, "smtpserver").unwrap();
        assert_eq!(b.overload(), 0);
        a.say_overload(2, 1);
        assert_eq!((b.overload(), b.overload_sign()), (2, "queue"));
        a.say_overload(9, 0);
        assert_eq!((b.overload(), b.overload_sign()), (3, "sessions"));
    }

    #[test]
    fn a_service_is_read_over_all_its_rows() {
        let table = Counters::create_table().unwrap();
        let reader = Counters::map(&table, 0, "ratetracker").unwrap();
        for row in [3, 7, 254] {
            let worker = Counters::map(&table, row, "smtpserver").unwrap();
            worker.set("sessions_now", u64::from(row));
            worker.set("syncs", 1);
        }
        Counters::map(&table, 4, "router").unwrap().set("files", 9);
        let rows = reader.of_service("smtpserver", ["sessions_now", "syncs"]);
        assert_eq!(rows, [(3, [3, 1]), (7, [7, 1]), (254, [254, 1])]);
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
