//! An open database.

use crate::{failed, wrong};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use settings::{Statement, Table};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tableserver::Trouble;

/// The clock is looked at once in so many steps of the statement's program.
const STEPS: i32 = 1000;
/// Bytes of memory for all statements together.
const MEMORY: i64 = 64 << 20;
/// Bytes of a row, of a statement.
const LONGEST_ROW: i32 = 1 << 20;

#[derive(Debug)]
pub struct Open {
    pub connection: Connection,
    pub statement: Statement,
    path: PathBuf,
    stamp: Stamp,
    /// As one that nobody writes to.
    immutable: bool,
    begun: Instant,
    /// In milliseconds since then, when a statement is interrupted.
    until: Arc<AtomicU64>,
}

/// Which file it is; for a file that is read without locks, in which state too.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    written: Option<(i64, i64, u64, bool)>,
}

impl Open {
    pub fn new(table: &Table) -> Result<Self, Trouble> {
        let path = table.file.clone().unwrap_or_default();
        let statement = Statement::parse(&table.query, |number| format!("?{number}")).map_err(Trouble::passing)?;
        match Self::with(&path, &statement, table.timeout, false) {
            // In write-ahead mode even readers write, beside the file. Where nobody else has it open there is nothing to
            // tell them, and the file is all there is.
            Err(e) if matches!(e.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) && !has_log(&path) => {
                Self::with(&path, &statement, table.timeout, true)
            }
            outcome => outcome,
        }
        .and_then(Self::checked)
        .map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => failed(&e),
            _ => Trouble::broken(format!("the database cannot be opened: {e}")),
        })?
    }

    pub fn with(path: &Path, statement: &Statement, timeout: Duration, immutable: bool) -> Result<Self, Error> {
        let missing =
            || Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN), Some("there is no such file".to_owned()));
        let stamp = Stamp::of(path, immutable).ok_or_else(missing)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = if immutable {
            Connection::open_with_flags(address(path), flags | OpenFlags::SQLITE_OPEN_URI)?
        } else {
            Connection::open_with_flags(path, flags)?
        };
        let (begun, until) = (Instant::now(), Arc::new(AtomicU64::new(u64::MAX)));
        let mut open = Self { connection, statement: statement.clone(), path: path.to_owned(), stamp, immutable, begun, until };
        open.prepare(timeout)?;
        Ok(open)
    }

    fn prepare(&mut self, timeout: Duration) -> Result<(), Error> {
        let connection = &mut self.connection;
        connection.busy_timeout(timeout / 2)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_ROW)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        // What a statement sorts stays in memory: there is no folder to write to.
        connection.execute_batch(&format!(
            "PRAGMA temp_store = MEMORY; PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA hard_heap_limit = {MEMORY};"
        ))?;
        let (begun, until) = (self.begun, Arc::clone(&self.until));
        connection.progress_handler(STEPS, Some(move || elapsed(begun) > until.load(Relaxed)))?;
        // The first reading of the file.
        self.until(Instant::now() + timeout);
        self.connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
    }

    /// One whose statement reads, and gives a column.
    fn checked(self) -> Result<Result<Self, Trouble>, Error> {
        let fault = {
            let statement = self.connection.prepare(&self.statement.text);
            match &statement {
                Err(e) => Some(wrong(e)),
                Ok(statement) if !statement.readonly() => Some(Trouble::passing("the statement would write")),
                Ok(statement) if statement.column_count() == 0 => Some(Trouble::passing("the statement gives no column")),
                Ok(_) => None,
            }
        };
        Ok(fault.map_or(Ok(self), Err))
    }

    /// The file that stands under its name now is the one that is open.
    pub fn is_current(&self) -> bool {
        Stamp::of(&self.path, self.immutable).is_some_and(|now| now == self.stamp)
    }

    pub const fn without_locks(&self) -> bool {
        self.immutable
    }

    /// A statement that runs then is interrupted.
    pub fn until(&self, deadline: Instant) {
        let time = deadline.saturating_duration_since(self.begun).as_millis();
        self.until.store(u64::try_from(time).unwrap_or(u64::MAX), Relaxed);
    }
}

fn elapsed(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Stamp {
    fn of(path: &Path, immutable: bool) -> Option<Self> {
        let data = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let written = immutable.then(|| (data.mtime(), data.mtime_nsec(), data.size(), has_log(path)));
        Some(Self { inode: (data.dev(), data.ino()), written })
    }
}

/// Somebody has the file open in write-ahead mode.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

/// `file:` and the path, for a file that nobody writes to.
fn address(path: &Path) -> String {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._".contains(byte) {
            address.push(char::from(*byte));
        } else {
            let _ = write!(address, "%{byte:02X}");
        }
    }
    address.push_str("?immutable=1");
    address
}
