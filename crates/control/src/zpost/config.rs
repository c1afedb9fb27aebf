//! `zpost config check` and `show`.

use super::Config;
use crate::output::{complain, print, print_json, shown as escaped};
use crate::site::{config_path, faulty, read_config};
use crate::trouble::{EX_CONFIG, Trouble};
use serde_json::json;
use settings::{Effective, Fault};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn run(given: Option<&Path>, what: &Config, json: bool) -> Result<u8, Trouble> {
    if matches!(what, Config::Reference) {
        print(settings::mdoc())?;
        return Ok(0);
    }
    let path = config_path(given);
    let text = read_config(&path)?;
    let checked = settings::effective(&text).and_then(|values| match templates(&text, &values) {
        faults if faults.is_empty() || !matches!(what, Config::Check { .. }) => Ok(values),
        faults => Err(faults),
    });
    match (what, checked) {
        (Config::Check { text_only }, checked) => check(&path, &text, checked.err().unwrap_or_default(), *text_only, json),
        (_, Err(faults)) => Err(faulty(&path, &faults)),
        (Config::Show { defaults }, Ok(values)) => {
            let values: Vec<Effective> = values.into_iter().filter(|v| *defaults || v.line.is_some()).collect();
            if json {
                print_json(&document(&values))?
            } else {
                print(shown(&values))?
            }
            Ok(0)
        }
        (Config::Reference, Ok(_)) => Ok(0),
    }
}

/// What has been found; faults are refused by a start, warnings are not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    /// Why the machine was not looked at.
    note: Option<String>,
}

/// The file, and where it has no fault what it names, by the master, which does so at every start.
fn check(path: &Path, text: &str, faults: Vec<Fault>, text_only: bool, json: bool) -> Result<u8, Trouble> {
    let mut found = Findings { faults, ..Findings::default() };
    if found.faults.is_empty() {
        found.warnings = settings::doubts(text);
        if !text_only {
            look_around(path, text, &mut found)?;
        }
    }
    let code = if found.faults.is_empty() { 0 } else { EX_CONFIG };
    if json {
        let list =
            |faults: &[Fault]| faults.iter().map(|f| json!({ "line": f.line, "column": f.column, "text": f.text })).collect::<Vec<_>>();
        let (faults, warnings) = (list(&found.faults), list(&found.warnings));
        print_json(&json!({ "path": path, "faults": faults, "warnings": warnings, "note": found.note }))?;
        return Ok(code);
    }
    let name = path.display().to_string();
    for warning in found.warnings {
        let warning = Fault { text: format!("warning: {}", warning.text), ..warning };
        complain(&format!("zpost: {}\n", escaped(&warning.display(&name))));
    }
    if let Some(note) = &found.note {
        complain(&format!("zpost: {note}\n"));
    }
    match found.faults.is_empty() {
        true => print(format!("{name}: no errors\n")).map(|()| 0),
        false => Err(faulty(path, &found.faults)),
    }
}

/// Users, programs, certificates, password files and the like. Only who starts the suite may read them all; what another
/// cannot read is no fault.
fn look_around(path: &Path, text: &str, found: &mut Findings) -> Result<(), Trouble> {
    let Ok(settings) = settings::parse(text, "") else { return Ok(()) };
    // The suite runs all the same: whom such a line is about, his mail waits.
    let aliases = crate::aliases::faults(&settings).into_iter();
    found.warnings.extend(aliases.map(|text| Fault { line: 0, column: 0, text }));
    let own = nix::unistd::geteuid();
    let owner = std::fs::metadata(&settings.paths.postoffice).map(|folder| folder.uid()).ok();
    if !own.is_root() && owner.is_some_and(|uid| uid != own.as_raw()) {
        let text = "users, programs, certificates and password files were not looked at: run this as root, or as who starts the suite";
        found.note = Some(text.to_owned());
        return Ok(());
    }
    let program = match super::start::master_program() {
        Ok(program) => program,
        Err(trouble) => {
            found.note = Some(format!("users, programs, certificates and password files were not looked at: {}", trouble.text));
            return Ok(());
        }
    };
    let config = std::fs::canonicalize(path).map_err(|e| Trouble::io(path.display(), &e))?;
    let output = Command::new(&program).arg("--config").arg(&config).arg("--check").stdin(Stdio::null()).output();
    let output = output.map_err(|e| Trouble::io(format!("cannot start {}", program.display()), &e))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let list: Vec<Fault> = said.lines().filter(|line| !line.is_empty()).map(|line| placed(line, &config)).collect();
    if output.status.success() {
        found.warnings.extend(list);
    } else if list.is_empty() {
        found.faults.push(Fault { line: 0, column: 0, text: format!("{} ended with {}", program.display(), output.status) });
    } else {
        found.faults.extend(list);
    }
    Ok(())
}

/// A line as [`Fault::display`] makes it, taken apart; one of another form is about the whole file.
fn placed(line: &str, path: &Path) -> Fault {
    let text = line.strip_prefix(&format!("{}:", path.display())).unwrap_or(line).trim_start();
    let mut words = text.splitn(3, ':');
    match (words.next().and_then(|w| w.parse().ok()), words.next().and_then(|w| w.parse().ok()), words.next()) {
        (Some(line), Some(column), Some(text)) => Fault { line, column, text: text.trim_start().to_owned() },
        _ => Fault { line: 0, column: 0, text: text.to_owned() },
    }
}

/// What is wrong with the texts of reports: told here, because when a report is due the built-in text must do.
fn templates(text: &str, values: &[Effective]) -> Vec<Fault> {
    let Ok(settings) = settings::parse(text, "") else { return Vec::new() };
    let line = values.iter().find(|v| v.section == "bounce" && v.key == "templates").and_then(|v| v.line).unwrap_or(0);
    let fault = |text: String| Fault { line, column: 1, text: format!("bounce.templates: {text}") };
    match settings.bounce.template_files(dsn::Templates::is_name, dsn::MAX_TEMPLATE) {
        Ok(files) => dsn::Templates::with(files).1.into_iter().map(|e| fault(e.to_string())).collect(),
        Err(e) => vec![fault(format!("the folder cannot be read: {e}"))],
    }
}

/// TOML with the origin of each value beside it.
fn shown(values: &[Effective]) -> String {
    let mut out = String::new();
    let mut last = None;
    for v in values {
        if last != Some((v.section, v.index)) {
            let gap = if last.is_some() { "\n" } else { "" };
            out.push_str(gap);
            out.push_str(&if v.repeated { format!("[[{}]]\n", v.section) } else { format!("[{}]\n", v.section) });
            last = Some((v.section, v.index));
        }
        let origin = v.line.map_or_else(|| "default".to_owned(), |line| format!("line {line}"));
        let setting = format!("{} = {}", v.key, v.value);
        out.push_str(&format!("{setting:<50} # {origin}\n"));
    }
    out
}

fn document(values: &[Effective]) -> serde_json::Value {
    let all = values.iter().map(|v| {
        json!({ "section": v.section, "index": v.index, "key": v.key, "value": v.value, "origin": if v.line.is_some() { "file" } else { "default" }, "line": v.line })
    });
    all.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_text_of_a_report_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            format!("paths.postoffice = \"/p\"\nidentity.hostname = \"h.example\"\nbounce.templates = \"{}\"\n", folder.path().display());
        let values = settings::effective(&text).unwrap();
        assert_eq!(templates(&text, &values), []);
        std::fs::write(folder.path().join("failed"), "Subject: x\nBcc: y\n\n%{recipients}\n").unwrap();
        let faults = templates(&text, &values);
        assert!(faults.len() == 1 && faults[0].line == 3 && faults[0].text.contains("failed: line 2: \"Bcc\" cannot be set here"));
    }

    #[test]
    fn what_the_master_says_is_taken_apart() {
        let fault = |line: &str| {
            let fault = placed(line, Path::new("/etc/z.toml"));
            (fault.line, fault.column, fault.text)
        };
        assert_eq!(fault("/etc/z.toml:60:17: password file: x: 1"), (60, 17, "password file: x: 1".to_owned()));
        assert_eq!(fault("/etc/z.toml: cannot use it"), (0, 0, "cannot use it".to_owned()));
        assert_eq!(fault("zpost-master: odd"), (0, 0, "zpost-master: odd".to_owned()));
    }

    #[test]
    fn values_stand_with_their_origin() {
        let text = "paths.postoffice = \"/p\"\nidentity.hostname = \"h.example\"\n";
        let all = settings::effective(text).unwrap();
        let out = shown(&all);
        assert!(out.starts_with("[paths]\npostoffice = \"/p\""), "{out}");
        assert!(out.lines().any(|l| l.starts_with("postoffice") && l.ends_with("# line 1")));
        assert!(out.lines().any(|l| l.starts_with("retry_first = \"5m\"") && l.ends_with("# default")));
        assert!(settings::parse(&out, "shown").is_ok(), "what is shown can be read again");
    }
}
