//! The answer's way out: the program `sendmail`, with the null sender (RFC 3834 section 3.3).

use crate::trouble::{CONFIG, TEMPORARY, Trouble, trouble};
use address::Address;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The one named, else the one beside this program, else the system's.
pub(crate) fn program(named: Option<&Path>) -> Result<PathBuf, Trouble> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().and_then(Path::parent);
    let near = folder
        .into_iter()
        .flat_map(|folder| [folder.join("sendmail"), folder.join("../sbin/sendmail"), folder.join("../../sbin/sendmail")]);
    let far = ["/usr/sbin/sendmail", "/usr/lib/sendmail"].map(PathBuf::from);
    let mut all = near.chain(far);
    all.find(|path| path.is_file()).ok_or_else(|| trouble(CONFIG, "no program sendmail is here; name it with --sendmail"))
}

/// Hands the answer over; done only when sendmail has taken it.
pub(crate) fn send(program: &Path, to: &Address, text: &str) -> Result<(), Trouble> {
    let failed = |e: &dyn std::fmt::Display| trouble(TEMPORARY, format!("{}: {e}; nothing was answered", program.display()));
    let mut child =
        Command::new(program).args(["-i", "-f", "", "--", to.as_str()]).stdin(Stdio::piped()).spawn().map_err(|e| failed(&e))?;
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
    let status = child.wait().map_err(|e| failed(&e))?;
    if !status.success() {
        return Err(failed(&status));
    }
    written.map_err(|e| failed(&e))
}
