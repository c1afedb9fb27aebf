//! The end of a message: the last questions of policy, the way to the disk and the filter, and the verdict to the client.

use crate::connection::{Awaiting, Connection};
use crate::envelopes;
use crate::messages::Earlier;
use crate::sync::{Job, Key, Meta};
use crate::worker::Worker;
use envelope::{Envelope, MessageId};
use policy::Verdict;
use policy::delegation::State;
use smtp::server::{self, Recipient, Transaction};
use status::{Enhanced, Reply};

/// A whole message that policy is asked about.
#[derive(Debug)]
pub(crate) struct Ended {
    pub transaction: Box<Transaction>,
    with: &'static str,
}

/// A message whose recipients the content filter has a say about, and others that take it whatever the filter says.
///
/// Those come first in the file, so that the others can be taken away from it (see [`spool::Draft::narrow`]).
#[derive(Debug)]
pub(crate) struct Apart {
    /// In the order of RCPT, with whether the verdict is about this one.
    recipients: Vec<(String, bool)>,
    /// Without those that the verdict is about.
    pub envelope: Envelope,
    /// What they get instead of the message.
    pub refusal: Option<Reply>,
}

impl Meta {
    /// Recipients that the message is for in the end.
    pub(crate) fn accepted(&self) -> usize {
        let apart = self.apart.as_ref().filter(|apart| apart.refusal.is_some());
        apart.map_or(self.nrcpt, |apart| apart.envelope.recipients.len())
    }
}

fn lost() -> Reply {
    Reply::new(451, Enhanced::transient(3, 0), "local error in processing")
}

impl Worker {
    /// The dot has come and the content is acceptable.
    pub(crate) fn end_message(&mut self, c: &mut Connection, key: Key, transaction: Box<Transaction>, with: &'static str) {
        c.awaiting = Awaiting::Commit;
        if self.is_refused_whole(c) {
            return;
        }
        let Some(message) = c.message.as_mut().filter(|_| self.context.policy.is_served_at(State::EndOfMessage)) else {
            return self.store(c, key, transaction, with);
        };
        message.ended = Some(Ended { transaction, with });
        self.end_policy(c, key);
    }

    /// Policy has nothing against the message.
    pub(crate) fn end_approved(&mut self, c: &mut Connection, key: Key) {
        c.awaiting = Awaiting::Commit;
        match c.message.as_mut().and_then(|message| message.ended.take()) {
            Some(Ended { transaction, with }) => self.store(c, key, transaction, with),
            None => self.finish(c, Err(lost())),
        }
    }

    /// Policy has.
    pub(crate) fn end_refused(&mut self, c: &mut Connection, reply: Reply) {
        self.drop_message(c);
        self.finish(c, Err(reply));
    }

    /// To the thread that makes it durable, or readable for the filter first.
    fn store(&mut self, c: &mut Connection, key: Key, mut transaction: Box<Transaction>, with: &'static str) {
        let Some(mut message) = c.message.take() else { return self.finish(c, Err(lost())) };
        let nrcpt = transaction.recipients().len();
        let end = c.policy.end(nrcpt);
        let filtered = self.filters() && !end.unfiltered;
        let stage = end.freeze.is_some() || filtered;
        let apart = (filtered && !end.exempt.is_empty()).then(|| Box::new(self.apart(c, &transaction, &end.exempt, with)));
        self.mend(&mut message, c.session.user(), &transaction, true);
        let meta = Box::new(Meta {
            key,
            id: message.id,
            volume: message.volume,
            from: envelopes::sender_text(&transaction),
            client: c.client,
            user: c.session.user().map(str::to_lowercase),
            size: message.given + message.content.len() as u64,
            nrcpt,
            proto: with,
            freeze: end.freeze.map(String::into_boxed_str),
            stage,
            counted: c.policy.counted(),
            apart,
        });
        match message.earlier {
            Earlier::Nothing => {
                let recipients = transaction.take_recipients();
                let envelope = Box::new(self.envelope(c, &transaction, recipients, with));
                let content = std::mem::take(&mut message.content);
                self.disks.put(message.volume, Job::Submit { meta, envelope, content, stage });
            }
            Earlier::Draft(draft) => self.disks.put(message.volume, Job::Finish { meta, draft, piece: message.content, stage }),
            Earlier::Away => {
                message.ending = Some(meta);
                c.message = Some(message);
            }
            Earlier::Failed(reply) => self.finish(c, Err(reply)),
        }
    }

    /// As it will stand in the file.
    pub(crate) fn envelope(&self, c: &Connection, transaction: &Transaction, recipients: Vec<Recipient>, with: &str) -> Envelope {
        let exempt = if self.filters() { c.policy.end(recipients.len()).exempt } else { Vec::new() };
        let (first, last): (Vec<_>, Vec<_>) = if exempt.is_empty() {
            (recipients, Vec::new())
        } else {
            let (first, last): (Vec<_>, Vec<_>) = recipients.into_iter().enumerate().partition(|(n, _)| exempt.binary_search(n).is_ok());
            (first.into_iter().map(|(_, r)| r).collect(), last.into_iter().map(|(_, r)| r).collect())
        };
        let mut envelope = envelopes::envelope(c.client, c.session.hello().unwrap_or_default(), with, transaction);
        envelope.authinfo = c.session.user().map(str::to_owned);
        envelope.submitter = envelopes::submitter(c.client, c.listener, &self.context);
        envelope.recipients = first.into_iter().chain(last).map(envelopes::recipient).collect();
        envelope
    }

    fn apart(&self, c: &Connection, transaction: &Transaction, exempt: &[usize], with: &str) -> Apart {
        let all = transaction.recipients();
        let mut envelope = self.envelope(c, transaction, all.to_vec(), with);
        envelope.recipients.truncate(exempt.len());
        let recipients = all.iter().enumerate().map(|(n, r)| (r.address.as_str().to_owned(), exempt.binary_search(&n).is_err()));
        Apart { recipients: recipients.collect(), envelope, refusal: None }
    }

    /// A rule allows less than what has come: the message goes, and the client has its reply.
    fn is_refused_whole(&mut self, c: &mut Connection) -> bool {
        let Some(decision) = c.message.as_ref().and_then(|message| c.policy.content(message.size())) else { return false };
        let Verdict::Refuse(reply) = decision.verdict else { return false };
        self.drop_message(c);
        self.note(c);
        self.finish(c, Err(reply));
        self.note_because(c, decision.cause.as_deref());
        true
    }

    pub(crate) fn end_if_ended(&mut self, c: &mut Connection) {
        let Some(meta) = c.message.as_mut().and_then(|message| message.ending.take()) else { return };
        let Some(message) = c.message.take() else { return };
        let message = *message;
        match message.earlier {
            Earlier::Draft(draft) => {
                let stage = meta.stage;
                self.disks.put(message.volume, Job::Finish { meta, draft, piece: message.content, stage })
            }
            Earlier::Failed(reply) => self.finish(c, Err(reply)),
            Earlier::Nothing | Earlier::Away => self.finish(c, Err(lost())),
        }
    }

    fn filters(&self) -> bool {
        !self.context.settings.filter.program.is_empty()
    }

    /// The verdict on a message, to its session if that is still there.
    pub(crate) fn reply_to(&mut self, meta: &Meta, verdict: Result<MessageId, Reply>) {
        self.settled(meta.key.number);
        let Some(mut c) = self.take_connection(meta.key) else { return };
        match meta.apart.as_ref().and_then(|apart| Some((apart, apart.refusal.as_ref()?))) {
            None => self.finish(&mut c, verdict),
            Some((apart, refusal)) => {
                c.awaiting = Awaiting::Nothing;
                let others = verdict.err();
                let verdicts = apart.recipients.iter().map(|(recipient, judged)| server::Verdict {
                    recipient: recipient.clone(),
                    refusal: if *judged { Some(refusal.clone()) } else { others.clone() },
                });
                c.session.finish_each(meta.id.as_str(), &verdicts.collect::<Vec<_>>());
            }
        }
        self.note(&mut c);
        self.settle(meta.key, c);
    }

    pub(crate) fn finish(&mut self, c: &mut Connection, verdict: Result<MessageId, Reply>) {
        c.awaiting = Awaiting::Nothing;
        self.settled(c.number);
        match verdict {
            Ok(id) => c.session.finish(Ok(id.as_str())),
            Err(reply) => c.session.finish(Err(reply)),
        }
    }
}
