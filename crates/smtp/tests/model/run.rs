//! The real session with a driver, watched by the oracle.

use super::case::{Answer, Case};
use super::oracle::Oracle;
use smtp::server::{Grant, Protocol, Session, Standing, Step, Verdict};
use status::{Enhanced, Reply};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the driver was asked, and what it said; in the order of the session.
#[derive(Debug)]
pub enum Event {
    Hello(Result<(), u16>),
    Sender(Result<(), u16>),
    Recipient {
        address: String,
        verdict: Result<(), u16>,
    },
    Data(Result<(), u16>),
    Begin,
    /// The recipients and the content of a message, and what was said of it.
    End {
        recipients: Vec<String>,
        content: Vec<u8>,
        verdicts: Vec<Result<(), u16>>,
    },
    Refused,
    Secured,
    Challenged,
    LoggedIn,
    NotLoggedIn,
    Cancelled,
    /// XCLIENT: who the client is from now on.
    Restarted {
        hello: bool,
        user: bool,
        verdict: Result<(), u16>,
    },
    /// VRFY or EXPN: how many addresses are told.
    Inquiry(Result<usize, u16>),
}

struct Driver<'c> {
    case: &'c Case,
    answers: VecDeque<Answer>,
    session: Session,
    sink: Vec<u8>,
    said: String,
}

/// Runs a case to its end; everything the server said.
pub fn run(case: &Case) -> String {
    let session = Session::new(Arc::new(case.config.clone()), case.protocol, Arc::new(case.rights.clone()), case.security);
    let mut driver = Driver { case, answers: case.answers.iter().copied().collect(), session, sink: Vec::new(), said: String::new() };
    let mut oracle = Oracle::new(case);
    oracle.greeted(&driver.output());
    for piece in &case.pieces {
        oracle.sends(piece);
        let open = driver.feed(piece, &mut oracle);
        oracle.advance(&driver.session);
        if !open {
            break;
        }
    }
    driver.said
}

impl Driver<'_> {
    fn output(&mut self) -> Vec<u8> {
        let output = std::mem::take(self.session.output());
        self.said.push_str(&String::from_utf8_lossy(&output));
        output
    }

    fn answer(&mut self) -> Answer {
        self.answers.pop_front().unwrap_or(Answer::Yes)
    }

    fn verdict(&mut self) -> Result<(), u16> {
        if let Answer::No(code) = self.answer() { Err(code) } else { Ok(()) }
    }

    /// False: the session has ended.
    fn feed(&mut self, piece: &[u8], oracle: &mut Oracle<'_>) -> bool {
        let mut rest = piece;
        loop {
            let (used, step) = self.session.step(rest, &mut self.sink);
            rest = &rest[used..];
            let before = self.output();
            oracle.hears(&before);
            let (go_on, event) = self.act(step);
            if let Some(event) = event {
                // The reply is there already, or comes by our answer or at the end of the chunk.
                let said = match event {
                    Event::Refused | Event::Secured | Event::Cancelled => true,
                    Event::Begin => before.rsplit(|b| *b == b'\n').nth(1).is_some_and(|line| line.starts_with(b"354")),
                    _ => false,
                };
                oracle.sees(event, said);
            }
            oracle.hears(&self.output());
            if let Some(open) = go_on {
                return open;
            }
        }
    }

    /// What a driver does, and whether the piece is at its end (the session open or not).
    fn act(&mut self, step: Step) -> (Option<bool>, Option<Event>) {
        let event = match step {
            Step::Read => return (Some(true), None),
            Step::Close => return (Some(false), None),
            Step::Hello => {
                self.sink.clear();
                let verdict = self.verdict();
                self.session.answer(verdict.map_err(reply));
                Event::Hello(verdict)
            }
            Step::Sender => {
                let verdict = self.verdict();
                self.session.answer(verdict.map_err(reply));
                Event::Sender(verdict)
            }
            Step::Recipient { standing } => self.recipient(standing),
            Step::Data => {
                let verdict = self.verdict();
                self.session.answer(verdict.map_err(reply));
                self.sink.clear();
                Event::Data(verdict)
            }
            Step::Begin => {
                self.sink.clear();
                Event::Begin
            }
            Step::End(mut transaction) => {
                let recipients: Vec<String> = transaction.take_recipients().into_iter().map(|r| r.address.as_str().to_owned()).collect();
                let verdicts = self.end(&recipients);
                Event::End { recipients, content: std::mem::take(&mut self.sink), verdicts }
            }
            Step::Refused => {
                self.sink.clear();
                Event::Refused
            }
            Step::StartTls => {
                // What came with it in the clear is gone.
                self.session.secured(Arc::new(self.case.rights.clone()));
                return (Some(true), Some(Event::Secured));
            }
            Step::Authenticate { .. } | Step::AuthResponse(_) => self.login(),
            Step::AuthCancelled => Event::Cancelled,
            Step::XClient(stand) => {
                let verdict = self.verdict();
                match verdict {
                    Ok(()) => self.session.restart(*stand, Arc::new(self.case.rights.clone())),
                    Err(code) => self.session.turn_away(&reply(code)),
                }
                Event::Restarted { hello: self.session.hello().is_some(), user: self.session.user().is_some(), verdict }
            }
            Step::XForward(said) => {
                assert!(said.iter().all(|(_, value)| !value.chars().any(char::is_control)), "{said:?}");
                return (None, None);
            }
            Step::Inquiry { address, .. } => {
                assert_eq!(self.session.inquiry(), Some(&address));
                let told = ["b@local.example\r\n".to_owned(), "c@local.example".to_owned()];
                let (verdict, told) = match self.answer() {
                    Answer::No(code) => (Err(code), &[][..]),
                    Answer::Grant => (Ok(0), &[][..]),
                    _ => (Ok(2), &told[..]),
                };
                self.session.answer_inquiry(verdict.map(|_| told).map_err(reply));
                Event::Inquiry(verdict)
            }
            Step::Etrn(node) => {
                assert!(node.bytes().all(|b| b.is_ascii_graphic()));
                return (None, None);
            }
            other => panic!("{other:?} where it was not allowed, or every question was answered"),
        };
        (None, Some(event))
    }

    /// What becomes of a message: for each of its recipients.
    fn end(&mut self, recipients: &[String]) -> Vec<Result<(), u16>> {
        let answer = self.answer();
        let Answer::Each(bits) = answer else {
            let verdict = if let Answer::No(code) = answer { Err(code) } else { Ok(()) };
            self.session.finish(verdict.map(|()| "ID").map_err(reply));
            return vec![verdict; recipients.len()];
        };
        let code = |at: usize| if bits == 0x1f { 550 } else { [550, 450, 421][at % 3] };
        let verdicts: Vec<_> = (0..recipients.len()).map(|at| if bits >> at & 1 == 1 { Err(code(at)) } else { Ok(()) }).collect();
        let each = recipients
            .iter()
            .zip(&verdicts)
            .map(|(recipient, verdict)| Verdict { recipient: recipient.clone(), refusal: verdict.err().map(reply) });
        self.session.finish_each("ID", &each.collect::<Vec<_>>());
        verdicts
    }

    fn recipient(&mut self, standing: Standing) -> Event {
        let address = self.session.candidate().expect("a candidate").as_str().to_owned();
        let answer = self.answer();
        let verdict = match (answer, standing) {
            (Answer::Grant, _) => {
                self.session.grant(Grant::Relay);
                return Event::Recipient { address, verdict: Ok(()) };
            }
            (Answer::No(code), _) => Err(code),
            (_, Standing::Denied) => {
                assert!(!self.case.rights.relay, "denied to one who may");
                self.session.answer(Ok(()));
                return Event::Recipient { address, verdict: Err(550) };
            }
            _ => Ok(()),
        };
        self.session.answer(verdict.map_err(reply));
        Event::Recipient { address, verdict }
    }

    fn login(&mut self) -> Event {
        match self.answer() {
            Answer::Challenge => {
                self.session.challenge(b"more");
                Event::Challenged
            }
            Answer::No(code) => {
                self.session.not_authenticated(&reply(if code == 421 { 421 } else { 535 }));
                Event::NotLoggedIn
            }
            Answer::Yes | Answer::Grant | Answer::Each(_) => {
                self.session.authenticated("u", Arc::new(self.case.rights.clone()));
                Event::LoggedIn
            }
        }
    }
}

/// LMTP answers for each recipient; everybody else once, but with PRDR where recipients fare differently.
pub fn replies_due(case: &Case, recipients: usize) -> usize {
    if case.protocol == Protocol::Lmtp { recipients } else { 1 }
}

fn reply(code: u16) -> Reply {
    let status = if code < 500 { Enhanced::transient(7, 1) } else { Enhanced::permanent(7, 1) };
    // What comes from a table or another process may hold anything.
    Reply::new(code, status, "no\r\n250 2.0.0 injected")
}
