//! `newaliases`: the routers read the alias files as text and take a changed one up within a second, so there is
//! nothing to compile; what is left of the command's old work is to say what is wrong with them.

use crate::output::print;
use crate::site::Site;
use crate::trouble::{EX_DATAERR, Trouble};
use std::path::Path;

pub fn main() -> Result<u8, Trouble> {
    let site = Site::load(None)?;
    check(&site.settings.alias_files().collect::<Vec<_>>())
}

/// Reads every file; counts to standard output, all errors at once as the trouble.
pub fn check(files: &[impl AsRef<Path>]) -> Result<u8, Trouble> {
    if files.is_empty() {
        print("no alias files: [local] aliases is empty\n")?;
    }
    let mut errors = Vec::new();
    for path in files.iter().map(AsRef::as_ref) {
        match std::fs::read_to_string(path) {
            Ok(text) => print(summary(path, &text, &mut errors))?,
            Err(e) => errors.push(format!("{}: {e}; mail to local users is put off until it can be read", path.display())),
        }
    }
    if errors.is_empty() { Ok(0) } else { Err(Trouble::new(EX_DATAERR, errors.join("\n"))) }
}

/// `/etc/aliases: 3 aliases, longest 20 bytes, 55 bytes total`, and its faults.
fn summary(path: &Path, text: &str, errors: &mut Vec<String>) -> String {
    let name = path.display();
    let (lines, faults) = lookup::parse_aliases(text);
    errors.extend(faults.iter().map(|f| format!("{name}:{}: {}", f.line, f.reason)));
    let mut seen = std::collections::HashMap::new();
    for alias in &lines {
        if let Err(reason) = &alias.values {
            errors.push(format!("{name}:{}: {}: {reason}", alias.line, alias.name));
        }
        if let Some(first) = seen.insert(lookup::key(&alias.name), alias.line) {
            errors.push(format!("{name}:{}: {} is defined in line {first} already", alias.line, alias.name));
        }
    }
    let longest = text.lines().map(str::len).max().unwrap_or(0);
    format!("{name}: {} aliases, longest {longest} bytes, {} bytes total\n", lines.len(), text.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_faults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aliases");
        std::fs::write(&path, "# c\nroot: alice\nteam: bob,\n  carol\n").unwrap();
        assert_eq!(check(std::slice::from_ref(&path)), Ok(0));
        std::fs::write(&path, "root: alice\nRoot: bob\nno colon\n").unwrap();
        let trouble = check(&[path, folder.path().join("missing")]).unwrap_err();
        assert_eq!((trouble.code, trouble.text.lines().count()), (EX_DATAERR, 3), "{}", trouble.text);
    }
}
