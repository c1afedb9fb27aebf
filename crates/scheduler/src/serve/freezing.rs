//! Freezes of parts: kept in the spool before a command hears that it is done, and taken up again at the start.

use super::Scheduler;
use ipc::control::{Reply, Request, Selection};
use spool::Part;

fn part_of(selection: &Selection) -> Part {
    let Selection { channel, host, sender, recipient, domain, .. } = selection.clone();
    Part { channel, host, sender, recipient, domain }
}

fn selection_of(part: Part) -> Selection {
    let Part { channel, host, sender, recipient, domain } = part;
    Selection { channel, host, sender, recipient, domain, ..Selection::default() }
}

fn refused(code: u8, reason: String) -> Vec<Reply> {
    vec![Reply::Refused { code, reason }]
}

fn done(text: String) -> Vec<Reply> {
    vec![Reply::Done(text)]
}

impl Scheduler {
    /// What an earlier life had frozen. A list that cannot be read may have had anything on it: then nothing is delivered
    /// until somebody says what holds.
    pub(super) fn recall_freezes(&mut self) {
        let parts = self.spool.read_freezes().unwrap_or_else(|e| {
            daemon::event!(Error, "freezes_not_read", text = e);
            vec![everything()]
        });
        for part in parts {
            let said = part.to_string();
            match self.model.freeze_part(part) {
                Ok(()) => daemon::event!(Info, "part_frozen", part = said),
                Err(why) => {
                    daemon::event!(Error, "freezes_not_read", text = why);
                    let _ = self.model.freeze_part(everything());
                }
            }
        }
    }

    /// The answer to a command about freezes; `None`: it is about something else.
    pub(super) fn freezing(&mut self, request: &Request) -> Option<Vec<Reply>> {
        Some(match request {
            Request::FrozenParts => self.model.frozen_parts().into_iter().map(|part| Reply::FrozenPart(selection_of(part))).collect(),
            Request::FreezePart(selection) => self.freeze_part(part_of(selection)),
            Request::ThawPart(selection) => self.thaw_part(selection.as_ref().map(part_of)),
            _ => return None,
        })
    }

    fn freeze_part(&mut self, part: Part) -> Vec<Reply> {
        let said = part.to_string();
        let known = self.model.frozen_parts().contains(&part);
        if let Err(why) = self.model.freeze_part(part.clone()) {
            return refused(daemon::EX_USAGE, why);
        }
        if let Err(e) = self.spool.write_freezes(&self.model.frozen_parts()) {
            // What is not kept must not look as if it were.
            if !known {
                self.model.thaw_part(Some(&part));
            }
            return refused(daemon::EX_TEMPFAIL, format!("the freeze cannot be written into the spool: {e}"));
        }
        daemon::event!(Info, "part_frozen", part = said);
        done(format!("frozen: no delivery of {said} starts until it is thawed"))
    }

    /// Written first: a crash between leaves it frozen at most.
    fn thaw_part(&mut self, part: Option<Part>) -> Vec<Reply> {
        let all = self.model.frozen_parts();
        let left: Vec<Part> = all.iter().filter(|other| part.as_ref().is_some_and(|part| part != *other)).cloned().collect();
        let said = part.as_ref().map_or_else(|| "all parts".to_owned(), ToString::to_string);
        if left.len() == all.len() && part.is_some() {
            return refused(daemon::EX_USAGE, format!("{said} is not frozen in these words; see `zpost freeze --list`"));
        }
        if let Err(e) = self.spool.write_freezes(&left) {
            return refused(daemon::EX_TEMPFAIL, format!("the thaw cannot be written into the spool: {e}"));
        }
        self.model.thaw_part(part.as_ref());
        daemon::event!(Info, "part_thawed", part = said);
        done(format!("thawed: {said}"))
    }
}

fn everything() -> Part {
    Part { channel: Some("*".to_owned()), ..Part::default() }
}
