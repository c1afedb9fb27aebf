//! DNS lists (RFC 5782).

use crate::answers::{Search, reverse_labels};
use crate::records::{Kind, Records};
use ipc::dns::{ListSubject, Listed, Trouble};
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of a list's text: it becomes part of a reply line.
const MOST_TEXT: usize = 300;
/// Codes of an entry at most.
const MOST_CODES: usize = 20;

/// What a list says; that it says nothing is an answer, and cached like any absence.
pub async fn list(search: &Search<'_>, zone: &str, subject: &ListSubject) -> Result<Listed, Trouble> {
    let entry = entry(zone, subject)?;
    let addresses = match search.find(&entry, Kind::A).await.0 {
        Ok(Records::Addresses(addresses)) => addresses,
        Ok(_) | Err(Trouble::NoSuchName | Trouble::NoRecords) => return Ok(Listed::default()),
        Err(trouble) => return Err(trouble),
    };
    let (codes, others) = codes(&addresses);
    if let Some(other) = others.first() {
        // A zone that answers so for one name often does for all: an abandoned list, or a resolver that invents answers.
        if search.lookups.first_complaint(zone) {
            daemon::event!(Warning, "list_answer_ignored", zone = zone, answer = other, next = "counted as not listed; said once");
        }
    }
    if let Some(code) = codes.iter().find(|code| is_refusal(**code)) {
        if search.lookups.first_complaint(zone) {
            daemon::event!(Warning, "list_refuses", zone = zone, answer = code, next = "said once; ask by own name servers");
        }
        return Err(Trouble::Temporary(format!("{zone} refuses to answer")));
    }
    let text = if codes.is_empty() { String::new() } else { text(search, &entry).await };
    Ok(Listed { codes, text })
}

/// Section 2.1 and 2.4 (addresses), 2.2 (domains).
fn entry(zone: &str, subject: &ListSubject) -> Result<String, Trouble> {
    let zone = crate::answers::name(zone)?;
    let head = match subject {
        ListSubject::Address(address) => reverse_labels(*address),
        ListSubject::Domain(domain) => crate::answers::name(domain)?,
    };
    crate::answers::name(&format!("{head}.{zone}"))
}

/// Codes, and answers that are none: outside 127.0.0.0/8 an answer means that somebody else answers than the list.
fn codes(addresses: &[IpAddr]) -> (Vec<Ipv4Addr>, Vec<IpAddr>) {
    let (codes, others): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| matches!(address, IpAddr::V4(v4) if v4.is_loopback()));
    let codes = codes.into_iter().filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None });
    (codes.take(MOST_CODES).collect(), others)
}

/// No entry but "not you": 127.0.0.1, which RFC 5782 section 5 keeps free of entries, and 127.255.255.0/24, as the large
/// lists answer those who ask too much or by a public resolver. Taken for entries these would refuse all mail.
const fn is_refusal(code: Ipv4Addr) -> bool {
    matches!(code.octets(), [127, 0, 0, 1] | [127, 255, 255, _])
}

/// The reason, where there is one.
async fn text(search: &Search<'_>, entry: &str) -> String {
    let Ok(Records::Texts(texts)) = search.find(entry, Kind::Txt).await.0 else { return String::new() };
    let shown = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    texts.first().map(|text| text.trim().chars().map(shown).take(MOST_TEXT).collect()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListSubject {
        ListSubject::Address(text.parse().unwrap())
    }

    #[test]
    fn entries_are_named_as_rfc_5782_says() {
        let v6 = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example";
        for (subject, expected) in [
            (address("192.0.2.99"), Ok("99.2.0.192.bl.example")),
            (address("::ffff:192.0.2.99"), Ok("99.2.0.192.bl.example")),
            (address("2001:db8::cb01"), Ok(v6)),
            (ListSubject::Domain("Bad.Example.".into()), Ok("bad.example.bl.example")),
            (ListSubject::Domain("[10.0.0.1]".into()), Err(Trouble::Invalid)),
            (ListSubject::Domain("a b".into()), Err(Trouble::Invalid)),
            (ListSubject::Domain("a.".repeat(122)), Err(Trouble::Invalid)),
        ] {
            assert_eq!(entry("bl.Example.", &subject), expected.map(str::to_owned), "{subject:?}");
        }
    }

    #[test]
    fn only_loopback_is_a_code() {
        let answers: Vec<IpAddr> = ["127.0.0.2", "10.0.0.1", "127.1.2.3", "::1"].map(|text| text.parse().unwrap()).to_vec();
        let (codes, others) = codes(&answers);
        assert_eq!(codes, [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 1, 2, 3)]);
        assert_eq!(others, ["10.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }

    #[test]
    fn refusals_are_no_entries() {
        let refusal = |text: &str| is_refusal(text.parse().unwrap());
        assert!(refusal("127.255.255.254") && refusal("127.0.0.1"));
        assert!(!refusal("127.0.0.2") && !refusal("127.255.0.1"));
    }
}
