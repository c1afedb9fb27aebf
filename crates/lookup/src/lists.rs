//! `:include:` files, kept in memory while they are in use.

use crate::alias_syntax::{Value, parse_list};
use crate::{TableError, Watched};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

/// Bytes of one list file.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Lists remembered; beyond that all are forgotten and read anew.
const MAX_LISTS: usize = 64;

/// The entries of one list.
pub type List = Rc<[Value]>;

/// The lists read so far.
#[derive(Debug, Default)]
pub struct Lists(HashMap<String, Watched<List>>);

impl Lists {
    pub fn read(&mut self, now: Instant, path: &str) -> Result<List, TableError> {
        if self.0.len() >= MAX_LISTS && !self.0.contains_key(path) {
            self.0.clear();
        }
        let table = self.0.entry(path.to_owned()).or_insert_with(|| Watched::new(path, MAX_FILE));
        table.read(now, |text| parse_list(text).map(Rc::from)).map(|list| List::clone(&list))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_list_and_forgets_when_there_are_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut lists = Lists::default();
        for n in 0..=MAX_LISTS {
            let path = folder.path().join(n.to_string());
            std::fs::write(&path, "a@b\nc@d\n").unwrap();
            assert_eq!(lists.read(Instant::now(), path.to_str().unwrap()).unwrap().len(), 2);
        }
        assert_eq!(lists.0.len(), 1);
        assert!(matches!(lists.read(Instant::now(), "/nonexistent/list"), Err(TableError::Temporary(_))));
    }
}
