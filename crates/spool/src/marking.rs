//! What became of recipients, written into the control file.

use crate::Spool;
use crate::folder::{Folder, hashed};
use envelope::{Diagnostic, MessageId, RecipientState, diagnostic_line};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

impl Spool {
    /// In-place state byte of one recipient (by line offset), and diagnostics appended with one write. Checks that the
    /// byte before is `r`.
    ///
    /// The state bytes come first and are written whatever happens to the diagnostics: a byte in place needs no
    /// room on a full disk, and it is what keeps a recipient from being delivered twice. A diagnostic that does not fit is
    /// taken back whole, so that no half line stays. The first error is returned after all was tried.
    pub fn mark(&self, id: MessageId, states: &[(u32, RecipientState)], diagnostics: &[Diagnostic]) -> io::Result<()> {
        let file = self.open_file(Folder::Transport, &hashed(id), OFlag::O_RDWR, Mode::empty())?;
        let mut first_error = None;
        for (offset, state) in states {
            if let Err(e) = set_state(&file, *offset, *state) {
                first_error.get_or_insert(e);
            }
        }
        if !diagnostics.is_empty()
            && let Err(e) = append(&file, diagnostics)
        {
            first_error.get_or_insert(e);
        }
        first_error.map_or(Ok(()), Err)
    }
}

fn set_state(file: &File, offset: u32, state: RecipientState) -> io::Result<()> {
    let mut line = [0; 2];
    file.read_exact_at(&mut line, u64::from(offset))?;
    let [tag, old] = line;
    if tag != b'r' || RecipientState::from_byte(old).is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no recipient at offset {offset} of the control file")));
    }
    file.write_all_at(&[state.byte()], u64::from(offset).saturating_add(1))
}

/// By position, not O_APPEND: on Linux that flag would send the state bytes to the end as well. Nobody else writes here.
fn append(file: &File, diagnostics: &[Diagnostic]) -> io::Result<()> {
    let mut lines = Vec::with_capacity(diagnostics.len().saturating_mul(128));
    for diagnostic in diagnostics {
        diagnostic_line(diagnostic, &mut lines);
    }
    let end = file.metadata()?.len();
    crate::fault::point().and_then(|()| file.write_all_at(&lines, end)).inspect_err(|_| {
        let _ = file.set_len(end);
    })
}
