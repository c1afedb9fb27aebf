//! `zpost config check` and `show`.

use super::Config;
use crate::output::{print, print_json};
use crate::site::{config_path, faulty, read_config};
use crate::trouble::{EX_CONFIG, Trouble};
use serde_json::json;
use settings::{Effective, Fault};
use std::path::Path;

pub fn run(given: Option<&Path>, what: &Config, json: bool) -> Result<u8, Trouble> {
    if matches!(what, Config::Reference) {
        print(settings::mdoc())?;
        return Ok(0);
    }
    let path = config_path(given);
    let text = read_config(&path)?;
    let checked = settings::effective(&text).and_then(|values| match templates(&text, &values) {
        faults if faults.is_empty() || !matches!(what, Config::Check) => Ok(values),
        faults => Err(faults),
    });
    match (what, checked) {
        (Config::Check, Err(faults)) if json => {
            let all: Vec<_> = faults.iter().map(|f| json!({ "line": f.line, "column": f.column, "text": f.text })).collect();
            print_json(&json!({ "path": path, "faults": all }))?;
            Ok(EX_CONFIG)
        }
        (_, Err(faults)) => Err(faulty(&path, &faults)),
        (Config::Check, Ok(_)) if json => print_json(&json!({ "path": path, "faults": [] })).map(|()| 0),
        (Config::Check, Ok(_)) => print(format!("{}: no errors\n", path.display())).map(|()| 0),
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
