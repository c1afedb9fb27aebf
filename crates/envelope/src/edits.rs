//! Changes of a message's header on its way out: the message file itself never changes.

use serde::{Deserialize, Serialize};

/// In place of `length` bytes at `offset` of the header (from its first byte), `text`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edit {
    pub offset: u32,
    pub length: u32,
    pub text: Vec<u8>,
}

/// One set of changes: in the order of their places, none over another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Changes in one set at most, and bytes of their texts: with its recipients a job still fits a frame.
    pub const MOST: usize = 512;
    pub const TEXT: usize = 32 * 1024;

    /// Takes one more change behind the others. False, and nothing changes: it begins before the end of the last one, or the
    /// set is full.
    pub fn push(&mut self, edit: Edit) -> bool {
        let fits = self.0.len() < Self::MOST && self.text() + edit.text.len() <= Self::TEXT;
        let behind = u64::from(edit.offset) >= self.end() && edit.offset.checked_add(edit.length).is_some();
        // What touches the last removal goes with it, so that a thousand fields in a row are one change.
        if let (true, true, Some(last)) = (behind, edit.text.is_empty(), self.0.last_mut())
            && last.offset.saturating_add(last.length) == edit.offset
        {
            last.length = last.length.saturating_add(edit.length);
            return true;
        }
        if fits && behind {
            self.0.push(edit);
        }
        fits && behind
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.0.iter()
    }

    /// Bytes of text in all.
    pub fn text(&self) -> usize {
        self.0.iter().map(|edit| edit.text.len()).sum()
    }

    /// How far they reach: what is behind stays as it is.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |edit| u64::from(edit.offset).saturating_add(u64::from(edit.length)))
    }

    /// The first [`Edits::end`] bytes of the header, changed. `None`: they are fewer.
    pub fn apply(&self, header: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(header.len().saturating_add(self.text()));
        let mut at = 0;
        for edit in &self.0 {
            let begin = usize::try_from(edit.offset).ok()?;
            out.extend_from_slice(header.get(at..begin)?);
            out.extend_from_slice(&edit.text);
            at = begin.checked_add(usize::try_from(edit.length).ok()?)?;
        }
        if at > header.len() { None } else { Some(out) }
    }
}

impl<'a> IntoIterator for &'a Edits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edit(offset: u32, length: u32, text: &str) -> Edit {
        Edit { offset, length, text: text.into() }
    }

    #[test]
    fn in_order_and_bounded() {
        let mut edits = Edits::default();
        assert!(
            edits.push(edit(0, 0, "A: 1\n")) && edits.push(edit(5, 5, "")) && edits.push(edit(10, 3, "")) && edits.push(edit(20, 1, "xy"))
        );
        assert!(!edits.push(edit(20, 1, "")) && !edits.push(edit(0, 0, "")) && !edits.push(edit(u32::MAX, 1, "")));
        assert_eq!((edits.iter().count(), edits.end(), edits.text()), (3, 21, 7));
        assert_eq!(edits.apply(b"B: 2\nC: 3\nD\nE: 4\nFGHIJK").unwrap(), b"A: 1\nB: 2\n: 4\nFGHxy");
        assert_eq!(edits.apply(b"short"), None);
        assert!(!edits.push(edit(30, 0, &"x".repeat(Edits::TEXT))));
        assert_eq!(Edits::default().apply(b"anything").unwrap(), b"");
    }

    proptest! {
        #[test]
        fn what_is_between_stays(header in "[a-z\n]{0,60}", wishes in proptest::collection::vec((0u32..70, 0u32..9, "[A-Z]{0,4}"), 0..6)) {
            let mut edits = Edits::default();
            for (offset, length, text) in wishes {
                edits.push(edit(offset, length, &text));
            }
            let whole = edits.apply(header.as_bytes());
            prop_assert_eq!(whole.is_some(), edits.end() <= header.len() as u64);
            if let Some(changed) = whole {
                let kept: String = String::from_utf8(changed).unwrap().chars().filter(|c| !c.is_ascii_uppercase()).collect();
                let gone: u64 = edits.iter().map(|e| u64::from(e.length)).sum();
                prop_assert_eq!(kept.len() as u64, edits.end() - gone);
            }
        }
    }
}
