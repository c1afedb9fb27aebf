//! The driver's answers to a session's questions.

use super::Stage;
use super::chunks::{Chunk, Refusal};
use super::content::{Content, Framing};
use super::relay::RelayPermitted;
use super::replies::{reply_of, sender_text};
use super::rights::Grant;
use super::session::{Candidate, Session, State};
use super::transaction::Transaction;
use status::Reply;

impl Session {
    /// The answer to [`super::Step::Hello`], [`super::Step::Sender`], [`super::Step::Recipient`] or [`super::Step::Data`];
    /// `Err` is the reply the client gets, and 421 ends the session.
    pub fn answer(&mut self, verdict: Result<(), Reply>) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::AwaitingHello => self.answer_hello(verdict),
            State::AwaitingSender(transaction) => self.answer_sender(transaction, verdict),
            State::AwaitingRecipient(transaction, candidate) => self.answer_recipient(transaction, *candidate, verdict),
            State::AwaitingData(transaction, chunk) => self.answer_data(transaction, chunk, verdict),
            other => self.state = other,
        }
    }

    /// The answer to [`super::Step::Recipient`] that lets a recipient in whatever the relay policy says of it.
    pub fn grant(&mut self, grant: Grant) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::AwaitingRecipient(transaction, candidate) => {
                let Candidate { recipient, judgement } = *candidate;
                self.admit(transaction, recipient, judgement.granted(grant));
            }
            other => self.state = other,
        }
    }

    fn answer_hello(&mut self, verdict: Result<(), Reply>) {
        match verdict {
            Ok(()) => self.announce(),
            Err(reply) => {
                let name = self.hello.take().map(|hello| hello.name).unwrap_or_default();
                self.refuse(Stage::Hello, &name, &reply);
            }
        }
    }

    fn answer_sender(&mut self, transaction: Box<Transaction>, verdict: Result<(), Reply>) {
        match verdict {
            Ok(()) => {
                // RFC 6710 section 4.1: a client that gets less is told what it gets.
                let lowered = transaction.lowered.then_some(transaction.terms.priority);
                self.state = State::Transaction(transaction);
                match lowered {
                    Some(priority) => self.reply(250, "2.3.6", &format!("sender ok, with priority {priority}")),
                    None => self.reply(250, "2.1.0", "sender ok"),
                }
            }
            Err(reply) => self.refuse(Stage::Mail, &sender_text(&transaction), &reply),
        }
    }

    fn answer_recipient(&mut self, transaction: Box<Transaction>, candidate: Candidate, verdict: Result<(), Reply>) {
        let Candidate { recipient, judgement } = candidate;
        let refusal = match verdict {
            Ok(()) => match judgement.accepted() {
                Some(permission) => return self.admit(transaction, recipient, permission),
                None => reply_of(550, "5.7.1", "relaying denied"),
            },
            Err(reply) => reply,
        };
        self.refused_recipients += 1;
        self.state = State::Transaction(transaction);
        self.refuse(Stage::Recipient, recipient.address.as_str(), &refusal);
    }

    fn admit(&mut self, mut transaction: Box<Transaction>, recipient: super::Recipient, permission: RelayPermitted) {
        transaction.add(recipient, permission);
        self.state = State::Transaction(transaction);
        self.reply(250, "2.1.5", "recipient ok");
    }

    /// A refusal ends the transaction: what comes next without MAIL is out of sequence (attacks.md 24).
    fn answer_data(&mut self, transaction: Box<Transaction>, chunk: Option<Chunk>, verdict: Result<(), Reply>) {
        match (verdict, chunk) {
            (Ok(()), None) => self.receive(transaction),
            (Ok(()), Some(chunk)) => self.receive_chunks(transaction, chunk),
            (Err(reply), None) => self.refuse(Stage::Data, "", &reply),
            (Err(reply), Some(chunk)) => {
                self.note(Stage::Data, reply.code, "", &reply.text);
                self.skip(chunk.size, Refusal::Given(reply), None);
            }
        }
    }

    /// Content follows.
    pub(super) fn receive(&mut self, transaction: Box<Transaction>) {
        self.state = State::Receiving(transaction, Box::new(Content::new(Framing::Dots, self.max_message_size())));
        self.raw("354 end with CRLF.CRLF\r\n");
    }
}
