//! Other spellings of addresses for mail that leaves: canonical tables, masquerading, generic tables (`[headers]`).

use crate::tables::Tables;
use address::Address;
use lookup::TableError;
use settings::Headers;
use std::collections::HashMap;

/// Spellings looked up for one message at most; what a header has beyond stays as it is.
const MOST: usize = 2_000;

/// How far mail goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing is spelled anew.
    Here,
    /// A channel of `[headers] channels`.
    Away,
    /// And channel smtp, for which generic tables are.
    Outside,
}

/// The rules, and what they have given for the message in hand.
#[derive(Debug, Default)]
pub struct Spelling {
    known: HashMap<(String, Reach), Option<String>>,
}

impl Spelling {
    /// How far mail goes that leaves by a channel.
    pub fn reach(headers: &Headers, channel: &str) -> Reach {
        let away = !(headers.canonical.is_empty() && headers.masquerade.is_empty());
        match channel {
            "error" | "hold" | "discard" => Reach::Here,
            "smtp" if !headers.generic.is_empty() => Reach::Outside,
            channel if away && headers.channels.iter().any(|name| name == channel) => Reach::Away,
            _ => Reach::Here,
        }
    }

    /// What stands instead of an address; `None`: itself.
    pub fn spell(&mut self, address: &str, reach: Reach, headers: &Headers, tables: &mut dyn Tables) -> Result<Option<String>, TableError> {
        let key = (address.to_lowercase(), reach);
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        if self.known.len() >= MOST {
            return Ok(None);
        }
        let spelled = spell(address, reach, headers, tables)?;
        self.known.insert(key, spelled.clone());
        Ok(spelled)
    }

    /// As [`Spelling::spell`], for the envelope's sender.
    pub fn sender(
        &self,
        sender: &Address,
        reach: Reach,
        headers: &Headers,
        tables: &mut dyn Tables,
    ) -> Result<Option<Address>, TableError> {
        let kept = Headers { masquerade: Vec::new(), ..headers.clone() };
        let headers = if headers.masquerade_sender { headers } else { &kept };
        let spelled = spell(sender.as_str(), reach, headers, tables)?;
        Ok(spelled.and_then(|text| Address::parse(&text).ok()))
    }
}

fn spell(address: &str, reach: Reach, headers: &Headers, tables: &mut dyn Tables) -> Result<Option<String>, TableError> {
    if reach == Reach::Here {
        return Ok(None);
    }
    let mut text = address.to_owned();
    // With generic tables alone, smtp need not be among the channels.
    if reach == Reach::Away || headers.channels.iter().any(|name| name == "smtp") {
        if let Some(found) = by_tables(&text, &headers.canonical, tables)? {
            text = found;
        }
        if let Some(masked) = masquerade(&text, headers) {
            text = masked;
        }
    }
    if reach == Reach::Outside
        && let Some(found) = by_tables(&text, &headers.generic, tables)?
    {
        text = found;
    }
    Ok((text != address).then_some(text))
}

fn by_tables(address: &str, names: &[String], tables: &mut dyn Tables) -> Result<Option<String>, TableError> {
    let key = address.to_lowercase();
    for name in names {
        let Some(found) = tables.find(name, &key)? else { continue };
        let value = found.values.first().map(String::as_str).unwrap_or_default();
        return Ok(as_address(value, address).or_else(|| {
            daemon::event!(Warning, "spelling_refused", table = name, key = key, value = value);
            None
        }));
    }
    Ok(None)
}

/// `@domain` keeps the local part and a bare name the domain. What is no address, or not of ASCII, changes nothing: the header
/// may go to hosts that take no other.
fn as_address(value: &str, before: &str) -> Option<String> {
    let (local, domain) = before.rsplit_once('@')?;
    let text = match value.strip_prefix('@') {
        Some(domain) => format!("{local}@{domain}"),
        None if value.contains('@') => value.to_owned(),
        None => format!("{value}@{domain}"),
    };
    let address = Address::parse(&text).ok().filter(|address| address.domain().is_some())?;
    text.is_ascii().then(|| address.to_string())
}

/// `user@host.example.org` as `user@example.org`.
fn masquerade(address: &str, headers: &Headers) -> Option<String> {
    let (local, host) = address.rsplit_once('@')?;
    if headers.masquerade_except.iter().any(|user| user.eq_ignore_ascii_case(local)) {
        return None;
    }
    let host = host.to_lowercase();
    let domain = |domain: &String| domain.trim_start_matches('.') == host;
    if headers.masquerade.iter().any(domain) {
        return None;
    }
    let below = |domain: &&String| host.strip_suffix(domain.trim_start_matches('.')).is_some_and(|rest| rest.ends_with('.'));
    let domain = headers.masquerade.iter().filter(below).max_by_key(|domain| domain.len())?;
    Some(format!("{local}@{}", domain.trim_start_matches('.')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        Headers {
            canonical: Vec::new(),
            masquerade: vec!["b.example".into(), "c.b.example".into()],
            masquerade_except: vec!["root".into()],
            masquerade_sender: true,
            channels: vec!["smtp".into()],
            generic: Vec::new(),
            senders: Vec::new(),
        }
    }

    #[test]
    fn hosts_hide_behind_the_longest_domain() {
        for (address, expected) in [
            ("joe@a.b.example", Some("joe@b.example")),
            ("joe@x.y.B.Example", Some("joe@b.example")),
            ("joe@h.c.b.example", Some("joe@c.b.example")),
            ("joe@b.example", None),
            ("joe@c.b.example", None),
            ("joe@xb.example", None),
            ("Root@a.b.example", None),
            ("\"a b\"@a.b.example", Some("\"a b\"@b.example")),
        ] {
            assert_eq!(masquerade(address, &headers()).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn values_of_tables() {
        for (value, expected) in [
            ("ann@x.example", Some("ann@x.example")),
            ("@x.example", Some("joe@x.example")),
            ("j.doe", Some("j.doe@a.example")),
            ("", None),
            ("a b@x", None),
            ("x@y\r\nBcc: z@z", None),
            ("\u{fc}@x.example", None),
        ] {
            assert_eq!(as_address(value, "joe@a.example").as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn how_far_channels_go() {
        let reach = |headers: &Headers, channel| Spelling::reach(headers, channel);
        assert_eq!(
            (reach(&headers(), "smtp"), reach(&headers(), "local"), reach(&headers(), "error")),
            (Reach::Away, Reach::Here, Reach::Here)
        );
        let generic = Headers { generic: vec!["t".into()], ..headers() };
        assert_eq!((reach(&generic, "smtp"), reach(&generic, "lmtp")), (Reach::Outside, Reach::Here));
        let none = Headers { masquerade: Vec::new(), ..headers() };
        assert_eq!(reach(&none, "smtp"), Reach::Here);
    }
}
