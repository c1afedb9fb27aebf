//! `zpost rates`: what the ratetracker counts and remembers.

use crate::link;
use crate::moment::{now_seconds, rfc3339_seconds, span};
use crate::output::{print, print_json, shown, table};
use crate::site::Site;
use crate::trouble::{EX_USAGE, Trouble};
use ipc::control::{RateQuery, RateRow, Reply, Request};
use serde_json::{Value, json};

/// Which counts, and what to do with them.
#[derive(Debug, clap::Args)]
pub struct Rates {
    /// An address, a network such as 192.0.2.0/24, a user, or @domain of senders; for triplets sender or recipient too
    subject: Option<String>,
    /// Only counts of these
    #[arg(long, value_parser = ["address", "network", "user", "domain", "grey", "passed"])]
    kind: Option<String>,
    /// So many rows at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    top: u32,
    /// Forget instead of showing
    #[arg(long, conflicts_with = "top")]
    clear: bool,
    /// With --clear: everything, or everything of the kind
    #[arg(long, requires = "clear", conflicts_with = "subject")]
    all: bool,
}

pub fn run(site: &Site, which: &Rates, json: bool) -> Result<u8, Trouble> {
    let query = RateQuery { subject: which.subject.clone(), kind: which.kind.clone(), most: which.top };
    if which.clear {
        if which.subject.is_none() && !which.all {
            return Err(Trouble::new(EX_USAGE, "--clear needs a subject, or --all"));
        }
        let line = link::order(&site.settings.paths.run, &Request::ClearRates(query))?;
        print(format!("{line}\n"))?;
        return Ok(0);
    }
    let replies = link::ask(&site.settings.paths.run, &Request::Rates(query))?;
    let rows: Vec<RateRow> = replies.into_iter().filter_map(|reply| if let Reply::Rate(row) = reply { Some(row) } else { None }).collect();
    if json {
        print_json(&rows.iter().map(document).collect::<Vec<_>>())?;
    } else {
        print(text(&rows, now_seconds()))?;
    }
    Ok(0)
}

fn text(rows: &[RateRow], now: u64) -> String {
    if rows.is_empty() {
        return "nothing is counted\n".to_owned();
    }
    let heading = ["KIND", "SUBJECT", "CONN", "MSGS", "RCPTS", "AUTHF", "ABORTS", "EXCESS", "LAST", "STATE"].map(str::to_owned).to_vec();
    let count = |n: u64| if n == 0 { "-".to_owned() } else { n.to_string() };
    let line = |row: &RateRow| {
        let last = if row.last == 0 { "-".to_owned() } else { span(now.saturating_sub(row.last)) };
        let counts = [row.connections, row.messages, row.recipients, row.failed_authentications, row.aborts, row.excesses].map(count);
        [vec![row.kind.clone(), shown(&row.subject)], counts.to_vec(), vec![last, row.state.clone()]].concat()
    };
    table(&std::iter::once(heading).chain(rows.iter().map(line)).collect::<Vec<_>>())
}

/// Fields as the rows have them; `last` is `null` where it is not known, `state` where there is none.
fn document(row: &RateRow) -> Value {
    json!({
        "kind": row.kind,
        "subject": row.subject,
        "connections": row.connections,
        "messages": row.messages,
        "recipients": row.recipients,
        "failed_authentications": row.failed_authentications,
        "aborts": row.aborts,
        "excesses": row.excesses,
        "last": Some(row.last).filter(|last| *last > 0).map(rfc3339_seconds),
        "state": Some(&row.state).filter(|state| !state.is_empty()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::link::tests::fake;

    fn row() -> RateRow {
        RateRow { kind: "user".to_owned(), subject: "joe\u{1b}".to_owned(), messages: 12, excesses: 1, last: 940, ..RateRow::default() }
    }

    #[test]
    fn rows_line_up_and_are_harmless() {
        assert_eq!(
            text(&[row()], 1000),
            "KIND  SUBJECT    CONN  MSGS  RCPTS  AUTHF  ABORTS  EXCESS  LAST  STATE\n\
             user  joe\\u001b  -     12    -      -      -       1       1m\n"
        );
        assert_eq!(text(&[], 0), "nothing is counted\n");
        assert_eq!(document(&row()).get("last").unwrap(), "1970-01-01T00:15:40Z");
        assert_eq!(document(&row()).get("state").unwrap(), &Value::Null);
    }

    #[test]
    fn clearing_everything_has_to_be_said() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        std::fs::create_dir(&site.settings.paths.run).unwrap();
        let which = |all| Rates { subject: None, kind: None, top: 50, clear: true, all };
        assert_eq!(run(&site, &which(false), false).unwrap_err().code, EX_USAGE);
        let server = fake(&site.settings.paths.run, vec![Reply::Done("3 forgotten".to_owned())]);
        assert_eq!(run(&site, &which(true), false), Ok(0));
        assert!(matches!(server.join().unwrap(), Request::ClearRates(query) if query.subject.is_none()));
    }
}
