//! `zpost config check` and `show`.

use super::Config;
use crate::output::{print, print_json};
use crate::site::{config_path, faulty, read_config};
use crate::trouble::{EX_CONFIG, Trouble};
use serde_json::json;
use settings::Effective;
use std::path::Path;

pub fn run(given: Option<&Path>, what: &Config, json: bool) -> Result<u8, Trouble> {
    if matches!(what, Config::Reference) {
        print(settings::mdoc())?;
        return Ok(0);
    }
    let path = config_path(given);
    let text = read_config(&path)?;
    match (what, settings::effective(&text)) {
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
