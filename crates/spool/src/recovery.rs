//! What a start finds and mends in `public/` (S1), and left-over temporary names.
use crate::Spool;
use std::io;
use std::time::Duration;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Complete files renamed into router/.
    pub adopted: Vec<String>,
    /// Old incomplete files removed.
    pub removed: Vec<String>,
}
impl Spool {
    /// Adopts complete files of `public/` and removes incomplete ones older than `age`. A file that is still being
    /// written by a living process is left alone.
    pub fn recover_public(&self, age: Duration) -> io::Result<Recovered> { let _ = age; todo!() }
}
