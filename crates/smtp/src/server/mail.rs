//! MAIL and RCPT.

use super::command;
use super::parameters::{self, ParameterError};
use super::session::{Candidate, Session, State, Step};
use super::transaction::{Recipient, Transaction};
use super::{Protocol, Stage};
use address::{AddressError, Path, PathError};

impl Session {
    pub(super) fn mail(&mut self, argument: &[u8]) -> Option<Step> {
        if self.hello.is_none() {
            self.error(503, "5.5.1", "say hello first");
        } else if !matches!(self.state, State::Idle) {
            self.error(503, "5.5.1", "a transaction is open already");
        } else if !self.may_send() {
            self.note(Stage::Mail, 530, &String::from_utf8_lossy(argument), "authentication required");
            self.error(530, "5.7.0", "authentication required");
        } else if self.config.offers.max_messages.is_some_and(|most| self.messages >= most) {
            self.error(452, "4.5.3", "too many messages in one session");
        } else {
            match self.sender(argument) {
                Ok(transaction) => {
                    self.state = State::AwaitingSender(Box::new(transaction));
                    return Some(Step::Sender);
                }
                Err(fault) => self.fault(Stage::Mail, argument, fault),
            }
        }
        None
    }

    /// Submission is for users and for clients that may relay (RFC 6409 section 4.3).
    fn may_send(&self) -> bool {
        if self.user.is_some() {
            return true;
        }
        !self.rights.login_required && (self.rights.relay || self.protocol != Protocol::Submission)
    }

    fn sender(&self, argument: &[u8]) -> Result<Transaction, Fault> {
        let rest = command::after("FROM:", argument).ok_or(Fault(501, "5.5.4", "MAIL FROM:<address> is wanted"))?;
        let (sender, rest) = address::parse_path(rest, true).map_err(|e| path_fault(e, "5.1.7", "malformed sender address"))?;
        let found = parameters::mail(rest).map_err(parameter_fault)?;
        if let Path::Mailbox(address) = &sender {
            if address.domain().is_none() {
                return Err(Fault(553, "5.1.7", "the sender address needs a domain"));
            }
            if !address.is_ascii() && !found.smtputf8 {
                return Err(Fault(553, "5.6.7", "SMTPUTF8 was not asked for"));
            }
        }
        if found.size.is_some_and(|size| size > self.max_message_size()) {
            return Err(Fault(552, "5.3.4", "message too large"));
        }
        let (terms, lowered) = self.terms(&found.asked).map_err(|(code, status, text)| Fault(code, status, text))?;
        let mut transaction = Transaction::new(sender);
        transaction.terms = terms;
        transaction.lowered = lowered;
        transaction.prdr = found.asked.prdr;
        // RFC 4954 section 5: what a client is not trusted to say counts as not known.
        transaction.submitter = found.asked.submitter.map(|said| if self.is_trusted() { said } else { "<>".to_owned() });
        transaction.declared_size = found.size.unwrap_or(0);
        transaction.bodytype = found.body.unwrap_or_default();
        transaction.smtputf8 = found.smtputf8;
        transaction.ret = found.ret;
        transaction.envid = found.envid;
        Ok(transaction)
    }

    pub(super) fn rcpt(&mut self, argument: &[u8]) -> Option<Step> {
        let State::Transaction(transaction) = &self.state else {
            let late = matches!(self.state, State::BetweenChunks(_));
            self.error(503, "5.5.1", if late { "the message is under way" } else { "MAIL first" });
            return None;
        };
        let recipient = match recipient(argument, transaction.smtputf8) {
            Ok(recipient) => recipient,
            Err(fault) => {
                self.fault(Stage::Recipient, argument, fault);
                return None;
            }
        };
        if transaction.recipients().len() >= self.config.max_recipients as usize {
            self.reply(452, "4.5.3", "too many recipients");
            return None;
        }
        if self.has_guessed_too_often() {
            return None;
        }
        let judgement = self.config.relay.judge(&recipient.address, self.rights.relay);
        self.await_recipient(Candidate { recipient, judgement })
    }

    /// True: the session has ended.
    pub(super) fn has_guessed_too_often(&mut self) -> bool {
        if self.refused_recipients < self.config.max_refused_recipients {
            return false;
        }
        self.note(Stage::Protocol, 421, "", "too many refused recipients");
        self.close(421, "4.7.0", "too many refused recipients");
        true
    }

    fn await_recipient(&mut self, candidate: Candidate) -> Option<Step> {
        let standing = candidate.judgement.standing();
        let State::Transaction(transaction) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        self.state = State::AwaitingRecipient(transaction, Box::new(candidate));
        Some(Step::Recipient { standing })
    }

    fn fault(&mut self, stage: Stage, argument: &[u8], fault: Fault) {
        let Fault(code, status, text) = fault;
        self.note(stage, code, &String::from_utf8_lossy(argument), text);
        self.error(code, status, text);
    }
}

/// Code, enhanced code and text of a refusal.
struct Fault(u16, &'static str, &'static str);

fn recipient(argument: &[u8], smtputf8: bool) -> Result<Recipient, Fault> {
    let rest = command::after("TO:", argument).ok_or(Fault(501, "5.5.4", "RCPT TO:<address> is wanted"))?;
    let (path, rest) = address::parse_path(rest, true).map_err(|e| path_fault(e, "5.1.3", "malformed recipient address"))?;
    let Path::Mailbox(address) = path else { return Err(Fault(501, "5.1.3", "a recipient cannot be empty")) };
    if !address.is_ascii() && !smtputf8 {
        return Err(Fault(553, "5.6.7", "SMTPUTF8 was not asked for"));
    }
    if address.domain().is_none() && !address.as_str().eq_ignore_ascii_case("postmaster") {
        return Err(Fault(501, "5.1.3", "the recipient address needs a domain"));
    }
    let dsn = parameters::rcpt(rest, smtputf8).map_err(parameter_fault)?;
    Ok(Recipient { address, dsn })
}

fn path_fault(error: PathError, status: &'static str, text: &'static str) -> Fault {
    match error {
        PathError::Brackets => Fault(501, "5.5.4", "an address in angle brackets is wanted"),
        PathError::Address(AddressError::NotAscii) => Fault(553, "5.6.7", "SMTPUTF8 was not asked for"),
        PathError::Address(_) => Fault(553, status, text),
    }
}

fn parameter_fault(error: ParameterError) -> Fault {
    let (code, status, text) = error.reply();
    Fault(code, status, text)
}
