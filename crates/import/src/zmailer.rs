//! ZMailer: its databases. router.cf is a program; what it was changed for belongs into a script (zpost-script(5)).

use crate::draft::Draft;
use crate::lines::{domain, logical, pair};
use crate::{Source, tables};

/// One file; `Err`: what kinds there are.
pub(crate) fn file(source: &Source, text: &str, draft: &mut Draft) -> Result<(), &'static str> {
    let path = source.path.as_str();
    match source.word() {
        "aliases" => tables::aliases(path, text, draft),
        "fqdnaliases" => fqdn_aliases(path, text, draft),
        "routes" => {
            let text = tables::routes(path, text, route, draft);
            draft.text_table("routes", "routes", text, &["exact"], ("routing", "routes"));
        }
        "localnames" => localnames(path, text, draft),
        "smtp-policy" | "smtp-policy.relay" | "smtp-policy.spam" => {
            draft.remark(path, 0, format!("compile it as it is: zpost newdb --zmailer /etc/zpost/policy.cdb {path}, then [policy] tables"));
        }
        "userdb" => user_db(path, text, draft),
        _ => return Err("aliases, fqdnaliases, routes, localnames, userdb, smtp-policy"),
    }
    Ok(())
}

/// Channels that ZMailer had and what they are here.
fn route(value: &str) -> Result<String, String> {
    let Some((channel, rest)) = value.split_once('!') else {
        return if value.contains('@') { Ok(value.to_owned()) } else { Err(format!("`{value}` is not channel!host")) };
    };
    match channel {
        "dns" => Ok(format!("smtp!{rest}")),
        "delay" => Ok(format!("delay!{rest}")),
        "smtp" | "error" | "local" | "hold" => Ok(value.to_owned()),
        "bitbucket" | "discard" => Ok("discard!-".to_owned()),
        _ if channel.starts_with("smtp") => Ok(format!("smtp!{rest}")),
        "lotusgw" | "usenet" | "uucp" | "bsmtp3" | "ubsmtp" | "fax" => {
            Err(format!("{channel}: make it a [[pipe]] with channel = \"{channel}\"; the route then stays as it is"))
        }
        _ => Err(format!("{channel}: no channel is called so; make it a [[pipe]] or an [[agent]]")),
    }
}

/// `user@domain: address`, a colon or blanks between.
fn fqdn_aliases(path: &str, text: &str, draft: &mut Draft) {
    let mut out = String::new();
    for (line, text) in logical(text) {
        let (key, value) = text.split_once(": ").or_else(|| text.split_once(":\t")).unwrap_or_else(|| pair(&text));
        if value.contains('|') || value.trim().starts_with('/') {
            draft.remark(path, line, format!("{key}: programs and files stand in alias files"));
            continue;
        }
        let digit = |(_, rest): (&str, &str)| rest.starts_with(|c: char| c.is_ascii_digit());
        if value.split_once('%').is_some_and(digit) {
            let text = "its per cent sign stays one; where the relation was declared with -% write it once in the new file";
            draft.remark(path, line, format!("{}: {text}", key.trim_end_matches(':')));
        }
        out.push_str(&format!("{} {}\n", key.trim_end_matches(':'), value.trim().replace('%', "%%")));
    }
    draft.text_table("fqdnaliases", "fqdnaliases", out, &["exact", "without_detail", "@domain"], ("routing", "fqdn_aliases"));
}

/// `name canonical`: both are here, and mail to the one is mail to the other.
fn localnames(path: &str, text: &str, draft: &mut Draft) {
    for (line, text) in logical(text) {
        let word = pair(&text).0;
        match domain(word) {
            Some(domain) => draft.add("local", "domains", domain),
            None => draft.remark(path, line, format!("`{word}` is no domain")),
        }
    }
}

/// `user:mailname address` and `@domain:mailname`, for header fields.
fn user_db(path: &str, text: &str, draft: &mut Draft) {
    let mut out = String::new();
    for (line, text) in logical(text) {
        let (key, value) = pair(&text);
        match key.strip_suffix(":mailname") {
            Some(user) => out.push_str(&format!("{user} {}\n", value.replace('%', "%%"))),
            None => draft.remark(path, line, format!("{key}: only mailname is known of userdb")),
        }
    }
    draft.file("userdb", out, false);
    draft.remark(path, 0, "the new file userdb is for [headers] canonical; declare it as a [[table]] of kind text");
}
