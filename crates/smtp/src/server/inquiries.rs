//! VRFY and EXPN (RFC 5321 sections 3.5, 4.1.1.6, 4.1.1.7), for clients that may know.

use super::Stage;
use super::rights::Standing;
use super::session::{Session, State, Step};
use address::{Address, Path};
use status::Reply;

/// What the client asks about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inquiry {
    /// VRFY: does it exist?
    Verify,
    /// EXPN: whom does it stand for?
    Expand,
}

impl Session {
    pub(super) fn inquire(&mut self, inquiry: Inquiry, argument: &[u8]) -> Option<Step> {
        let allowed = if inquiry == Inquiry::Verify { self.rights.vrfy } else { self.rights.expn };
        if inquiry == Inquiry::Expand && !allowed {
            self.error(502, "5.5.1", "command not implemented");
            return None;
        }
        if self.is_too_idle() {
            return None;
        }
        // RFC 6531 section 3.7.4.2.
        let (text, utf8) = match argument.len().checked_sub(b" SMTPUTF8".len()).and_then(|at| argument.split_at_checked(at)) {
            Some((text, word)) if word.eq_ignore_ascii_case(b" SMTPUTF8") => (text.trim_ascii(), true),
            _ => (argument, self.transaction().is_some_and(|t| t.smtputf8)),
        };
        if text.is_empty() {
            self.error(501, "5.5.4", "an address is wanted");
        } else if !text.is_ascii() && !utf8 {
            self.error(553, "5.6.7", "SMTPUTF8 was not asked for");
        } else if !allowed {
            self.reply(252, "2.1.5", "send some mail, I will try my best");
        } else {
            return self.ask(inquiry, text);
        }
        None
    }

    fn ask(&mut self, inquiry: Inquiry, text: &[u8]) -> Option<Step> {
        let Some(address) = address_of(text) else {
            self.error(501, "5.1.3", "malformed address");
            return None;
        };
        if self.has_guessed_too_often() {
            return None;
        }
        // Of others' addresses we know nothing.
        if self.config.relay.judge(&address, false).standing() != Standing::Verify {
            match inquiry {
                Inquiry::Verify => self.reply(252, "2.1.5", "not one of ours; send some mail, I will try my best"),
                Inquiry::Expand => self.reply(550, "5.1.2", "not one of ours"),
            }
            return None;
        }
        // It may come within a transaction, which goes on after it.
        let before = std::mem::replace(&mut self.state, State::Idle);
        self.state = State::AwaitingInquiry(Box::new((before, address.clone())));
        Some(Step::Inquiry { inquiry, address })
    }

    /// The answer to [`Step::Inquiry`]: the addresses that are to be told, or the refusal.
    pub fn answer_inquiry(&mut self, verdict: Result<&[String], Reply>) {
        let State::AwaitingInquiry(asked) = std::mem::replace(&mut self.state, State::Idle) else { return };
        let (before, address) = *asked;
        self.state = before;
        match verdict {
            Ok([]) => self.reply(252, "2.1.5", "send some mail, I will try my best"),
            Ok([more @ .., last]) => {
                for member in more {
                    self.reply_line("250-2.1.5 <", member);
                }
                self.reply_line("250 2.1.5 <", last);
            }
            Err(reply) => {
                self.refused_recipients += 1;
                self.refuse(Stage::Inquiry, address.as_str(), &reply);
            }
        }
    }

    /// Addresses come from tables: nothing in them breaks the line.
    fn reply_line(&mut self, start: &str, address: &str) {
        self.raw(start);
        let text: String = address.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.raw(&text);
        self.raw(">\r\n");
    }
}

fn address_of(text: &[u8]) -> Option<Address> {
    if text.starts_with(b"<") {
        let (Path::Mailbox(address), []) = address::parse_path(text, true).ok()? else { return None };
        return Some(address);
    }
    Address::parse(std::str::from_utf8(text).ok()?).ok()
}
