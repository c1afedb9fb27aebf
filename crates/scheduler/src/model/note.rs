//! What was last said about a recipient. A dead site says one thing about thousands of recipients: it is kept once.

use status::Enhanced;
use std::collections::HashSet;
use std::rc::Rc;

/// A remote answer or a reason.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Note {
    pub status: Enhanced,
    pub remote: Box<str>,
    pub text: Box<str>,
    /// Unix seconds of a failure; 0 for what only defers, so that equal answers stay equal.
    pub time: u64,
}

/// All notes in use.
#[derive(Debug, Default)]
pub struct Notes {
    known: HashSet<Rc<Note>>,
    /// Look for unused notes when there are this many.
    sweep_at: usize,
}

impl Notes {
    pub fn intern(&mut self, status: Enhanced, remote: &str, text: &str, time: u64) -> Rc<Note> {
        let note = Note { status, remote: remote.into(), text: text.into(), time };
        if let Some(known) = self.known.get(&note) {
            return Rc::clone(known);
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|note| Rc::strong_count(note) > 1);
            self.sweep_at = self.known.len().saturating_mul(2).max(1024);
        }
        let note = Rc::new(note);
        self.known.insert(Rc::clone(&note));
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notes_are_one_and_unused_ones_go() {
        let mut notes = Notes::default();
        let status = Enhanced::transient(4, 1);
        let kept = notes.intern(status, "-", "refused", 0);
        assert!(Rc::ptr_eq(&kept, &notes.intern(status, "-", "refused", 0)));
        for n in 0..10_000 {
            notes.intern(status, "-", &n.to_string(), 0);
        }
        assert!(notes.known.len() < 3_000);
        assert!(Rc::ptr_eq(&kept, &notes.intern(status, "-", "refused", 0)));
    }
}
