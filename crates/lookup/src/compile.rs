//! Compiling the source of a table: read line by line, written to a new file beside the old one, put there at once.

use crate::lines::SyntaxFault;
use crate::privilege;
use crate::sinks::{Sink, sink};
use crate::substitution::LONGEST_VALUE;
use crate::{folded, key, parse_values, read_aliases, read_pairs};
use settings::{SourceForm, Table};
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Faults told of one source.
const MAX_FAULTS: usize = 100;

/// A line of a source.
type Entry = Result<(usize, String, String), SyntaxFault>;

/// A new file, complete and synced, that is not in its place yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Draft {
    /// Where it is now, and where it belongs.
    path: PathBuf,
    target: PathBuf,
    pub keys: usize,
    /// Of the source: bytes, and those of its longest entry.
    pub bytes: u64,
    pub longest: usize,
    /// What the administrator should know.
    pub warning: Option<String>,
    published: bool,
}

/// Compiles a table into its file; `Err`: every fault, with file and line. A table without source, and one of a kind that is
/// not compiled, is `None`.
pub fn compile(table: &Table) -> Result<Option<Draft>, Vec<String>> {
    let (Some(source), Some(target)) = (&table.source, &table.file) else { return Ok(None) };
    let whole = |what: &Path, e: &io::Error| vec![format!("{}: {e}", what.display())];
    let input = File::open(source).map_err(|e| whole(source, &e))?;
    let metadata = input.metadata().map_err(|e| whole(source, &e))?;
    let mut draft = Draft::new(target).map_err(|e| whole(target, &e))?;
    let file = draft.open().map_err(|e| whole(&draft.path, &e))?;
    let synced = file.try_clone().map_err(|e| whole(&draft.path, &e))?;
    let Some(sink) = sink(table.kind, file, &draft.path).map_err(|e| whole(&draft.path, &e))? else { return Ok(None) };
    draft.bytes = metadata.len();
    draft.fill(table, source, input, sink)?;
    draft.own(&synced, source, &metadata).and_then(|()| synced.sync_all()).map_err(|e| whole(&draft.path, &e))?;
    Ok(Some(draft))
}

impl Draft {
    fn new(target: &Path) -> io::Result<Self> {
        let mut name = target.file_name().ok_or_else(|| io::Error::other("no name of a file"))?.to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let (path, target) = (target.with_file_name(name), target.to_owned());
        Ok(Self { path, target, keys: 0, bytes: 0, longest: 0, warning: None, published: false })
    }

    fn open(&self) -> io::Result<File> {
        let open = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&self.path);
        match open() {
            // Left by one of our number that was killed.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(&self.path).and_then(|()| open()),
            other => other,
        }
    }

    fn fill(&mut self, table: &Table, source: &Path, input: File, mut sink: Box<dyn Sink>) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        for entry in entries(table, input) {
            let added = entry.and_then(|(line, key, value)| {
                self.longest = self.longest.max(key.len() + value.len());
                self.keys += 1;
                sink.add(&key, &value).map_err(|e| SyntaxFault { line, reason: e.to_string() })
            });
            if let Err(fault) = added {
                faults.push(format!("{}:{}: {}", source.display(), fault.line, fault.reason));
                if faults.len() >= MAX_FAULTS {
                    faults.push(format!("{}: more faults than {MAX_FAULTS}", source.display()));
                    return Err(faults);
                }
            }
        }
        let twice = sink.finish().map_err(|e| vec![format!("{}: {e}", self.target.display())])?;
        if !twice.is_empty() {
            let input = File::open(source).map_err(|e| vec![format!("{}: {e}", source.display())])?;
            faults.extend(doubles(table, source, input, &twice));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Makes the file one of its source's keeper: compiled by root it must not give a user's words the rights of root. A mode
    /// that the file in its place has stays.
    fn own(&mut self, file: &File, source: &Path, metadata: &fs::Metadata) -> io::Result<()> {
        let before = fs::metadata(&self.target).ok();
        let uid = metadata.uid();
        if nix::unistd::geteuid().is_root() {
            fchown(file, (uid != 0).then_some(uid), before.as_ref().map(MetadataExt::gid))?;
        }
        let mode = before.map_or(0o644, |before| before.mode() & 0o777);
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        let ours = privilege::of(&file.metadata()?, &self.path);
        if ours.and(privilege::of(metadata, source)) != ours {
            // The group's right marks it as nobody's; what matters is only that it is there.
            file.set_permissions(fs::Permissions::from_mode(mode | 0o020))?;
            let (source, target) = (source.display(), self.target.display());
            self.warning = Some(format!(
                "{source}: others than the owner of {target} can write it, or a folder above; so {target} gets mode {:o}, and its values may name no programs and files",
                mode | 0o020
            ));
        }
        Ok(())
    }

    /// Puts the file there. Who has the old one open goes on with it until it looks again.
    pub fn publish(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.published = true;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What a source holds, as it is looked up.
fn entries(table: &Table, input: File) -> Box<dyn Iterator<Item = Entry>> {
    let input = BufReader::with_capacity(256 * 1024, input);
    let fold = table.fold;
    match table.form {
        SourceForm::Aliases => Box::new(read_aliases(input).map(|alias| {
            let alias = alias?;
            let fault = |reason: String| SyntaxFault { line: alias.line, reason: format!("{}: {reason}", alias.name) };
            let values = alias.values.as_ref().map_err(|reason| fault(reason.clone()))?;
            let text = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            if parse_values(&text).as_ref() != Ok(values) {
                return Err(fault("an address that is none".to_owned()));
            }
            bounded(alias.line, key(&alias.name), text)
        })),
        SourceForm::Pairs => Box::new(read_pairs(input).map(move |pair| {
            let (line, key, value) = pair?;
            bounded(line, if fold { folded(&key) } else { key }, value)
        })),
    }
}

fn bounded(line: usize, key: String, value: String) -> Entry {
    if key.len() > ipc::tables::LONGEST_KEY {
        return Err(SyntaxFault { line, reason: format!("a key over {} bytes", ipc::tables::LONGEST_KEY) });
    }
    if value.len() > LONGEST_VALUE {
        return Err(SyntaxFault { line, reason: format!("a value over {LONGEST_VALUE} bytes") });
    }
    Ok((line, key, value))
}

/// Where keys that are there more than once are: the source is read again only for these.
fn doubles(table: &Table, source: &Path, input: File, twice: &BTreeSet<String>) -> Vec<String> {
    let mut first: HashMap<String, usize> = HashMap::new();
    let mut faults = Vec::new();
    for (line, key, _) in entries(table, input).flatten().filter(|(_, key, _)| twice.contains(key)) {
        match first.get(&key) {
            Some(before) => faults.push(format!("{}:{line}: {key} is defined in line {before} already", source.display())),
            None => drop(first.insert(key, line)),
        }
        if faults.len() >= MAX_FAULTS {
            break;
        }
    }
    faults
}

/// Reads the text of a table that is not compiled, as a router would; the number of its entries, or every fault.
pub fn check(table: &Table) -> Result<Option<usize>, Vec<String>> {
    use settings::TableKind::{Aliases, Cidr, Regexp, Text};
    let Some(path) = table.file.as_ref().filter(|_| matches!(table.kind, Aliases | Cidr | Regexp | Text)) else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|e| vec![format!("{}: {e}", path.display())])?;
    let told = |fault: SyntaxFault| vec![format!("{}:{}: {}", path.display(), fault.line, fault.reason)];
    match table.kind {
        Cidr => return crate::Networks::read(&text).map(|networks| Some(networks.len())).map_err(told),
        Regexp => return crate::Patterns::read(&text, table.fold).map(|patterns| Some(patterns.len())).map_err(told),
        _ => {}
    }
    let table = Table { form: if table.kind == Aliases { SourceForm::Aliases } else { SourceForm::Pairs }, ..table.clone() };
    let (mut faults, mut seen, mut count) = (Vec::new(), HashMap::new(), 0);
    let input = File::open(path).map_err(|e| vec![format!("{}: {e}", path.display())])?;
    for entry in entries(&table, input) {
        match entry {
            Ok((line, key, _)) => {
                count += 1;
                if let Some(before) = seen.get(&key) {
                    faults.push(format!("{}:{line}: {key} is defined in line {before} already", path.display()));
                } else {
                    seen.insert(key, line);
                }
            }
            Err(fault) => faults.append(&mut told(fault)),
        }
    }
    faults.truncate(MAX_FAULTS);
    if faults.is_empty() { Ok(Some(count)) } else { Err(faults) }
}
