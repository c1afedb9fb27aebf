//! A table of users: `name [home]` a line, `#` comments.

use crate::{TableError, Watched};
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

/// Bytes of the table.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// A user of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUser {
    pub name: String,
    pub home: Option<String>,
    /// 1-based.
    pub line: usize,
}

/// `[local] users = "/path"`.
#[derive(Debug)]
pub struct UserTable(Watched<HashMap<String, TableUser>>);

impl UserTable {
    pub fn new(path: &Path) -> Self {
        Self(Watched::new(path, MAX_FILE))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Looks a name up, without regard to case.
    pub fn find(&mut self, now: Instant, name: &str) -> Result<Option<TableUser>, TableError> {
        let table = self.0.read(now, |text| Ok::<_, String>(load(text)))?;
        Ok(table.get(&name.to_lowercase()).cloned())
    }
}

fn load(text: &str) -> HashMap<String, TableUser> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, home) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let home = home.split(" #").next().map(str::trim).filter(|home| !home.is_empty() && !home.starts_with('#'));
        let user = TableUser { name: name.to_owned(), home: home.map(str::to_owned), line: number + 1 };
        users.entry(name.to_lowercase()).or_insert(user);
    }
    users
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn users_with_and_without_home() {
        let users = load("# users\nJoe\njane /home/jane # hers\n\n  max\t/srv/max\n");
        assert_eq!(users.get("joe").unwrap().name, "Joe");
        assert_eq!(users.get("max").unwrap().home.as_deref(), Some("/srv/max"));
        assert_eq!(users.len(), 3);
    }

    #[test]
    fn an_unreadable_table_is_temporary() {
        let mut table = UserTable::new(Path::new("/nonexistent/users"));
        assert!(matches!(table.find(Instant::now(), "joe"), Err(TableError::Temporary(_))));
    }
}
