//! The forms in which one message leaves: who sends it, and what is different in its header. Recipients of the same wishes
//! share one, so a list of a million members has one form.

use crate::listfields::list_changes;
use crate::rules::Rules;
use crate::spelling::{Reach, Spelling};
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict};
use address::{Address, Path};
use envelope::{Edit, EditSet, Edits, Form, Sender};
use lookup::TableError;
use message::Change;
use std::collections::HashMap;

/// Forms of one message at most; what wants one more goes as it is. Each costs a line of the control file.
const MOST: usize = 10_000;
/// Bytes of text in all sets of edits of one message.
const MOST_TEXT: usize = 64 * 1024;

/// The message that leaves.
#[derive(Debug, Clone, Default)]
pub struct Leaving<'a> {
    /// From its first byte on; what follows the header may follow here too.
    pub header: &'a [u8],
    /// What is different for everybody: what a submission lacks or has too much.
    pub base: Vec<Change>,
    /// Lines end with CRLF.
    pub crlf: bool,
    /// A user's `.forward` sends it on.
    pub forwarded: bool,
    pub unix_seconds: u64,
}

/// What makes the form of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    owner: Option<Path>,
    verp: bool,
    list: Option<std::rc::Rc<str>>,
    /// Sent on to another host.
    onward: bool,
    reach: Reach,
}

impl Wish {
    fn is_plain(&self) -> bool {
        self.owner.is_none() && self.list.is_none() && !self.onward && self.reach == Reach::Here
    }
}

/// What makes a set of edits: the list, its owner, and how far it goes.
type SetKey = (Option<std::rc::Rc<str>>, Option<Path>, Reach);

/// The forms of one message.
#[derive(Debug)]
pub struct Forms<'a> {
    leaving: &'a Leaving<'a>,
    sender: &'a Path,
    spelling: Spelling,
    /// Of the last recipient: the next one's is the same nearly always.
    last: Option<(Wish, u16)>,
    known: HashMap<Wish, u16>,
    /// Sets of edits by what makes them.
    sets: HashMap<SetKey, u16>,
    text: usize,
    pub forms: Vec<Form>,
    pub edits: Vec<EditSet>,
}

impl<'a> Forms<'a> {
    pub fn new(leaving: &'a Leaving<'a>, sender: &'a Path) -> Self {
        let (known, sets) = (HashMap::new(), HashMap::new());
        Self { leaving, sender, spelling: Spelling::default(), last: None, known, sets, text: 0, forms: Vec::new(), edits: Vec::new() }
    }

    /// The number of the form for an outcome of routing; 0: as the message is. An error of a table is about this recipient.
    pub fn of(&mut self, outcome: &Routed, rules: &Rules, tables: &mut dyn Tables) -> Result<u16, TableError> {
        // Who fails here has the list's owner told, and what is held goes on from there as it would have from here.
        let channel = match &outcome.verdict {
            Verdict::Deliver(quad) => quad.channel.as_str(),
            Verdict::Refused { .. } => "error",
            Verdict::Deferred { .. } | Verdict::Temporary(_) | Verdict::ScriptFailed(_) => "hold",
            Verdict::Pending => return Ok(0),
        };
        let way = &outcome.way;
        let mailbox = self.sender.address().is_some();
        let wish = Wish {
            owner: outcome.owner.clone().filter(|owner| mailbox && owner.address().is_some()),
            verp: way.verp && outcome.owner.is_some() && mailbox,
            list: way.list.clone(),
            onward: (way.forwarded || self.leaving.forwarded) && mailbox && outcome.owner.is_none() && leaves(channel),
            reach: Spelling::reach(&rules.headers, channel),
        };
        if wish.is_plain() && self.leaving.base.is_empty() {
            return Ok(0);
        }
        if let Some((last, number)) = &self.last
            && *last == wish
        {
            return Ok(*number);
        }
        let number = match self.known.get(&wish) {
            Some(number) => *number,
            None => self.make(&wish, rules, tables)?,
        };
        self.known.insert(wish.clone(), number);
        self.last = Some((wish, number));
        Ok(number)
    }

    fn make(&mut self, wish: &Wish, rules: &Rules, tables: &mut dyn Tables) -> Result<u16, TableError> {
        let sender = self.sender_for(wish, rules, tables)?;
        let edits = self.set_for(wish, rules, tables)?;
        let form = Form { sender, edits };
        if form == (Form { sender: Sender::Own, edits: 0 }) {
            return Ok(0);
        }
        let known = self.forms.iter().position(|known| *known == form);
        let number = known.unwrap_or_else(|| {
            self.forms.push(form);
            self.forms.len() - 1
        });
        if number >= MOST {
            self.forms.truncate(MOST);
            return Err(TableError::Permanent("too many lists and spellings for one message".to_owned()));
        }
        Ok(u16::try_from(number + 1).unwrap_or(0))
    }

    fn sender_for(&self, wish: &Wish, rules: &Rules, tables: &mut dyn Tables) -> Result<Sender, TableError> {
        let Path::Mailbox(own) = self.sender else { return Ok(Sender::Own) };
        let base = wish.owner.as_ref().and_then(Path::address).unwrap_or(own);
        let spelled = self.spelling.sender(base, wish.reach, &rules.headers, tables)?;
        let mut shown: Address = spelled.unwrap_or_else(|| base.clone());
        if wish.onward && !rules.is_own_domain(&shown) {
            let made = rules.returning.forward(&shown, self.leaving.unix_seconds).map_err(TableError::Temporary)?;
            shown = made.unwrap_or(shown);
        }
        Ok(match (&wish.owner, wish.verp) {
            (Some(_), true) => Sender::Verp(shown),
            (Some(_), false) => Sender::Owner(shown),
            (None, _) if shown == *own => Sender::Own,
            (None, _) => Sender::Alias(shown),
        })
    }

    /// The number of the set of edits; 0: none.
    fn set_for(&mut self, wish: &Wish, rules: &Rules, tables: &mut dyn Tables) -> Result<u16, TableError> {
        // The owner is named by the fields of a list.
        let owner = wish.owner.clone().filter(|_| wish.list.is_some());
        let key = (wish.list.clone(), owner, wish.reach);
        if let Some(number) = self.sets.get(&key) {
            return Ok(*number);
        }
        if self.edits.len() >= MOST {
            return Err(TableError::Permanent("too many lists and spellings for one message".to_owned()));
        }
        let base = self.base(wish.reach, rules, tables)?;
        let spelled = self.spelled(self.leaving.header, wish.reach, rules, tables)?;
        let list = wish.list.as_deref().map(|list| list_changes(self.leaving.header, list, wish.owner.as_ref())).unwrap_or_default();
        // What does not fit is left as it is, the least important first; the blind copies never.
        let attempts: [&[&Vec<Change>]; 3] = [&[&base, &list, &spelled], &[&base, &list], &[&base]];
        let mut made = attempts.iter().enumerate().filter_map(|(left, parts)| Some((left, self.together(parts)?)));
        let edits = made.find(|(_, edits)| self.text + edits.text() <= MOST_TEXT);
        let Some((left, edits)) = edits else {
            return Err(TableError::Permanent("The header has too much that must not leave".to_owned()));
        };
        if left > 0 {
            daemon::event!(Warning, "header_left", reason = "there is more to change than fits", changes = list.len() + spelled.len());
        }
        let number = if edits.is_empty() {
            0
        } else {
            self.text += edits.text();
            self.edits.push(EditSet { edits, place: (0, 0) });
            u16::try_from(self.edits.len()).unwrap_or(0)
        };
        self.sets.insert(key, number);
        Ok(number)
    }

    /// What is different for everybody; addresses in what is added are spelled too.
    fn base(&mut self, reach: Reach, rules: &Rules, tables: &mut dyn Tables) -> Result<Vec<Change>, TableError> {
        let mut base = self.leaving.base.clone();
        for (_, text) in &mut base {
            for (range, spelled) in self.spelled(text, reach, rules, tables)?.into_iter().rev() {
                text.splice(range, spelled);
            }
        }
        Ok(base)
    }

    fn spelled(&mut self, header: &[u8], reach: Reach, rules: &Rules, tables: &mut dyn Tables) -> Result<Vec<Change>, TableError> {
        if reach == Reach::Here {
            return Ok(Vec::new());
        }
        let spelling = &mut self.spelling;
        let mut spell = |address: &str| match spelling.spell(address, reach, &rules.headers, tables) {
            // A table that will never answer changes nothing.
            Err(TableError::Permanent(_)) => Ok(None),
            other => other,
        };
        let message::Respelled { changes, signed } = message::respell(header, &mut spell)?;
        if !signed.is_empty() {
            let fields = signed.into_iter().collect::<Vec<_>>().join(",");
            daemon::event!(Info, "header_left", reason = "a signature covers it", fields = fields);
        }
        Ok(changes)
    }

    /// Changes as a set of edits: in their order, additions at one place together, nothing within what goes.
    fn together(&self, parts: &[&Vec<Change>]) -> Option<Edits> {
        let mut all: Vec<&Change> = parts.iter().flat_map(|part| part.iter()).collect();
        all.sort_by_key(|(range, _)| (range.start, range.end));
        let mut joined: Vec<Change> = Vec::with_capacity(all.len());
        let mut gone = 0;
        for (range, text) in all {
            match joined.last_mut() {
                Some((before, known)) if range.is_empty() && *before == *range => known.extend_from_slice(text),
                _ if range.start < gone => {}
                _ => joined.push((range.clone(), text.clone())),
            }
            gone = gone.max(range.end);
        }
        let header = self.leaving.header;
        let bare =
            message::fields(header).next().is_none() && !header.is_empty() && !header.starts_with(b"\n") && !header.starts_with(b"\r\n");
        let mut edits = Edits::default();
        for (range, mut text) in joined {
            // The body would become a part of what is added before it.
            if bare && text.ends_with(b"\n") {
                text.push(b'\n');
            }
            let text = if self.leaving.crlf { with_crlf(&text) } else { text };
            let edit = Edit { offset: u32::try_from(range.start).ok()?, length: u32::try_from(range.len()).ok()?, text };
            if !edits.push(edit) {
                return None;
            }
        }
        Some(edits)
    }
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    for line in text.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(bare) => out.extend_from_slice(&[bare.strip_suffix(b"\r").unwrap_or(bare), b"\r\n"].concat()),
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Channels by which mail goes to other hosts.
fn leaves(channel: &str) -> bool {
    !["local", "lmtp", "pipe", "error", "hold", "discard"].contains(&channel)
}
