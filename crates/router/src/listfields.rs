//! The fields of mailing lists: List-Id (RFC 2919), List-Post and List-Owner (RFC 2369).

use address::Path;
use message::{Change, fields, phrase};

/// Fields of another list that the mail has come through: it is ours now.
const THEIRS: [&str; 3] = ["List-Id", "List-Post", "List-Owner"];

/// What a list changes in a header. `list`: its address, `name@domain`, or with a description before, `The list <name@domain>`.
pub fn list_changes(header: &[u8], list: &str, owner: Option<&Path>) -> Vec<Change> {
    let (description, address) = match list.strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((description, address)) => (phrase(description.trim()), address),
        None => (None, list),
    };
    let Some((name, domain)) = address.rsplit_once('@') else { return Vec::new() };
    let mut text = String::from("List-Id: ");
    text.extend(description.map(|description| description + " "));
    text.push_str(&format!("<{name}.{domain}>\nList-Post: <mailto:{}>\n", mailto(address)));
    if let Some(owner) = owner.and_then(Path::address) {
        text.push_str(&format!("List-Owner: <mailto:{}>\n", mailto(owner.as_str())));
    }
    let mut changes: Vec<Change> = vec![(place_of_fields(header), text.into_bytes())];
    let theirs = |field: &message::Field<'_>| THEIRS.iter().any(|name| field.is(name));
    changes.extend(fields(header).filter(theirs).map(|field| (field.range, Vec::new())));
    changes
}

/// Where fields are added: before the first, behind the lines of an mbox.
pub fn place_of_fields(header: &[u8]) -> std::ops::Range<usize> {
    let mut all = fields(header);
    let place = all.next().map_or(all.offset(), |field| field.range.start);
    place..place
}

/// What a URL cannot hold as `%XX` (RFC 6068 section 2).
fn mailto(address: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~@+=!$'*".contains(&b);
    address.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_list() {
        let owner = Path::Mailbox(address::Address::parse("l-owner@d.example").unwrap());
        let header = b"From x\nSubject: s\nList-ID: <other>\n more\nTo: l\n\n";
        let changes = list_changes(header, "The B <l@d.example>", Some(&owner));
        let text = "List-Id: The B <l.d.example>\nList-Post: <mailto:l@d.example>\nList-Owner: <mailto:l-owner@d.example>\n";
        assert_eq!(changes, [(7..7, text.as_bytes().to_vec()), (18..41, Vec::new())]);
        let changes = list_changes(b"\nbody", "a/b@d.example", None);
        assert_eq!(changes, [(0..0, b"List-Id: <a/b.d.example>\nList-Post: <mailto:a%2Fb@d.example>\n".to_vec())]);
        assert!(list_changes(b"", "nothing", None).is_empty());
    }
}
