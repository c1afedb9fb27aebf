//! Aliases, virtual domains, canonical names, routes: the parameters that name maps.

use super::parameters::Main;
use super::{ADDRESS, ROUTE, TRANSPORT, VIRTUAL};
use crate::draft::Draft;
use crate::lines::elements;
use crate::maps::{At, PLAIN, Rewrite, declare};
use crate::{Reader, tables, transport};

/// A parameter that names maps.
fn maps(
    main: &mut Main<'_>,
    name: &str,
    keys: &[&str],
    rewrite: Rewrite,
    at: (&'static str, &'static str),
    draft: &mut Draft,
    reader: &Reader<'_>,
) {
    let Some((line, value)) = main.get(name) else { return };
    let references: Vec<&str> = if value.contains('{') { vec![value.as_str()] } else { elements(&value).collect() };
    for reference in references {
        let short = name.trim_end_matches("_maps").replace('_', "-");
        if let Some(table) = declare(reference, &short, keys, rewrite, At { file: main.path, line }, draft, reader) {
            draft.add(at.0, at.1, table);
        }
        if name == "transport_maps" && ["regexp:", "pcre:"].iter().any(|kind| reference.trim_start_matches("proxy:").starts_with(kind)) {
            let text = format!("{reference}: its patterns are matched with whole addresses there, and with domains here: look at each");
            draft.remark(main.path, line, text);
        }
    }
}

pub(super) fn routing(main: &mut Main<'_>, draft: &mut Draft, reader: &Reader<'_>) {
    if !main.has("alias_maps") {
        draft.remark(main.path, 0, "alias_maps is not set: Postfix reads /etc/aliases; give that too where it is wanted");
    }
    if let Some((line, value)) = main.get("alias_maps") {
        main.used.push("alias_database".to_owned());
        for reference in elements(&value) {
            match reference.split_once(':') {
                Some(("hash" | "lmdb" | "btree" | "cdb" | "dbm" | "texthash", path)) => match reader(path) {
                    Ok(text) => tables::aliases(path, &text, draft),
                    Err(reason) => draft.remark(main.path, line, format!("{path}: {reason}")),
                },
                _ => {
                    let at = At { file: main.path, line };
                    if let Some(table) = declare(reference, "aliases", &["exact"], PLAIN, at, draft, reader) {
                        draft.add("local", "aliases", table);
                    }
                }
            }
        }
    }
    for name in ["virtual_alias_maps", "virtual_maps"] {
        maps(main, name, ADDRESS, VIRTUAL, ("virtual", "aliases"), draft, reader);
    }
    maps(main, "virtual_mailbox_maps", ADDRESS, PLAIN, ("virtual", "mailboxes"), draft, reader);
    maps(main, "transport_maps", ROUTE, TRANSPORT, ("routing", "routes"), draft, reader);
    for name in ["canonical_maps", "recipient_canonical_maps"] {
        maps(main, name, ADDRESS, PLAIN, ("routing", "canonical"), draft, reader);
    }
    for name in ["canonical_maps", "sender_canonical_maps"] {
        maps(main, name, ADDRESS, PLAIN, ("routing", "sender_canonical"), draft, reader);
    }
    maps(main, "sender_dependent_relayhost_maps", &["exact", "@domain"], PLAIN, ("routing", "sender_smart_hosts"), draft, reader);
    if let Some((_, host)) = main.get("relayhost") {
        draft.text("routing", "smart_host", &transport::host(&host));
    }
}
