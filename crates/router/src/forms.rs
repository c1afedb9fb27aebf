//! The forms in which one message leaves: who sends it, and what is different in its header. Recipients of the same wishes
//! share one, so a list of a million members has one form.

use crate::verdict::{Routed, Verdict};
use address::Path;
use envelope::{EditSet, Form, Sender};
use std::collections::HashMap;
use std::rc::Rc;

/// Forms of one message at most; what wants one more goes as it is. Each costs a line of the control file.
const MOST: usize = 10_000;

/// What makes the form of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Wish {
    /// And whether each recipient gets a sender of its own.
    owner: Option<(String, bool)>,
    list: Option<Rc<str>>,
}

/// The forms of one message.
#[derive(Debug, Default)]
pub struct Forms {
    known: HashMap<Wish, u16>,
    pub forms: Vec<Form>,
    pub edits: Vec<EditSet>,
}

impl Forms {
    /// The number of the form for an outcome of routing; 0: as the message is. `sender`: of the message.
    pub fn of(&mut self, outcome: &Routed, sender: &Path) -> u16 {
        if outcome.verdict == Verdict::Pending {
            return 0;
        }
        let Some(Path::Mailbox(owner)) = outcome.owner.as_ref().filter(|_| *sender != Path::Null) else { return 0 };
        let wish = Wish { owner: Some((owner.to_string(), outcome.way.verp)), list: outcome.way.list.clone() };
        if let Some(number) = self.known.get(&wish) {
            return *number;
        }
        if self.forms.len() >= MOST {
            return 0;
        }
        let sender = if outcome.way.verp { Sender::Verp(owner.clone()) } else { Sender::Owner(owner.clone()) };
        self.forms.push(Form { sender, edits: 0 });
        let number = u16::try_from(self.forms.len()).unwrap_or(0);
        self.known.insert(wish, number);
        number
    }
}
