//! The tables of `[policy] tables`: open files that the master hands over, so that no path has to be reachable.

use daemon::Contacts;
use policy::Table;
use settings::Settings;
use std::fs::File;
use std::io;

/// All of them, in the order of the configuration.
pub(crate) fn open(contacts: &mut Contacts, settings: &Settings) -> io::Result<Vec<Table>> {
    let open = |(number, path): (usize, &std::path::PathBuf)| {
        let name = path.display().to_string();
        let file = contacts.take(&format!("policy:{number}")).ok_or_else(|| io::Error::other(format!("the master sent no {name}")))?;
        Table::open(&name, Box::new(File::from(file))).map_err(io::Error::other)
    };
    settings.access.tables.iter().enumerate().map(open).collect()
}
