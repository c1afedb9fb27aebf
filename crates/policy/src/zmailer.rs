//! ZMailer's policy sources (`smtp-policy.src`, and the lists its policy-builder merges).
//!
//! A line: a key, then pairs of attribute and value, `= _tag` among them. `message "text"` is about the attribute after
//! it. There a key has no kind: an attribute says what the key is, so one line becomes rules under several kinds of key.
//! zpost-policy(5) has the table.

use crate::source::{SourceFault, file, words};
use crate::table::{Record, Records};
use settings::{Attributes, TAG_DEPTH};
use std::collections::{BTreeMap, HashMap};

/// An attribute with its value, and the message before it.
#[derive(Debug, Clone)]
struct Pair {
    name: String,
    value: String,
    message: Option<String>,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Network,
    Domain,
    Mailbox,
}

/// Reads a source into `records`. `list`: the attributes of every key where lines hold keys only (`localnames`,
/// `smtp-policy.relay`), such as `= _full_rights`.
pub fn read_zmailer(name: &str, text: &str, list: &str, records: &mut Records) -> Vec<SourceFault> {
    let mut faults = Vec::new();
    let mut tags: HashMap<String, Vec<Pair>> = HashMap::new();
    let mut lines = Vec::new();
    let shared = pairs(&words(list).unwrap_or_default()).unwrap_or_default();
    for (line, text) in (1..).zip(text.lines()) {
        let read = words(text).and_then(|words| match words.split_first() {
            None => Ok(None),
            Some((key, rest)) => Ok(Some((key.clone(), pairs(rest)?))),
        });
        match read {
            Ok(None) => {}
            Ok(Some((key, found))) if key.starts_with('_') => drop(tags.entry(key).or_insert(found)),
            Ok(Some((key, mut found))) => {
                found.extend(shared.iter().cloned());
                lines.push((line, key, found));
            }
            Err(text) => faults.push(SourceFault { line, fatal: true, text }),
        }
    }
    for (line, key, found) in lines {
        let mut said = Vec::new();
        let mut unknown = Vec::new();
        flatten(&found, &tags, TAG_DEPTH, &mut said, &mut unknown);
        let fault = |fatal: bool, text: String| SourceFault { line, fatal, text };
        faults.extend(unknown.into_iter().map(|text| fault(true, text)));
        let (rules, doubts) = translate(&key, &said);
        faults.extend(doubts.into_iter().map(|text| fault(false, text)));
        for (key, attributes) in rules {
            let record = Record { place: format!("{name}:{line}"), attributes };
            faults.extend(file(records, &key, record).err().map(|found| fault(found.fatal, format!("{key}: {}", found.text))));
        }
    }
    faults.sort_by_key(|fault| fault.line);
    faults
}

fn pairs(words: &[String]) -> Result<Vec<Pair>, String> {
    let mut found = Vec::new();
    let mut message = None;
    let mut words = words.iter();
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{}` has no value", name.escape_debug()))?;
        if name.eq_ignore_ascii_case("message") {
            message = Some(value.clone());
        } else {
            found.push(Pair { name: name.to_ascii_lowercase(), value: value.clone(), message: message.take() });
        }
    }
    Ok(found)
}

/// The first word about an attribute counts; tags come after what a line says itself.
fn flatten(pairs: &[Pair], tags: &HashMap<String, Vec<Pair>>, depth: usize, said: &mut Vec<Pair>, unknown: &mut Vec<String>) {
    for pair in pairs.iter().filter(|pair| pair.name != "=") {
        if !said.iter().any(|known| known.name == pair.name) {
            said.push(pair.clone());
        }
    }
    for pair in pairs.iter().filter(|pair| pair.name == "=") {
        match tags.get(&pair.value) {
            None => unknown.push(format!("no line `{}`", pair.value.escape_debug())),
            Some(_) if depth == 0 => unknown.push(format!("`{}` is more than {TAG_DEPTH} tags deep", pair.value.escape_debug())),
            Some(set) => flatten(set, tags, depth - 1, said, unknown),
        }
    }
}

/// The rules of one line, by key with its kind, and what is not taken over.
fn translate(key: &str, said: &[Pair]) -> (BTreeMap<String, Attributes>, Vec<String>) {
    let shape = match key {
        _ if key.starts_with('[') => Shape::Network,
        _ if key.contains('@') => Shape::Mailbox,
        _ => Shape::Domain,
    };
    let mut rules: BTreeMap<String, Attributes> = BTreeMap::new();
    let mut doubts = Vec::new();
    for pair in said {
        match place(pair, shape) {
            Ok(places) => {
                for (kind, name, text) in places {
                    for key in keys(kind, shape, key) {
                        let attributes = rules.entry(key).or_default();
                        if let Err(fault) = attributes.set_text(name, &text) {
                            doubts.push(format!("{}: {fault}", pair.name));
                        }
                        if let (Some(message), None) = (&pair.message, &attributes.message) {
                            attributes.message = Some(message.clone());
                        }
                    }
                }
            }
            Err(text) => doubts.push(format!("{}: {text}", pair.name.escape_debug())),
        }
    }
    rules.retain(|_, attributes| *attributes != Attributes::default());
    (rules, doubts)
}

/// A `.domain` of ZMailer's is the domain itself too.
fn keys(kind: &str, shape: Shape, key: &str) -> Vec<String> {
    match shape {
        Shape::Network => {
            // [10.0.0.0]/8 and [10.0.0.0/8] both occur; bits after the prefix are nothing.
            let bare: String = key.chars().filter(|c| !matches!(c, '[' | ']')).collect();
            let bare = bare.strip_prefix("IPv6:").or_else(|| bare.strip_prefix("ipv6:")).map(str::to_owned).unwrap_or(bare);
            vec![format!("{kind}:{}", masked(&bare).unwrap_or(bare))]
        }
        Shape::Domain => match key.strip_prefix('.') {
            Some(name) if !name.is_empty() => vec![format!("{kind}:{key}"), format!("{kind}:{name}")],
            _ => vec![format!("{kind}:{key}")],
        },
        Shape::Mailbox => vec![format!("{kind}:{key}")],
    }
}

fn masked(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix) = (address.parse::<std::net::IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
    Some(format!("{}/{prefix}", crate::networks::first(address, prefix)))
}

/// Kind of key, attribute and text of what a pair means here.
type Places = Vec<(&'static str, &'static str, String)>;

fn place(pair: &Pair, shape: Shape) -> Result<Places, String> {
    let Pair { name, value, message } = pair;
    let yes = value == "+";
    if !yes
        && value != "-"
        && matches!(name.as_str(), "rejectnet" | "rejectsource" | "freezenet" | "freezesource" | "freeze" | "relaytarget")
    {
        return Err(format!("`{}` is neither + nor -", value.escape_debug()));
    }
    let client: &[&'static str] = if shape == Shape::Network { &["client"] } else { &["name"] };
    let client_and_helo: &[&'static str] = if shape == Shape::Network { &["client"] } else { &["name", "helo"] };
    let all = |kinds: &[&'static str], attribute: &'static str, text: &str| -> Result<Places, String> {
        Ok(kinds.iter().map(|kind| (*kind, attribute, text.to_owned())).collect())
    };
    let text = message.clone().unwrap_or_else(|| "access denied".to_owned());
    let nothing = Ok(Vec::new());
    match name.as_str() {
        "rejectnet" if yes => all(client_and_helo, "refuse", &text),
        "freezenet" if yes => all(client_and_helo, "freeze", "true"),
        "rejectsource" if yes => all(&["sender"], "refuse", &text),
        "freezesource" if yes => all(&["sender"], "freeze", "true"),
        "rejectnet" | "freezenet" | "rejectsource" | "freezesource" => nothing,
        "freeze" | "acceptbutfreeze" => all(&["recipient"], "freeze", &yes.to_string()),
        "relaycustnet" => all(client, "relay", &yes.to_string()),
        "relaytarget" => all(&["recipient"], "relay", &yes.to_string()),
        "relaycustomer" if yes => {
            Err("left out: a sender that anybody can write would open the relay; use relay by client, name or user".to_owned())
        }
        "relaycustomer" => nothing,
        "sendernorelay" => all(&["sender"], "relay", "false"),
        "acceptifmx" => all(client, "relay_if_mx", if yes { "defer" } else { "refuse" }),
        "acceptifdns" => Err("left out: it relays to every domain there is".to_owned()),
        "senderokwithdns" => all(&["client", "name", "sender"].map(|kind| kind), "check_sender_domain", "true")
            .map(|places| places.into_iter().filter(|(kind, ..)| shape.takes(kind)).collect()),
        "test-dns-rbl" | "test-rcpt-dns-rbl" | "warn-rcpt-dns-rbl" => all(client, "dns_lists", &zones(value)),
        "rcpt-dns-rbl" => all(&["recipient"], "dns_lists", &zones(value)),
        "maxinsize" => all(&["recipient"], "max_size", value),
        "maxoutsize" => {
            let kinds: &[&'static str] = if shape == Shape::Network { &["client"] } else { &["sender"] };
            all(kinds, "max_size", value)
        }
        "maxsameipsource" => Err("left out: [connections] per_address and per_network say it".to_owned()),
        "ratelimitmsgs" => limits(value, client),
        "fulltrustnet" if yes => all(client, "trust", "true"),
        "trustrecipients" if yes => all(client, "trust_recipients", "true"),
        "fulltrustnet" | "trustrecipients" => nothing,
        "filtering" => all(client_and_helo, "filter", &yes.to_string()),
        "spf" if yes => all(client, "spf", "fail:refuse"),
        "spf" => all(client, "spf", "fail:accept"),
        "localdomain" => Err("left out: [local] domains says it".to_owned()),
        "trust-whoson" => Err("left out: there is no whoson; clients log in".to_owned()),
        _ => Err("no attribute of ZMailer's".to_owned()),
    }
}

impl Shape {
    fn takes(self, kind: &str) -> bool {
        match self {
            Self::Network => kind == "client",
            Self::Domain => kind == "name" || kind == "sender",
            Self::Mailbox => kind == "sender",
        }
    }
}

/// Zones with colons or commas between; `+` and `*` are all of them, `-` none.
fn zones(value: &str) -> String {
    match value {
        "+" | "*" => "all".to_owned(),
        "-" => "none".to_owned(),
        zones => zones.replace(':', ",").to_lowercase(),
    }
}

/// `messages[,recipients]`; a negative one is refused for good.
fn limits(value: &str, client: &[&'static str]) -> Result<Places, String> {
    let mut numbers =
        value.split(',').map(|word| word.trim().parse::<i32>().map_err(|_| format!("`{}` is no number", word.escape_debug())));
    let messages = numbers.next().unwrap_or_else(|| Err("a number is wanted".to_owned()))?;
    let recipients = numbers.next().transpose()?;
    let mut places = Vec::new();
    for kind in client {
        places.push((*kind, "max_messages", messages.unsigned_abs().to_string()));
        if let Some(recipients) = recipients {
            places.push((*kind, "max_recipients", recipients.unsigned_abs().to_string()));
        }
        if messages < 0 || recipients.is_some_and(|recipients| recipients < 0) {
            places.push((*kind, "hard_limits", "true".to_owned()));
        }
    }
    Ok(places)
}
