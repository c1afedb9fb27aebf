//! VRFY and EXPN: the router knows.

use crate::answers::no_helper;
use crate::connection::{Awaiting, Connection};
use crate::policy::Asker;
use crate::sync::Key;
use crate::worker::Worker;
use address::Address;
use ipc::routing::{self, Ask, Question, ToRoutermux};
use policy::Answer;
use smtp::server::Inquiry;
use status::Reply;

impl Worker {
    pub(crate) fn inquire(&mut self, c: &mut Connection, key: Key, inquiry: Inquiry, address: &Address) {
        if !self.router.exists() {
            return c.session.answer_inquiry(Err(no_helper()));
        }
        c.awaiting = Awaiting::Inquiry;
        let address = address.as_str().to_owned();
        let question = match inquiry {
            Inquiry::Verify => Question::Verify { address, sender: String::new() },
            Inquiry::Expand => Question::Expand { address },
        };
        let asker = Asker::Inquiry(key, inquiry);
        self.router.ask(|number| ToRoutermux::Ask(Ask { number, question }), asker, self.poll.registry(), self.now);
    }

    pub(crate) fn inquired(&mut self, key: Key, inquiry: Inquiry, answer: Answer) {
        let Some(mut c) = self.take_connection(key) else { return };
        if c.awaiting == Awaiting::Inquiry {
            c.awaiting = Awaiting::Nothing;
            let known = match (answer, inquiry) {
                (Answer::Router(routing::Answer::Routed { .. }), Inquiry::Verify) => {
                    Ok(c.session.inquiry().map(|address| address.as_str().to_owned()).into_iter().collect())
                }
                (Answer::Router(routing::Answer::Routed { quads, .. }), Inquiry::Expand) => {
                    Ok(quads.into_iter().map(|quad| quad.user).collect())
                }
                (Answer::Router(routing::Answer::Refused { reply, .. }), _) => Err(reply),
                _ => Err(no_helper()),
            };
            let known: Result<Vec<String>, Reply> = known;
            c.session.answer_inquiry(known.as_deref().map_err(Reply::clone));
            self.note(&mut c);
        }
        self.settle(key, c);
    }
}
