//! Lookup tables of servers, asked without a suite around them: a table that is declared so, and a connection of it.

use settings::Table;
use tableserver::{Source, Trouble};

/// The table of this section.
pub fn table(toml: &str) -> Table {
    let text = format!(
        "[identity]\nhostname = \"us.example\"\n[paths]\npostoffice = \"/x\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n\
         [[table]]\nname = \"people\"\n{toml}"
    );
    settings::parse(&text, "x").unwrap_or_else(|faults| panic!("{faults:?}")).tables.remove(0)
}

/// A table with a connection.
pub struct Asked<S: Source> {
    source: S,
    table: Table,
    connection: S::Connection,
}

impl<S: Source + Default> Asked<S> {
    /// With a minute for each question, unless it says otherwise.
    pub fn open(toml: &str) -> Result<Self, Trouble> {
        let timeout = if toml.contains("timeout = ") { "" } else { "timeout = \"60s\"\n" };
        let (source, table) = (S::default(), table(&format!("{timeout}{toml}")));
        let connection = source.connect(&table)?;
        Ok(Self { source, table, connection })
    }

    /// Tried until it is let in: where the server is still starting, or the table has little time.
    pub fn at_last(toml: &str) -> Self {
        let mut asked = None;
        crate::wait_until("a connection", crate::LONG, || {
            asked = Self::open(toml).ok();
            asked.is_some()
        });
        asked.unwrap()
    }

    /// The reason why there is no connection.
    pub fn refused(toml: &str) -> String {
        let trouble = Self::open(toml).err().unwrap_or_else(|| panic!("let in with {toml}"));
        assert!(trouble.broken, "{trouble:?}");
        trouble.reason
    }

    pub fn try_ask(&mut self, key: &str) -> Result<Option<Vec<String>>, Trouble> {
        self.source.ask(&mut self.connection, &self.table, key)
    }

    pub fn ask(&mut self, key: &str) -> Option<Vec<String>> {
        self.try_ask(key).unwrap_or_else(|trouble| panic!("{key}: {trouble:?}"))
    }

    /// The values, with blanks between.
    pub fn found(&mut self, key: &str) -> String {
        self.ask(key).unwrap_or_default().join(" ")
    }

    /// Why a question has no answer, where the connection is as good as before.
    pub fn trouble(&mut self, key: &str) -> String {
        let trouble = self.try_ask(key).unwrap_err();
        assert!(!trouble.broken && !trouble.reason.contains(key), "{trouble:?}");
        trouble.reason
    }

    /// None of these is a key, or anything else.
    pub fn finds_none_of(&mut self, keys: &[&str]) {
        for key in keys {
            assert_eq!(self.ask(key), None, "{key}");
        }
    }
}
