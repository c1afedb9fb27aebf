//! The tables of policy: opened here, so that workers need no path and all of a generation see the same files.

use crate::Failure;
use crate::configuration::{Configuration, render};
use policy::Table;
use std::fs::File;
use std::os::fd::OwnedFd;

/// Opens and tries `[policy] tables`.
pub fn open(configuration: &Configuration) -> Result<Option<Vec<OwnedFd>>, Failure> {
    let mut opened = Vec::new();
    let mut faults = Vec::new();
    for path in &configuration.settings.access.tables {
        let name = path.display().to_string();
        let tried = File::open(path).and_then(|file| Ok((file.try_clone()?, file)));
        let table = tried.map_err(|e| format!("{name}: {e}; zpost newdb makes it"));
        match table.and_then(|(file, again)| Table::open(&name, Box::new(again)).map(|_| file).map_err(|e| e.to_string())) {
            Ok(file) => opened.push(file.into()),
            Err(text) => faults.push(configuration.fault(&name, format!("policy.tables: {text}"))),
        }
    }
    if faults.is_empty() { Ok(Some(opened)) } else { Err(Failure::config(render(&configuration.path, &faults))) }
}
