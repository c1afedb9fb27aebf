//! `zpost lookup TABLE KEY...`.

use crate::link;
use crate::output::{complain, print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_CONFIG, EX_SOFTWARE, EX_TEMPFAIL, Trouble};
use ipc::control::{Reply, Request};
use ipc::routing::OfTable;
use ipc::tables::LONGEST_KEY;
use serde::Serialize;
use std::fmt::Write as _;

/// Table names that a complaint lists.
const LISTED: usize = 20;

/// What a table says of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub table: String,
    pub key: String,
    /// None: the table gives no answer now.
    pub found: Option<bool>,
    pub values: Vec<String>,
    /// Where in the table it stands.
    pub place: Option<String>,
    /// Why there is no answer.
    pub trouble: Option<String>,
}

/// 0: all keys are there; 1: one is not; 75: the table gives no answer now for one.
pub fn run(site: &Site, table: &str, keys: &[String], json: bool) -> Result<u8, Trouble> {
    declared(site, table)?;
    let mut findings = Vec::with_capacity(keys.len());
    for key in keys {
        findings.push(find(site, table, key)?);
    }
    let several = findings.len() > 1;
    if json {
        match findings.as_slice() {
            [one] => print_json(one)?,
            all => print_json(&all)?,
        }
    } else {
        let lines = findings.iter().map(|finding| text(finding, several));
        print(lines.collect::<String>())?;
    }
    for finding in &findings {
        if let Some(trouble) = &finding.trouble {
            complain(&format!("zpost: {}\n", unanswered(finding, trouble)));
        } else if several && finding.values.is_empty() {
            complain(&format!("zpost: {} is not in table {}\n", shown(&finding.key), shown(table)));
        }
    }
    Ok(findings.iter().map(code).max().unwrap_or(0))
}

/// The configuration's word on whether there is such a table.
pub fn declared(site: &Site, table: &str) -> Result<(), Trouble> {
    let names: Vec<&str> = site.settings.tables.iter().map(|declared| declared.name.as_str()).collect();
    if names.contains(&table) {
        return Ok(());
    }
    let hint = if let Some(near) = settings::nearest(table, names.iter().copied()) {
        format!("did you mean `{near}`?")
    } else if names.is_empty() {
        "it has no [[table]] at all".to_owned()
    } else {
        let more = if names.len() > LISTED { ", ..." } else { "" };
        format!("there are {}{more}", names.into_iter().take(LISTED).collect::<Vec<_>>().join(", "))
    };
    Err(Trouble::new(EX_CONFIG, format!("no [[table]] of the configuration has the name `{}`; {}", shown(table), shown(&hint))))
}

/// Asks the routers; the table must be [`declared`].
pub fn find(site: &Site, table: &str, key: &str) -> Result<Finding, Trouble> {
    let mut finding =
        Finding { table: table.to_owned(), key: key.to_owned(), found: Some(false), values: Vec::new(), place: None, trouble: None };
    // Such a key is in no table, and may be longer than a question can be.
    if key.len() > LONGEST_KEY {
        return Ok(finding);
    }
    let request = Request::Lookup { table: table.to_owned(), key: key.to_owned() };
    let replies = link::ask(&site.settings.paths.run, &request)?;
    let answer = replies.into_iter().find_map(|reply| if let Reply::Routed(answer) = reply { Some(answer) } else { None });
    match answer.and_then(OfTable::read).ok_or_else(|| Trouble::new(EX_SOFTWARE, "the suite's answer is none of a table"))? {
        OfTable::Found { values, place } => (finding.found, finding.values, finding.place) = (Some(true), values, place),
        OfTable::Absent => {}
        OfTable::Silent(reply) => (finding.found, finding.trouble) = (None, Some(reply.to_string())),
    }
    Ok(finding)
}

pub fn code(finding: &Finding) -> u8 {
    match finding.found {
        Some(true) => 0,
        Some(false) => 1,
        None => EX_TEMPFAIL,
    }
}

/// The values, a line each; `keyed` with the key before them.
pub fn text(finding: &Finding, keyed: bool) -> String {
    let mut lines = String::new();
    for value in &finding.values {
        let key = if keyed { format!("{}: ", shown(&finding.key)) } else { String::new() };
        let _ = writeln!(lines, "{key}{}", shown(value));
    }
    lines
}

pub fn unanswered(finding: &Finding, trouble: &str) -> String {
    format!("table {} has no answer for {} now: {}", shown(&finding.table), shown(&finding.key), shown(trouble))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use envelope::Quad;
    use ipc::routing::Answer;
    use std::path::Path;

    fn site(folder: &Path, tables: &str) -> Site {
        let text = format!("paths.postoffice = {folder:?}\npaths.run = {folder:?}\nidentity.hostname = \"mta.example\"\n{tables}");
        let config = folder.join("zpost.toml");
        std::fs::write(&config, &text).unwrap();
        Site::load(Some(&config)).unwrap()
    }

    const TWO: &str = "[[table]]\nname = \"people\"\nkind = \"inline\"\nentries = { a = \"b\" }\n\
        [[table]]\nname = \"hosts\"\nkind = \"inline\"\nentries = { a = \"b\" }\n";

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let folder = tempfile::tempdir().unwrap();
        let two = site(folder.path(), TWO);
        assert_eq!(declared(&two, "people"), Ok(()));
        let near = declared(&two, "poeple").unwrap_err();
        assert_eq!((near.code, near.text.contains("did you mean `people`?")), (EX_CONFIG, true), "{near:?}");
        let far = declared(&two, "something-else").unwrap_err();
        assert!(far.text.contains("there are people, hosts"), "{far:?}");
        let none = declared(&site(folder.path(), ""), "x").unwrap_err();
        assert!(none.text.contains("no [[table]] at all"), "{none:?}");
    }

    #[test]
    fn each_answer_has_its_form_and_code() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), TWO);
        let value = |text: &str| Quad { channel: "-".into(), host: "-".into(), user: text.into(), attributes: "-".into() };
        let ask = |answer: Answer| {
            let _ = std::fs::remove_file(folder.path().join("control"));
            let _server = link::tests::fake(folder.path(), vec![Reply::Routed(answer)]);
            find(&site, "people", "k\u{1b}").unwrap()
        };
        let there = ask(Answer::Routed { quads: vec![value("one"), value("t\u{7}wo")], steps: vec!["people, entry 1".into()] });
        assert_eq!((code(&there), text(&there, false).as_str()), (0, "one\nt\\u0007wo\n"));
        assert_eq!(text(&there, true), "k\\u001b: one\nk\\u001b: t\\u0007wo\n");
        assert_eq!(there.place.as_deref(), Some("people, entry 1"));
        let refused = |code, status| Answer::Refused { reply: status::Reply::new(code, status, "why".to_owned()), steps: Vec::new() };
        let absent = ask(refused(550, status::Enhanced::permanent(1, 1)));
        assert_eq!((code(&absent), text(&absent, true).as_str()), (1, ""));
        let silent = ask(refused(451, status::Enhanced::transient(3, 0)));
        assert_eq!((code(&silent), silent.found), (75, None));
        assert!(unanswered(&silent, silent.trouble.as_deref().unwrap()).contains("451 4.3.0 why"));
        assert_eq!(code(&find(&site, "people", &"k".repeat(LONGEST_KEY + 1)).unwrap()), 1, "nobody is asked");
    }
}
