//! `zpost retry`, `hold`, `release`, `reroute`, `expire`, `delete`.

use super::Selected;
use super::queue::counted;
use crate::link::{connect_to, not_running};
use crate::offline;
use crate::output::{print, print_json, shown};
use crate::selection::Filters;
use crate::site::Site;
use crate::trouble::{EX_NOINPUT, EX_USAGE, Trouble};
use ipc::control::{Action, Reply, Request, Selection};
use serde_json::json;
use spool::{Place, Spool, Volumes};

/// What was (or would be) touched.
#[derive(Debug, Default, PartialEq, Eq)]
struct Touched {
    /// Message and how many of its recipients.
    messages: Vec<(String, u32)>,
    line: String,
}

/// A message out of the queue's reach: its folder and its name there.
type Aside<'v> = (&'v Spool, Place, String);

pub fn run(site: &Site, action: Action, selected: &Selected, json: bool) -> Result<u8, Trouble> {
    refuse_nothing(selected)?;
    let reaches = matches!(action, Action::Retry | Action::Release | Action::Reroute | Action::Delete);
    // Who may not look there may still command the scheduler.
    let volumes = if reaches && !selected.ids.is_empty() { offline::open(&site.settings).ok() } else { None };
    let (ids, names) = aside(volumes.as_ref(), &selected.ids);
    let mut touched = Touched::default();
    if names.is_empty() || !ids.is_empty() {
        let selection = selected.filters.selection(&ids)?;
        touched = ask(site, action, selection, selected.dry_run)?;
    }
    for (spool, place, name) in names {
        touch_aside(spool, action, place, &name, selected.dry_run)?;
        touched.messages.push((name, 0));
    }
    report(action, &touched, selected.dry_run, json)?;
    missing(&selected.ids, &touched)
}

/// As ETRN: what is deferred for a domain goes now, and what waits to be asked for.
pub fn etrn(site: &Site, node: &str, json: bool) -> Result<u8, Trouble> {
    let domain = |domain: String| Selection { domain: Some(domain), ..Selection::default() };
    let normal = |name: &str| address::normalise(name).map_err(|_| Trouble::new(EX_USAGE, format!("`{}` is no domain", shown(name))));
    let selections = match (node.strip_prefix('@'), node.strip_prefix('#')) {
        (Some(name), _) => vec![domain(normal(name)?), domain(format!(".{}", normal(name)?))],
        (_, Some(host)) => vec![Selection { host: Some(host.to_owned()), ..Selection::default() }],
        _ => vec![domain(normal(node)?)],
    };
    let mut touched = Touched::default();
    for selection in selections {
        touched.messages.extend(ask(site, Action::Retry, selection, false)?.messages);
    }
    report(Action::Retry, &touched, false, json).map(|()| 0)
}

/// A slip must not touch everything.
fn refuse_nothing(selected: &Selected) -> Result<(), Trouble> {
    let Filters { sender, recipient, domain, channel, host, state, older } = &selected.filters;
    let filtered = [sender, recipient, domain, channel, host, state].iter().any(|f| f.is_some()) || older.is_some();
    if selected.ids.is_empty() && !filtered && !selected.all {
        return Err(Trouble::new(EX_USAGE, "nothing is selected: give message ids or filters, or --all for the whole queue"));
    }
    if selected.all && !selected.ids.is_empty() {
        return Err(Trouble::new(EX_USAGE, "--all and message ids contradict each other"));
    }
    Ok(())
}

/// Splits names into those of the queue and those set aside in `deferred/` or `freezer/`, which only retry, release,
/// reroute and delete reach.
fn aside<'v>(volumes: Option<&'v Volumes>, names: &[String]) -> (Vec<String>, Vec<Aside<'v>>) {
    let (mut ids, mut found) = (Vec::new(), Vec::new());
    for name in names {
        match volumes.and_then(|volumes| offline::find_name(volumes, name, &[Place::Deferred, Place::Freezer])) {
            Some((spool, place)) => found.push((spool, place, name.clone())),
            None => ids.push(name.clone()),
        }
    }
    (ids, found)
}

fn touch_aside(spool: &Spool, action: Action, place: Place, name: &str, dry_run: bool) -> Result<(), Trouble> {
    let done = match action {
        _ if dry_run => Ok(()),
        Action::Delete => spool.discard(place, name),
        _ => spool.resubmit(place, name),
    };
    done.map_err(|e| Trouble::io(format!("{}/{}", place.name(), shown(name)), &e))
}

fn ask(site: &Site, action: Action, selection: Selection, dry_run: bool) -> Result<Touched, Trouble> {
    let mut touched = Touched::default();
    let link = connect_to(&site.settings.paths.run)?.ok_or_else(not_running)?;
    link.ask(&Request::Change { action, selection, dry_run }, |reply| match reply {
        Reply::Touched { id, recipients } => touched.messages.push((id, recipients)),
        Reply::Done(line) => touched.line = line,
        _ => {}
    })?;
    Ok(touched)
}

fn report(action: Action, touched: &Touched, dry_run: bool, json: bool) -> Result<(), Trouble> {
    if json {
        let messages: Vec<_> = touched.messages.iter().map(|(id, n)| json!({ "id": id, "recipients": n })).collect();
        return print_json(&json!({ "action": word(action), "dry_run": dry_run, "messages": messages }));
    }
    let mut out = String::new();
    for (id, recipients) in &touched.messages {
        out.push_str(&format!("{}  {}\n", shown(id), counted(*recipients, "recipient")));
    }
    let would = if dry_run { "would be: " } else { "" };
    out.push_str(&format!("-- {would}{} {}\n", word(action), counted(touched.messages.len(), "message")));
    if !touched.line.is_empty() {
        out.push_str(&format!("{}\n", shown(&touched.line)));
    }
    print(out)
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Retry => "retry",
        Action::Hold => "hold",
        Action::Release => "release",
        Action::Expire => "expire",
        Action::Delete => "delete",
        Action::Reroute => "reroute",
    }
}

/// Ids that nothing was known of are the caller's mistake.
fn missing(ids: &[String], touched: &Touched) -> Result<u8, Trouble> {
    let unknown: Vec<String> = ids.iter().filter(|id| !touched.messages.iter().any(|(t, _)| t == *id)).map(|id| shown(id)).collect();
    if unknown.is_empty() {
        return Ok(0);
    }
    Err(Trouble::new(EX_NOINPUT, format!("not in the queue, or nothing to do for it: {}; see `zpost trace ID`", unknown.join(" "))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::link::tests::fake;

    fn selected(ids: &[&str], all: bool) -> Selected {
        Selected { ids: ids.iter().map(|s| (*s).to_owned()).collect(), filters: Filters::default(), all, dry_run: true }
    }

    #[test]
    fn an_empty_selection_touches_nothing() {
        assert_eq!(refuse_nothing(&selected(&[], false)).unwrap_err().code, EX_USAGE);
        assert_eq!(refuse_nothing(&selected(&["a"], true)).unwrap_err().code, EX_USAGE);
        assert!(refuse_nothing(&selected(&[], true)).is_ok());
        assert!(refuse_nothing(&selected(&["a"], false)).is_ok());
    }

    #[test]
    fn asks_the_scheduler_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let site = crate::site::tests::scratch(folder.path());
        std::fs::create_dir(&site.settings.paths.run).unwrap();
        let (known, unknown) = ("0123456789abcdef", "0123456789abcdeg");
        let replies = vec![Reply::Touched { id: known.to_owned(), recipients: 2 }, Reply::End];
        let server = fake(&site.settings.paths.run, replies);
        let trouble = run(&site, Action::Hold, &selected(&[known, unknown], false), true).unwrap_err();
        assert_eq!(trouble.code, EX_NOINPUT);
        assert!(trouble.text.contains(unknown) && !trouble.text.contains(known));
        let Request::Change { action, selection, dry_run } = server.join().unwrap() else { panic!() };
        assert_eq!((action, selection.ids.len(), dry_run), (Action::Hold, 2, true));
    }
}
