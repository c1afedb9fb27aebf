//! Where other systems send mail, as values of a table of routes: Postfix's `transport:nexthop`, Sendmail's `mailer:host`.

/// A route of ours, or why there is none.
pub(crate) type Route = Result<String, String>;

/// Postfix transport(5). `smtp`, `relay`: channel smtp; an empty next hop is the recipient's domain.
pub(crate) fn postfix(value: &str) -> Route {
    let (transport, hop) = value.split_once(':').unwrap_or((value, ""));
    match transport {
        "smtp" | "relay" | "esmtp" | "" => Ok(if hop.is_empty() { "smtp!".to_owned() } else { format!("smtp!{}", host(hop)) }),
        "lmtp" => lmtp(hop),
        "local" => Ok("local!".to_owned()),
        "discard" => Ok("discard!-".to_owned()),
        "error" => Ok(format!("error!{}", if hop.is_empty() { "5.1.0 Mail to this address is refused" } else { hop })),
        "retry" => Ok("hold!retry".to_owned()),
        "virtual" => Err("virtual: list the domain in [virtual] mailbox_domains".to_owned()),
        "maildrop" | "procmail" | "cyrus" | "dovecot" | "uucp" | "mailman" | "ifmail" | "bsmtp" | "scalemail-backend" => {
            Err(format!("{transport}: give it a [[pipe]] of this name and let the route say pipe!{transport}"))
        }
        _ => Err(format!("{transport}: no channel is called so; make it a [[pipe]] or an [[agent]]")),
    }
}

/// Sendmail mailertable.
pub(crate) fn sendmail(value: &str) -> Route {
    let (mailer, hop) = value.split_once(':').ok_or_else(|| format!("`{value}` is not MAILER:HOST"))?;
    match mailer.to_ascii_lowercase().as_str() {
        "smtp" | "esmtp" | "smtp8" | "relay" | "dsmtp" => Ok(format!("smtp!{}", host(first_host(hop).0))),
        "lmtp" => lmtp(hop),
        "local" if hop.is_empty() => Ok("local!".to_owned()),
        "local" => Ok(format!("local!-!{hop}")),
        "discard" => Ok("discard!-".to_owned()),
        "error" => Ok(error(hop)),
        other => Err(format!("{other}: no channel is called so; make it a [[pipe]] or an [[agent]]")),
    }
}

/// The first of Sendmail's hosts, and whether there are more: names with colons between, addresses in brackets.
pub(crate) fn first_host(hop: &str) -> (&str, bool) {
    let from = hop.find(']').filter(|_| hop.starts_with('[')).unwrap_or(0);
    let colon = hop.get(from..).and_then(|rest| rest.find(':')).map(|at| from + at);
    colon.and_then(|at| hop.get(..at)).map_or((hop, false), |first| (first, true))
}

/// Sendmail's `error:D.S.N:text` and `error:nouser text`.
pub(crate) fn error(text: &str) -> String {
    let (word, rest) = text.split_once([' ', ':']).map_or((text, ""), |(word, rest)| (word, rest.trim()));
    let code = match word.to_ascii_lowercase().as_str() {
        "nouser" => "5.1.1",
        "nohost" => "5.1.2",
        "unavailable" => "5.3.0",
        "tempfail" => "4.3.0",
        "protocol" | "usage" => "5.5.4",
        _ if word.split('.').count() == 3 && word.starts_with(['4', '5']) => word,
        _ => return format!("error!5.1.0 {text}"),
    };
    let text = rest.trim_matches('"').trim_start_matches(|c: char| c.is_ascii_digit()).trim_matches(['"', ' ']);
    format!("error!{code} {}", if text.is_empty() { "Mail to this address is refused" } else { text })
}

fn lmtp(hop: &str) -> Route {
    match hop.split_once(':') {
        Some(("unix", path)) if path.starts_with('/') => Ok(format!("lmtp!unix:{path}")),
        Some(("unix", path)) => Err(format!("lmtp:unix:{path} is below Postfix's queue folder; write its whole path")),
        Some(("inet", hop)) => Ok(format!("lmtp!{}", host(hop))),
        _ if hop.is_empty() => Err("lmtp without a next hop".to_owned()),
        _ => Ok(format!("lmtp!{}", host(hop))),
    }
}

/// A next hop: `[name]:port`, `name:port`; names of ports become numbers.
pub(crate) fn host(hop: &str) -> String {
    match hop.rsplit_once(':') {
        Some((name, "smtp")) => name.to_owned(),
        Some((name, "submission")) => format!("{name}:587"),
        Some((name, "submissions" | "smtps")) => format!("{name}:465"),
        _ => hop.to_owned(),
    }
}
