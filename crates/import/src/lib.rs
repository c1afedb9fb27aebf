//! What Postfix, Sendmail and ZMailer keep in their files, as a configuration and tables of ours; and what could not be
//! carried over.
//!
//! **Invariants.** No I/O: files are read through [`Reader`]. Nothing is dropped in silence: what is not carried over is a
//! [`Remark`] with its file and line. What comes out is read by [`settings::parse`] before it leaves: an importer that writes
//! what we do not read would be worse than none.

mod draft;
mod lines;
mod maps;
mod postfix;
mod regexps;
mod sendmail;
mod sieve;
mod tables;
mod transport;
mod zmailer;

pub use draft::Draft;

use std::fmt;

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Postfix,
    Sendmail,
    Zmailer,
}

/// A file to be read, and what it is; `None`: by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub kind: Option<String>,
    pub path: String,
}

impl Source {
    /// `KIND=PATH` or `PATH`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=').filter(|(kind, _)| !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')) {
            Some((kind, path)) => Self { kind: Some(kind.to_owned()), path: path.to_owned() },
            None => Self { kind: None, path: text.to_owned() },
        }
    }

    /// The word for what it is: the kind, or the name of the file without what endings it has.
    fn word(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        let bare = [".db", ".cf.in", ".src", ".txt"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        self.kind.as_deref().unwrap_or(bare)
    }
}

/// Something that a human must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub file: String,
    /// 1-based; 0: about the whole file.
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

/// A file to be written beside the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    pub name: String,
    pub text: String,
    /// Nobody else may read it.
    pub secret: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// TOML.
    pub configuration: String,
    pub files: Vec<NewFile>,
    pub remarks: Vec<Remark>,
    /// Files of which nobody knows what they are: nothing of them is in the rest.
    pub unknown: Vec<Remark>,
}

/// Reads a file that another one names, or why it cannot.
pub type Reader<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Imports files. `folder`: where the new files will be, as an absolute path for the configuration.
pub fn import(system: System, sources: &[Source], folder: &str, reader: &Reader<'_>) -> Imported {
    let mut draft = Draft::new(folder);
    // What a virtusertable means the other files say.
    let (last, first): (Vec<_>, Vec<_>) = sources.iter().partition(|source| system == System::Sendmail && sendmail::depends(source));
    for source in first.into_iter().chain(last) {
        let text = match reader(&source.path) {
            Ok(text) => text,
            Err(reason) => {
                draft.remark(&source.path, 0, reason);
                continue;
            }
        };
        let known = match system {
            System::Postfix => postfix::file(source, &text, &mut draft, reader),
            System::Sendmail => sendmail::file(source, &text, &mut draft),
            System::Zmailer => zmailer::file(source, &text, &mut draft),
        };
        if let Err(kinds) = known {
            let text = format!("what this is its name does not say: write KIND={}, with a KIND of {kinds}", source.path);
            draft.unknown(&source.path, text);
        }
    }
    draft.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
