//! `[[lane]]`: which messages routers see to first when there are more than they can.

use crate::Fault;
use crate::checks::{at, text};
use crate::programs::is_name;
use crate::sheet::{Group, Sheet};

/// One lane; a message takes the first whose conditions all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// Bytes from which on.
    pub min_size: u64,
    /// Words of the Precedence field; empty: any.
    pub precedence: Vec<String>,
    /// Senders, as in rules of policy; empty: any.
    pub senders: Vec<String>,
    /// Messages of this lane for 10 of no lane.
    pub share: u32,
    /// Routers at a time; 0: all.
    pub routers: u16,
    pub line: usize,
}

/// What a lane is chosen by.
#[derive(Debug, Clone, Copy, Default)]
pub struct LaneFacts<'a> {
    /// Bytes of the file.
    pub size: u64,
    /// The first word of the field; `None`: there is no such field.
    pub precedence: Option<&'a str>,
    /// Empty: the null sender; `None`: not known.
    pub sender: Option<&'a str>,
}

impl Lane {
    /// True when all conditions hold.
    pub fn takes(&self, facts: &LaneFacts<'_>) -> bool {
        let precedence = |word: &str| self.precedence.iter().any(|wanted| wanted.eq_ignore_ascii_case(word));
        let sender = |sender: &str| {
            let sender = sender.to_lowercase();
            self.senders.iter().any(|pattern| covers(pattern, &sender))
        };
        facts.size >= self.min_size
            && (self.precedence.is_empty() || facts.precedence.is_some_and(precedence))
            && (self.senders.is_empty() || facts.sender.is_some_and(sender))
    }

    /// Can it be told by the size alone?
    pub fn is_by_size(&self) -> bool {
        self.precedence.is_empty() && self.senders.is_empty()
    }
}

/// A sender in lower case; patterns as `Kind::Mailboxes` leaves them.
fn covers(pattern: &str, sender: &str) -> bool {
    let Some((local, domain)) = sender.rsplit_once('@') else { return sender.is_empty() && pattern == "<>" };
    match pattern.rsplit_once('@') {
        Some((user, "")) => user == local,
        Some((user, of)) => user.eq_ignore_ascii_case(local) && of == domain,
        None if pattern.starts_with('.') => domain.ends_with(pattern),
        None => pattern == domain,
    }
}

pub fn lane(g: &Group) -> Lane {
    Lane {
        name: g.text("name"),
        min_size: g.u64("min_size"),
        precedence: g.texts("precedence").iter().map(|word| word.to_lowercase()).collect(),
        senders: g.texts("senders"),
        share: g.u32("share"),
        routers: g.u16("routers"),
        line: g.line,
    }
}

pub fn check(sheet: &Sheet, faults: &mut Vec<Fault>) {
    let mut seen: Vec<&str> = Vec::new();
    for group in sheet.groups("lane") {
        let name = text(group, "name").unwrap_or_default();
        if !is_name(name) || name == "usual" || seen.contains(&name) {
            faults.push(at(group, "name", format!("lane.name: `{name}` is taken, or not made of a-z, 0-9 and -")));
        }
        seen.push(name);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lane(body: &str) -> Lane {
        let text = format!(
            "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n[[lane]]\nname = \"bulk\"\n{body}\n"
        );
        crate::parse(&text, "test").unwrap().lanes.remove(0)
    }

    #[test]
    fn all_conditions_must_hold() {
        let bulk = lane("min_size = \"1MiB\"\nprecedence = [\"Bulk\", \"list\"]");
        let facts = LaneFacts { size: 1 << 20, precedence: Some("BULK"), sender: Some("") };
        assert!(bulk.takes(&facts) && !bulk.is_by_size());
        assert!(!bulk.takes(&LaneFacts { size: (1 << 20) - 1, ..facts }));
        assert!(!bulk.takes(&LaneFacts { precedence: Some("first-class"), ..facts }));
        assert!(!bulk.takes(&LaneFacts { precedence: None, ..facts }));
        assert!(lane("").takes(&LaneFacts::default()) && lane("min_size = 5").is_by_size());
    }

    #[test]
    fn senders_are_addresses_domains_suffixes_users_and_nobody() {
        let some = lane("senders = [\"joe@one.example\", \"two.example\", \".three.example\", \"news@\", \"<>\"]");
        let takes = |sender| some.takes(&LaneFacts { sender, ..LaneFacts::default() });
        for sender in ["Joe@One.Example", "any@two.example", "a@b.three.example", "News@elsewhere.example", ""] {
            assert!(takes(Some(sender)), "{sender}");
        }
        for sender in ["max@one.example", "a@b.two.example", "a@three.example", "joe"] {
            assert!(!takes(Some(sender)), "{sender}");
        }
        assert!(!takes(None));
    }
}
