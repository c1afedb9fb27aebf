//! What each reply of the server does to the session.

use super::limits::says_crowded;
use super::session::{Expected, Standing, State, Step};
use super::{Client, Event, Extensions, Flavour, Framing, Verdict};
use crate::reply_reader::WireReply;
use status::{Enhanced, Outcome, Reply};

impl Client {
    /// The reply to the oldest unanswered command.
    pub(super) fn replied(&mut self, expected: Expected, reply: WireReply, out: &mut Vec<u8>) -> Option<Event> {
        if reply.code == 421 && expected != Expected::Quit {
            self.crowded = !self.proven && matches!(expected, Expected::Greeting | Expected::Ehlo | Expected::Helo | Expected::Mail);
            return self.shut(&reply.into_reply());
        }
        match expected {
            Expected::Greeting | Expected::Ehlo | Expected::Helo => self.opened(expected, reply, out),
            Expected::StartTls => self.starttls_answered(&reply.into_reply(), out),
            Expected::Auth => self.login_answered(reply, out),
            Expected::Chunk => self.chunk_answered(&reply.into_reply()),
            Expected::LastChunk => self.last_chunk_answered(&reply.into_reply()),
            Expected::Rset | Expected::Mail | Expected::Rcpt(_) => self.envelope(expected, &reply.into_reply(), out),
            Expected::Data => self.data(&reply.into_reply(), out),
            Expected::Final => self.ended(None, &reply.into_reply()),
            Expected::FinalOf(index) => self.ended(Some(index), &reply.into_reply()),
            Expected::Discarded => {
                self.state = State::Idle;
                Some(Event::Finished)
            }
            Expected::Quit => None,
        }
    }

    /// A reply to nothing: early in the content it is the server's refusal, elsewhere the two sides are out of step.
    pub(super) fn unasked(&mut self, reply: WireReply) -> Option<Event> {
        if reply.code == 421 {
            return self.shut(&reply.into_reply());
        }
        if self.state == State::Content && reply.code >= 400 && self.framing() == Framing::Dots {
            self.state = State::Closed;
            return Some(self.decide_open(&Verdict::of_reply(&reply.into_reply())));
        }
        self.abandon("the server answered before it was asked")
    }

    fn opened(&mut self, expected: Expected, reply: WireReply, out: &mut Vec<u8>) -> Option<Event> {
        match (expected, reply.code) {
            (Expected::Greeting, 220) => {
                self.introduce(out);
                None
            }
            (Expected::Ehlo | Expected::Helo, 200..=299) => {
                if expected == Expected::Ehlo {
                    self.offered = Extensions::parse(&reply);
                }
                if self.wants_tls() { self.ask_for_tls(out) } else { self.open(out) }
            }
            (Expected::Ehlo, 500..) if self.flavour == Flavour::Smtp => {
                self.greet("HELO", Expected::Helo, out);
                None
            }
            _ => Some(self.refuse(expected, &reply.into_reply())),
        }
    }

    /// The session is there: the transaction begins, or may come.
    pub(super) fn open(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        if self.wants_login() {
            return self.log_in(out);
        }
        self.state = State::Idle;
        if self.transaction.is_some() { self.start(out) } else { Some(Event::Ready) }
    }

    pub(super) fn introduce(&mut self, out: &mut Vec<u8>) {
        let word = match self.flavour {
            Flavour::Smtp => "EHLO",
            Flavour::Lmtp => "LHLO",
        };
        self.greet(word, Expected::Ehlo, out);
    }

    fn greet(&mut self, word: &str, expected: Expected, out: &mut Vec<u8>) {
        out.extend_from_slice(word.as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.hello.as_bytes());
        out.extend_from_slice(b"\r\n");
        self.expected.push_back(expected);
    }

    /// The server does not want to talk. A 5xx greeting says so for today only (554 is how many sites refuse an address
    /// for a while); 521 says that no mail is ever taken there (RFC 7504), and a 5xx to HELO is about us.
    fn refuse(&mut self, expected: Expected, reply: &Reply) -> Event {
        self.state = State::Closed;
        self.crowded = expected == Expected::Greeting && says_crowded(reply);
        let mut verdict = Verdict::of_reply(reply);
        let lasting = reply.code == 521 || expected != Expected::Greeting;
        if verdict.outcome == Outcome::Delivered || (verdict.outcome == Outcome::Failed && !lasting) {
            verdict.outcome = Outcome::Deferred;
            verdict.status = Enhanced::transient(3, 2);
        }
        Event::Refused(verdict)
    }

    fn envelope(&mut self, expected: Expected, reply: &Reply, out: &mut Vec<u8>) -> Option<Event> {
        let accepted = reply.code / 100 == 2;
        if reply.code / 100 == 3 || (expected == Expected::Rset && !accepted) {
            return self.abandon(&format!("the server answered {reply}"));
        }
        match expected {
            Expected::Rset => self.needs_reset = false,
            Expected::Mail => {
                self.answered = true;
                self.mail_accepted = accepted;
                self.proven |= accepted;
                self.needs_reset = accepted;
                if !accepted {
                    self.decide_open(&Verdict::of_reply(reply));
                    if !self.offered.pipelining {
                        self.state = State::Envelope(Step::Sent);
                    }
                }
            }
            Expected::Rcpt(index) => self.recipient(index, accepted, reply),
            _ => {}
        }
        self.emit(out);
        if self.expected.is_empty() && self.state == State::Envelope(Step::Sent) {
            if self.framing() != Framing::Dots && self.any_accepted() {
                self.state = State::Content;
                return Some(Event::SendContent);
            }
            self.state = State::Idle;
            return Some(Event::Finished);
        }
        None
    }

    fn recipient(&mut self, index: usize, accepted: bool, reply: &Reply) {
        // Where MAIL was refused, every recipient has that reply for its verdict already.
        if let (true, Some(standing)) = (self.mail_accepted, self.standings.get_mut(index)) {
            *standing = if accepted { Standing::Accepted } else { Standing::Decided(Verdict::of_rcpt_reply(reply)) };
        }
    }

    fn data(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Option<Event> {
        match reply.code {
            354 if self.any_accepted() => {
                self.state = State::Content;
                Some(Event::SendContent)
            }
            354 if self.mail_accepted && self.flavour == Flavour::Smtp => {
                // Pipelined DATA, no recipient taken, and yet 354 (RFC 2920 section 3.1): an empty message to nobody.
                out.extend_from_slice(b".\r\n");
                self.needs_reset = false;
                self.state = State::Ending;
                self.expected.push_back(Expected::Discarded);
                None
            }
            // Here a lone dot could deliver an empty message, or get no reply: only closing is safe.
            354 => {
                self.state = State::Closed;
                Some(Event::Finished)
            }
            400.. => {
                self.state = State::Idle;
                Some(self.decide_open(&Verdict::of_reply(reply)))
            }
            _ => self.abandon(&format!("the server answered DATA with {reply}")),
        }
    }

    /// A reply after the final dot, for one accepted recipient or all.
    pub(super) fn ended(&mut self, index: Option<usize>, reply: &Reply) -> Option<Event> {
        if reply.code / 100 == 3 {
            return self.abandon(&format!("the server answered the end of data with {reply}"));
        }
        self.needs_reset = false;
        let verdict = Verdict::of_reply(reply);
        match index {
            None => {
                self.decide_open(&verdict);
            }
            Some(index) => {
                if let Some(standing) = self.standings.get_mut(index) {
                    *standing = Standing::Decided(verdict);
                }
            }
        }
        if !self.expected.is_empty() {
            return None;
        }
        self.state = State::Idle;
        Some(Event::Finished)
    }

    /// 421: the server closes. What it has not decided is deferred with its words.
    fn shut(&mut self, reply: &Reply) -> Option<Event> {
        let verdict = Verdict::of_reply(reply);
        self.close(verdict)
    }

    /// The session is over, for a reason of our own or of the network's.
    pub(super) fn abandon(&mut self, why: &str) -> Option<Event> {
        let sent = self.state == State::Ending && self.any_accepted();
        let note = if sent { " after the end of data; the message may be delivered twice" } else { "" };
        self.close(Verdict::deferred(Enhanced::transient(4, 2), format!("{why}{note}")))
    }

    pub(super) fn close(&mut self, verdict: Verdict) -> Option<Event> {
        let before = std::mem::replace(&mut self.state, State::Closed);
        self.expected.clear();
        if matches!(before, State::Opening | State::Handshake) || (self.transaction.is_some() && !self.answered) {
            return Some(Event::Refused(verdict));
        }
        self.transaction.is_some().then(|| self.decide_open(&verdict))
    }

    /// Gives every recipient that has no verdict this one.
    pub(super) fn decide_open(&mut self, verdict: &Verdict) -> Event {
        for standing in &mut self.standings {
            if !matches!(standing, Standing::Decided(_)) {
                *standing = Standing::Decided(verdict.clone());
            }
        }
        Event::Finished
    }
}
