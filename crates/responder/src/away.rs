//! `vacation start` and `stop`: the user's `.forward`.

use crate::template::USUAL;
use crate::trouble::{CONFIG, TEMPORARY, Trouble, trouble};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FORWARD: &str = ".forward";
/// What `.forward` was before.
const BEFORE: &str = ".forward.before-vacation";

/// Where a user keeps what this program reads.
#[derive(Debug)]
pub(crate) struct Home {
    pub folder: PathBuf,
    pub user: String,
}

impl Home {
    pub fn message(&self) -> PathBuf {
        self.folder.join(".vacation.msg")
    }

    pub fn memory(&self) -> PathBuf {
        self.folder.join(".vacation.db")
    }

    /// Mail is answered from now on, beside what `.forward` said before.
    pub fn start(&self, program: &Path) -> Result<String, Trouble> {
        let forward = self.folder.join(FORWARD);
        let earlier = match fs::read_to_string(&forward) {
            Ok(text) if text.contains("vacation") => {
                return Err(trouble(CONFIG, format!("{} names vacation already; nothing was changed", forward.display())));
            }
            Ok(text) => Some(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(at(&forward, &e)),
        };
        let line = format!("\"|{} {}\"\n", program.display(), self.user);
        let mut text = earlier.clone().unwrap_or_else(|| format!("\\{}\n", self.user));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&line);
        if !self.message().exists() {
            write(&self.message(), USUAL).map_err(|e| at(&self.message(), &e))?;
        }
        let before = self.folder.join(BEFORE);
        match earlier {
            Some(earlier) => write(&before, &earlier).map_err(|e| at(&before, &e))?,
            // Of an absence that was ended by hand: `stop` would bring it back.
            None => gone(&before).map_err(|e| at(&before, &e))?,
        }
        write(&forward, &text).map_err(|e| at(&forward, &e))?;
        Ok(format!("mail is answered now; the text is in {}, and vacation stop ends it\n", self.message().display()))
    }

    pub fn stop(&self) -> Result<String, Trouble> {
        let (forward, before) = (self.folder.join(FORWARD), self.folder.join(BEFORE));
        let text = fs::read_to_string(&forward).unwrap_or_default();
        if !text.contains("vacation") {
            return Err(trouble(CONFIG, format!("{} names no vacation; nothing was changed", forward.display())));
        }
        let ended = if before.exists() { fs::rename(&before, &forward) } else { fs::remove_file(&forward) };
        ended.map_err(|e| at(&forward, &e))?;
        Ok("mail is no longer answered\n".to_owned())
    }
}

fn at(path: &Path, error: &io::Error) -> Trouble {
    trouble(TEMPORARY, format!("{}: {error}", path.display()))
}

/// It is not there, or no longer.
fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Complete under its name, or not there: a delivery may read it at any moment. Nobody else may write it, or it would not
/// be used.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home { folder: folder.path().to_owned(), user: "joe".into() };
        let forward = folder.path().join(".forward");
        home.start(Path::new("/bin/vacation")).unwrap();
        assert_eq!(fs::read_to_string(&forward).unwrap(), "\\joe\n\"|/bin/vacation joe\"\n");
        assert!(home.start(Path::new("/bin/vacation")).is_err(), "twice");
        home.stop().unwrap();
        assert!(!forward.exists() && home.message().exists() && home.stop().is_err());
        fs::write(&forward, "ann@far.example, \\joe").unwrap();
        home.start(Path::new("/bin/vacation")).unwrap();
        assert_eq!(fs::read_to_string(&forward).unwrap(), "ann@far.example, \\joe\n\"|/bin/vacation joe\"\n");
        home.stop().unwrap();
        assert_eq!(fs::read_to_string(&forward).unwrap(), "ann@far.example, \\joe");
        // Ended by hand: what was before is of the past.
        home.start(Path::new("/bin/vacation")).unwrap();
        fs::remove_file(&forward).unwrap();
        home.start(Path::new("/bin/vacation")).unwrap();
        home.stop().unwrap();
        assert!(!forward.exists());
    }
}
