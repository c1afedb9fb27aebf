//! Files that belong to the configuration and are read by whoever needs them.

use crate::Bounce;
use std::fs::File;
use std::io::{self, Read};

/// Most files taken from a folder: five kinds of reports in some dozen languages.
const MOST: usize = 200;

impl Bounce {
    /// The files of `[bounce] templates` whose names are wanted, in the order of their names, each cut one byte behind
    /// `limit` (so that too long ones are seen to be too long). None where no folder is set.
    pub fn template_files(&self, wanted: impl Fn(&str) -> bool, limit: usize) -> io::Result<Vec<(String, Vec<u8>)>> {
        let Some(folder) = &self.templates else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| wanted(name)));
        }
        names.sort();
        names.truncate(MOST);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = |name: String| {
            let mut bytes = Vec::new();
            File::open(folder.join(&name))?.take(limit).read_to_end(&mut bytes)?;
            Ok((name, bytes))
        };
        names.into_iter().map(read).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn wanted_files_are_read_and_cut() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("failed", "12345"), ("failed~", "x"), ("delayed", "1")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let text = format!(
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"h.example\"\n[bounce]\ntemplates = \"{}\"\n",
            folder.path().display()
        );
        let mut bounce = crate::parse(&text, "test").unwrap().bounce;
        let files = bounce.template_files(|name| !name.ends_with('~'), 3).unwrap();
        assert_eq!(files, [("delayed".to_owned(), b"1".to_vec()), ("failed".to_owned(), b"1234".to_vec())]);
        bounce.templates = Some(folder.path().join("none"));
        assert!(bounce.template_files(|_| true, 3).is_err());
        bounce.templates = None;
        assert!(bounce.template_files(|_| true, 3).unwrap().is_empty());
    }
}
