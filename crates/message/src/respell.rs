//! Other spellings for addresses in a header: canonical names, masquerading.

use crate::addresses::{addresses, holds_addresses};
use crate::fields::{Field, fields};
use std::collections::BTreeSet;
use std::ops::Range;

/// No line of a header is made longer than this (RFC 5322 section 2.1.1).
const LINE: usize = 998;

/// A piece of a header and what stands there instead.
pub type Change = (Range<usize>, Vec<u8>);

/// What [`respell`] has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Respelled {
    pub changes: Vec<Change>,
    /// Names of fields that would have other spellings, and stay because a signature covers them.
    pub signed: BTreeSet<String>,
}

/// Looks at every address of a header; `spell` gives what is to stand there instead, if anything, or stops with an error. A field
/// that is no list of addresses, or would get a line that is too long, stays as it is; and so does one that a DKIM-Signature
/// covers, for to everybody behind us the message would be a forgery.
pub fn respell<E>(header: &[u8], spell: &mut dyn FnMut(&str) -> Result<Option<String>, E>) -> Result<Respelled, E> {
    let mut all = Respelled::default();
    let mut known = None;
    for field in fields(header).filter(|field| holds_addresses(field.name)) {
        let mut changes: Vec<Change> = Vec::new();
        for range in addresses(field.value).unwrap_or_default() {
            let Some(Ok(address)) = field.value.get(range.clone()).map(std::str::from_utf8) else { continue };
            if let Some(text) = spell(address)?.filter(|text| text != address) {
                changes.push((field.value_range.start + range.start..field.value_range.start + range.end, text.into_bytes()));
            }
        }
        if changes.is_empty() {
            continue;
        }
        let name = String::from_utf8_lossy(field.name).to_lowercase();
        if known.get_or_insert_with(|| covered(header)).contains(&name) {
            all.signed.insert(name);
        } else if fits(header, &field, &changes) {
            all.changes.append(&mut changes);
        }
    }
    Ok(all)
}

/// Fields that some DKIM-Signature covers (RFC 6376 section 3.5, tag `h`), in lower case.
fn covered(header: &[u8]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for field in fields(header).filter(|field| field.is("DKIM-Signature")) {
        let text = field.text();
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        let listed = tags.filter(|(tag, _)| tag.trim() == "h").flat_map(|(_, value)| value.split(':'));
        names.extend(listed.map(|name| name.trim().to_lowercase()));
    }
    names
}

/// Lines stay within the limit, but for one that was beyond it already.
fn fits(header: &[u8], field: &Field<'_>, changes: &[Change]) -> bool {
    let mut begin = field.range.start;
    let whole = header.get(field.range.clone()).unwrap_or_default();
    whole.split_inclusive(|b| *b == b'\n').all(|line| {
        let place = begin..begin + line.len();
        begin = place.end;
        let here = changes.iter().filter(|(range, _)| place.contains(&range.start));
        let more: usize = here.map(|(range, text)| text.len().saturating_sub(range.len())).sum();
        more == 0 || line.len() + more <= LINE
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn respelled(header: &str) -> String {
        let mut spell =
            |address: &str| Ok::<_, Infallible>(address.strip_suffix("@in.example").map(|user| format!("{user}@out.example.org")));
        let mut text = header.as_bytes().to_vec();
        for (range, new) in respell(header.as_bytes(), &mut spell).unwrap().changes.into_iter().rev() {
            text.splice(range, new);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn only_addresses_of_fields_that_have_some() {
        assert_eq!(
            respelled(
                "Subject: joe@in.example\nFrom: \"joe@in.example\" <joe@in.example>\r\nTo: x@y,\n\tann@in.example (home)\nX-To: z@in.example\n\nTo: b@in.example\n"
            ),
            "Subject: joe@in.example\nFrom: \"joe@in.example\" <joe@out.example.org>\r\nTo: x@y,\n\tann@out.example.org (home)\nX-To: z@in.example\n\nTo: b@in.example\n"
        );
        let broken = "To: a@in.example b@in.example\n\n";
        assert_eq!(respelled(broken), broken);
    }

    #[test]
    fn no_line_becomes_too_long() {
        let long = format!("To: {}\n\n", vec!["joe@in.example"; 60].join(","));
        assert_eq!(respelled(&long), long);
        let folded = format!("To: {}\n\n", vec!["joe@in.example"; 60].join(",\n "));
        assert_eq!(respelled(&folded), folded.replace("in.example", "out.example.org"));
    }

    #[test]
    fn what_is_signed_stays() {
        let header = "DKIM-Signature: v=1; d=in.example; h=Date : From:\n\tcc; b=x\nFrom: joe@in.example\nTo: joe@in.example\nCc: x@y\n\n";
        assert_eq!(respelled(header), header.replace("To: joe@in.example", "To: joe@out.example.org"));
        let found = respell(header.as_bytes(), &mut |_| Ok::<_, Infallible>(Some("z@z".to_owned()))).unwrap();
        assert!(found.signed.iter().eq(["cc", "from"]));
        let nonsense = "DKIM-Signature: h=; =;h\nDKIM-Signature:\nFrom: joe@in.example\n\n";
        assert_eq!(respelled(nonsense), nonsense.replace("in.example", "out.example.org"));
    }

    #[test]
    fn trouble_ends_it() {
        assert_eq!(respell(b"To: a@b\n\n", &mut |_| Err::<Option<String>, _>("later")), Err("later"));
    }

    proptest! {
        #[test]
        fn all_else_stays(header in "((From|To|Cc|X|): ?|[a-c]{1,2}(@in\\.example)?|[<>,;:() \"]|\r?\n ?){0,30}") {
            let after = respelled(&header);
            prop_assert_eq!(after.replace("@out.example.org", "@in.example"), header);
        }
    }
}
