//! The end of a message: what the driver says of it, and the replies that come of that.
//!
//! One reply for all recipients, but two dialects have one for each: LMTP (RFC 2033 section 4.2), and SMTP where the client
//! has asked for PRDR (draft-hall-prdr): 353, a reply for each recipient in the order of RCPT, and one for the message. A
//! message that fares alike for all its recipients gets one reply with PRDR too.

use super::Protocol;
use super::Stage;
use super::replies::reply_of;
use super::session::{Session, State};
use super::transaction::Transaction;
use status::Reply;
use std::io::Write as _;

/// Replies that are due at the end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    One,
    /// LMTP: so many.
    Each(usize),
    /// PRDR: so many and one for the message, or one alone.
    EachAndOne(usize),
}

impl Due {
    pub fn of(protocol: Protocol, transaction: &Transaction) -> Self {
        let count = transaction.recipients().len();
        match protocol {
            Protocol::Lmtp => Self::Each(count),
            Protocol::Smtp | Protocol::Submission if transaction.prdr => Self::EachAndOne(count),
            Protocol::Smtp | Protocol::Submission => Self::One,
        }
    }
}

/// What becomes of a message for one of its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The recipient, for the log.
    pub recipient: String,
    /// None: the message is durable for this one.
    pub refusal: Option<Reply>,
}

impl Session {
    /// Every recipient gets a reply of its own at the end of this transaction, so that they may fare differently.
    pub fn has_verdicts(&self) -> bool {
        self.protocol == Protocol::Lmtp || self.transaction().is_some_and(|transaction| transaction.prdr)
    }

    /// The answer to [`super::Step::End`]: the id under which the message is durable, or the reply that refuses it.
    pub fn finish(&mut self, verdict: Result<&str, Reply>) {
        let State::AwaitingCommit(due) = self.state else { return };
        self.leave_transaction();
        let replies = if let Due::Each(recipients) = due { recipients } else { 1 };
        match verdict {
            Ok(id) => {
                self.has_taken_message();
                for _ in 0..replies {
                    let _ = write!(self.output, "250 2.0.0 ok queued as {id}\r\n");
                }
            }
            Err(reply) => {
                for _ in 1..replies {
                    self.write(&reply);
                }
                self.refuse(Stage::Data, "", &reply);
            }
        }
    }

    /// As [`Session::finish`], where recipients fare differently: a verdict for each of the transaction's, in their order.
    ///
    /// Only where [`Session::has_verdicts`] was true. Elsewhere the first refusal counts for all: the client sends
    /// again what some have already, and nothing is lost.
    pub fn finish_each(&mut self, id: &str, verdicts: &[Verdict]) {
        let State::AwaitingCommit(due) = self.state else { return };
        let mut refusals = verdicts.iter().filter_map(|verdict| verdict.refusal.as_ref());
        let Some(first) = refusals.next() else { return self.finish(Ok(id)) };
        let alike = verdicts.iter().all(|verdict| verdict.refusal.as_ref() == Some(first));
        let each = match due {
            Due::One => 0,
            Due::Each(count) | Due::EachAndOne(count) => count,
        };
        if alike || each != verdicts.len() {
            return self.finish(Err(first.clone()));
        }
        self.leave_transaction();
        if due != Due::Each(each) {
            self.raw("353 replies for each recipient follow\r\n");
        }
        for verdict in verdicts {
            self.say_verdict(id, verdict);
        }
        let taken = verdicts.iter().filter(|verdict| verdict.refusal.is_none()).count();
        if taken > 0 {
            self.has_taken_message();
        }
        if due == Due::EachAndOne(each) {
            let later = refusals.any(|refusal| refusal.code < 500) || first.code < 500;
            self.conclude(id, taken, verdicts.len(), later);
        }
    }

    fn say_verdict(&mut self, id: &str, verdict: &Verdict) {
        let Some(refusal) = &verdict.refusal else {
            let _ = write!(self.output, "250 2.0.0 ok queued as {id}\r\n");
            return;
        };
        // 421 would end the session in the middle of the replies.
        let refusal = if refusal.code == 421 { &Reply { code: 451, ..refusal.clone() } } else { refusal };
        self.note(Stage::Data, refusal.code, &verdict.recipient, &refusal.text);
        self.write(refusal);
    }

    /// The last reply of PRDR. A refusal here overrules the others: one for good is said only where all were for good.
    fn conclude(&mut self, id: &str, taken: usize, recipients: usize, later: bool) {
        if taken > 0 {
            let _ = write!(self.output, "250 2.0.0 ok for {taken} of {recipients} recipients, queued as {id}\r\n");
        } else if later {
            self.write(&reply_of(450, "4.7.1", "for no recipient, try again later"));
        } else {
            self.write(&reply_of(550, "5.7.1", "for no recipient"));
        }
    }

    fn has_taken_message(&mut self) {
        self.idle_commands = 0;
        self.messages = self.messages.saturating_add(1);
    }
}
