//! Postfix: main.cf, and the tables that it names.

mod hosts;
mod parameters;
mod routing;
mod serving;

use crate::draft::Draft;
use crate::lines::logical;
use crate::maps::{PLAIN, Rewrite};
use crate::{Reader, Source, tables, transport};
use parameters::Main;
use std::collections::HashMap;

/// Forms in which addresses are looked up there.
const ADDRESS: &[&str] = &["exact", "without_detail", "@domain"];
/// Routes are asked for suffixes and the rest by the router itself, with the sender between.
const ROUTE: &[&str] = &["exact"];

const VIRTUAL: Rewrite = Rewrite { text: tables::virtual_aliases, ..PLAIN };
const DOMAINS: Rewrite = Rewrite { text: tables::with_subdomains, ..PLAIN };
const TRANSPORT: Rewrite =
    Rewrite { text: |file, text, draft| tables::routes(file, text, transport::postfix, draft), value: transport::postfix };

/// One file; `Err`: what kinds there are.
pub(crate) fn file(source: &Source, text: &str, draft: &mut Draft, reader: &Reader<'_>) -> Result<(), &'static str> {
    let path = source.path.as_str();
    match source.word() {
        "main" | "main.cf" => main_cf(path, text, draft, reader),
        "aliases" => tables::aliases(path, text, draft),
        "virtual" => {
            let text = tables::virtual_aliases(path, text, draft);
            draft.text_table(&crate::maps::file_name(path), "virtual", text, ADDRESS, ("virtual", "aliases"));
        }
        "transport" => {
            let text = tables::routes(path, text, transport::postfix, draft);
            draft.text_table(&crate::maps::file_name(path), "transport", text, ROUTE, ("routing", "routes"));
        }
        "canonical" | "recipient_canonical" => {
            let text = tables::plain(path, text, draft);
            draft.text_table(&crate::maps::file_name(path), "canonical", text, ADDRESS, ("routing", "canonical"));
        }
        "sender_canonical" => {
            let text = tables::plain(path, text, draft);
            draft.text_table(&crate::maps::file_name(path), "sender-canonical", text, ADDRESS, ("routing", "sender_canonical"));
        }
        "relay" | "relay_domains" => tables::domains_with_subdomains(path, text, "relay", "domains", draft),
        "master.cf" => draft.remark(
            path,
            0,
            "services are not carried over: write a [[listener]] for each port that clients use, and a [[pipe]] for each program",
        ),
        "localnames" | "mydestination" => tables::domains(path, text, "local", "domains", draft),
        _ => return Err("main.cf, aliases, virtual, transport, canonical, sender_canonical, relay, localnames"),
    }
    Ok(())
}

/// Nothing is lost with these.
const HARMLESS: &[&str] = &[
    "compatibility_level",
    "mail_owner",
    "setgid_group",
    "biff",
    "append_dot_mydomain",
    "inet_protocols",
    "smtp_tls_CApath",
    "smtp_tls_CAfile",
];

fn main_cf(path: &str, text: &str, draft: &mut Draft, reader: &Reader<'_>) {
    let mut main = Main { path, values: HashMap::new(), used: Vec::new() };
    for (line, text) in logical(text) {
        match text.split_once('=') {
            Some((name, value)) => drop(main.values.insert(name.trim().to_owned(), (line, value.trim().to_owned()))),
            None => draft.remark(path, line, "not NAME = VALUE"),
        }
    }
    hosts::identity(&mut main, draft);
    hosts::domains(&mut main, draft, reader);
    routing::routing(&mut main, draft, reader);
    serving::delivery(&mut main, draft);
    serving::serving(&mut main, draft);
    let harmless = |name: &str| HARMLESS.contains(&name) || name.ends_with("_database") || name.ends_with("_directory");
    let mut left: Vec<(usize, &String)> =
        main.values.iter().filter(|(name, _)| !main.used.contains(name)).map(|(name, (line, _))| (*line, name)).collect();
    left.sort();
    for (line, name) in left.into_iter().filter(|(_, name)| !harmless(name)) {
        draft.remark(path, line, format!("{name} is not carried over"));
    }
}
