//! `zpost lookup TABLE KEY`.

use crate::link;
use crate::output::{print, print_json, shown};
use crate::site::Site;
use crate::trouble::{EX_CONFIG, EX_SOFTWARE, EX_TEMPFAIL, Trouble};
use ipc::control::{Reply, Request};
use ipc::routing::Answer;
use serde_json::json;
use std::fmt::Write as _;

/// Prints the values, a line each. 0: it is there; 1: it is not; 75: the table gives no answer now.
pub fn run(site: &Site, table: &str, key: &str, json: bool) -> Result<u8, Trouble> {
    if !site.settings.tables.iter().any(|declared| declared.name == table) {
        return Err(Trouble::new(EX_CONFIG, format!("there is no [[table]] with name `{}` in the configuration", shown(table))));
    }
    let request = Request::Lookup { table: table.to_owned(), key: key.to_owned() };
    let replies = link::ask(&site.settings.paths.run, &request)?;
    let answer = replies.into_iter().find_map(|reply| if let Reply::Routed(answer) = reply { Some(answer) } else { None });
    let answer = answer.ok_or_else(|| Trouble::new(EX_SOFTWARE, "the suite's answer is none of a table"))?;
    let (values, steps) = match answer {
        Answer::Routed { quads, steps } => (quads.into_iter().map(|quad| quad.user).collect(), steps),
        Answer::Refused { reply, steps } if reply.code >= 500 => (Vec::<String>::new(), steps),
        Answer::Refused { reply, .. } => {
            return Err(Trouble::new(EX_TEMPFAIL, format!("table {}: {}", shown(table), shown(&reply.to_string()))));
        }
        Answer::Kinship(_) => return Err(Trouble::new(EX_SOFTWARE, "the suite's answer is none of a table")),
    };
    if json {
        print_json(&json!({ "table": table, "key": key, "found": !values.is_empty(), "values": values, "place": steps.first() }))?;
    } else {
        let mut lines = String::new();
        for value in &values {
            let _ = writeln!(lines, "{}", shown(value));
        }
        print(lines)?;
    }
    Ok(u8::from(values.is_empty()))
}
