//! `zpost counters`.

use crate::link;
use crate::output::{print, print_json, table};
use crate::site::Site;
use crate::trouble::Trouble;
use ipc::control::{Reply, Request};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Service, index, name, value.
type Row = (String, u16, String, u64);

pub fn run(site: &Site, prometheus: bool, json: bool) -> Result<u8, Trouble> {
    let replies = link::ask(&site.settings.paths.run, &Request::Counters)?;
    let rows: Vec<Row> = replies.into_iter().flat_map(|r| if let Reply::Counters(rows) = r { rows } else { Vec::new() }).collect();
    if json {
        let all =
            rows.iter().map(|(service, index, name, value)| json!({ "service": service, "process": index, "name": name, "value": value }));
        print_json(&all.collect::<Vec<_>>())?;
    } else if prometheus {
        print(exposition(&rows))?;
    } else {
        let cells = rows.iter().map(|(service, index, name, value)| vec![format!("{service}/{index}"), name.clone(), value.to_string()]);
        print(table(&cells.collect::<Vec<_>>()))?;
    }
    Ok(0)
}

/// The text format of Prometheus. A name that ends in `_now` is a gauge, all others count up.
fn exposition(rows: &[Row]) -> String {
    let mut families: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        families.entry(format!("zpost_{}_{}", row.0.replace('-', "_"), row.2)).or_default().push(row);
    }
    let mut out = String::new();
    for (name, rows) in families {
        let kind = if name.ends_with("_now") { "gauge" } else { "counter" };
        let _ = writeln!(out, "# TYPE {name} {kind}");
        for (_, index, _, value) in rows {
            let _ = writeln!(out, "{name}{{process=\"{index}\"}} {value}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_groups_by_name() {
        let row = |service: &str, index, name: &str, value| (service.to_owned(), index, name.to_owned(), value);
        let rows = [row("ta-smtp", 1, "jobs", 5), row("ta-smtp", 1, "sessions_now", 2), row("ta-smtp", 0, "jobs", 7)];
        assert_eq!(
            exposition(&rows),
            "# TYPE zpost_ta_smtp_jobs counter\n\
             zpost_ta_smtp_jobs{process=\"1\"} 5\n\
             zpost_ta_smtp_jobs{process=\"0\"} 7\n\
             # TYPE zpost_ta_smtp_sessions_now gauge\n\
             zpost_ta_smtp_sessions_now{process=\"1\"} 2\n"
        );
    }
}
