//! Contact points of the processes that answer for declared tables.

use daemon::Contacts;
use ipc::Caller;
use settings::Settings;

const PROCESSES: [&str; 8] =
    ["resolver", "table-lmdb", "table-sqlite", "table-socketmap", "table-tcp", "table-ldap", "table-postgresql", "table-mysql"];

/// Kept through reloads: a new configuration may declare tables of other kinds.
#[derive(Debug, Default)]
pub struct TableCallers(Vec<(&'static str, Caller)>);

impl TableCallers {
    pub fn take(contacts: &mut Contacts) -> Self {
        Self(PROCESSES.iter().filter_map(|name| Some((*name, contacts.caller(name)?))).collect())
    }

    /// For another thread.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        self.0.iter().map(|(name, caller)| Ok((*name, caller.try_clone()?))).collect::<std::io::Result<_>>().map(Self)
    }

    /// Those that the tables of a configuration need, for one set of tables; each thread has its own.
    pub fn wanted(&self, settings: &Settings) -> Vec<(&'static str, Caller)> {
        let wanted = self.0.iter().filter(|(name, _)| settings.has_tables_of(name));
        wanted.filter_map(|(name, caller)| Some((*name, caller.try_clone().ok()?))).collect()
    }
}
