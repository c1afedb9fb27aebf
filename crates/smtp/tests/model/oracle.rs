//! What the client has sent, the driver was asked and the server has said, held against the rules.

mod transfer;

use super::case::Case;
use super::content::{self, Framing};
use super::replies::{Replies, Reply};
use super::run::Event;
use smtp::server::{Protocol, Security, Session};
use std::collections::VecDeque;

/// Where in the stream the next bytes belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Command,
    Login,
    /// Content of DATA.
    Content,
    /// Octets of a chunk: how many, whether the last, whether there is a transaction that takes it.
    Chunk {
        size: usize,
        last: bool,
        taken: bool,
    },
}

pub struct Oracle<'c> {
    case: &'c Case,
    /// Everything sent since the connection, or TLS on it, began; how far it is understood; and where pieces end.
    stream: Vec<u8>,
    at: usize,
    ends: Vec<usize>,
    replies: Replies,
    /// Each with the number of the reply that it belongs to.
    events: VecDeque<(usize, Event)>,
    phase: Phase,
    tls: bool,
    /// Said hello; with EHLO or LHLO.
    hello: Option<bool>,
    user: bool,
    /// Recipients of the open transaction.
    transaction: Option<Vec<String>>,
    binary: bool,
    /// It asked for a reply for each recipient.
    prdr: bool,
    /// Chunks so far: their octets.
    chunks: Option<Vec<u8>>,
    /// What the driver has said of the chunk that is being skipped.
    refused: Option<u16>,
    closed: bool,
}

impl<'c> Oracle<'c> {
    pub fn new(case: &'c Case) -> Self {
        Self {
            case,
            stream: Vec::new(),
            at: 0,
            ends: Vec::new(),
            replies: Replies::default(),
            events: VecDeque::new(),
            phase: Phase::Command,
            tls: case.security == Security::Tls,
            hello: None,
            user: false,
            transaction: None,
            binary: false,
            prdr: false,
            chunks: None,
            refused: None,
            closed: false,
        }
    }

    pub fn greeted(&mut self, output: &[u8]) {
        self.replies.heard(output);
        let greeting = self.replies.next(true).expect("a greeting");
        assert!(greeting.code == 220 && self.replies.is_empty(), "{greeting:?}");
    }

    pub fn sends(&mut self, piece: &[u8]) {
        self.stream.extend_from_slice(piece);
        self.ends.push(self.stream.len());
    }

    pub fn hears(&mut self, output: &[u8]) {
        self.replies.heard(output);
    }

    /// `said`: the reply to it was heard before.
    pub fn sees(&mut self, event: Event, said: bool) {
        self.events.push_back((self.replies.heard - usize::from(said), event));
    }

    /// What the driver was asked about the command whose reply was taken last.
    fn event(&mut self) -> Option<Event> {
        self.event_of(self.replies.matched - 1)
    }

    fn event_of(&mut self, reply: usize) -> Option<Event> {
        self.events.pop_front_if(|(of, _)| *of == reply).map(|(_, event)| event)
    }

    /// Understands as much of the stream as is whole. The session has taken everything and waits.
    pub fn advance(&mut self, session: &Session) {
        while !self.closed && self.advance_one() {}
        if !self.closed
            && let Some(reply) = self.replies.next(false)
        {
            // A line or a chunk that is not whole: only the end of the session may be said into it.
            assert!(reply.code == 421 || reply.code == 554, "a reply that nobody asked for: {reply:?}");
            self.closed = true;
        }
        assert!(self.replies.is_empty(), "more replies than commands: {:?}", self.replies);
        assert_eq!(session.is_closed(), self.closed, "closed");
        if self.closed {
            assert!(session.transaction().is_none(), "a transaction outlives its session");
            return;
        }
        assert!(self.events.is_empty(), "events that belong to no command: {:?}", self.events);
        let skipped = matches!(self.phase, Phase::Chunk { taken: false, .. });
        assert!(skipped || session.transaction().is_some() == self.transaction.is_some(), "transaction: {:?}", self.transaction);
        assert_eq!(session.user().is_some(), self.user, "user");
        if let (Some(transaction), Some(recipients)) = (session.transaction(), &self.transaction) {
            let has: Vec<&str> = transaction.recipients().iter().map(|r| r.address.as_str()).collect();
            assert_eq!(has, *recipients, "recipients");
        }
    }

    fn rest(&self) -> &[u8] {
        &self.stream[self.at..]
    }

    /// False: the next thing is not whole yet.
    fn advance_one(&mut self) -> bool {
        match self.phase {
            Phase::Command | Phase::Login => {
                let Some(end) = self.rest().iter().position(|b| *b == b'\n') else { return false };
                let line = self.rest()[..=end].to_vec();
                self.at += end + 1;
                if self.phase == Phase::Login { self.login_line() } else { self.line(&line) }
            }
            Phase::Content => {
                let Some((text, whole)) = content::end_of_data(self.rest()) else { return false };
                let wire = self.rest()[..text].to_vec();
                self.at += whole;
                self.phase = Phase::Command;
                self.end(&wire, Framing::Dots);
            }
            Phase::Chunk { size, last, taken } => {
                if self.rest().len() < size {
                    return false;
                }
                let octets = self.rest()[..size].to_vec();
                self.at += size;
                self.phase = Phase::Command;
                self.chunk(&octets, last, taken);
            }
        }
        true
    }

    /// Something followed the line in the same piece.
    fn followed(&self) -> bool {
        self.at < self.stream.len() && !self.ends.contains(&self.at)
    }

    fn reply(&mut self, plain: bool) -> Reply {
        let reply = self.replies.next(plain).unwrap_or_else(|| panic!("no reply to what ends at {}", self.at));
        if reply.code == 421 {
            self.close();
        }
        reply
    }

    fn close(&mut self) {
        self.closed = true;
        self.events.clear();
        self.clear();
    }

    /// The transaction and all of it.
    fn clear(&mut self) {
        (self.transaction, self.chunks, self.binary, self.prdr) = (None, None, false, false);
    }

    fn line(&mut self, line: &[u8]) {
        let word: Vec<u8> = line.iter().take_while(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n')).map(u8::to_ascii_uppercase).collect();
        let greeting = matches!(word.as_slice(), b"EHLO" | b"HELO" | b"LHLO" | b"XCLIENT");
        let good = line.ends_with(b"\r\n") && !line[..line.len() - 2].iter().any(|b| matches!(b, b'\r' | 0)) && line.len() <= 4096;
        let argument = line[word.len()..].trim_ascii();
        if good && word == b"BDAT" && (self.hello == Some(true) || !self.followed()) {
            return self.bdat(argument);
        }
        let must_be_alone = matches!(word.as_slice(), b"DATA" | b"STARTTLS" | b"AUTH" | b"XCLIENT");
        let reply = self.reply(greeting);
        if self.closed {
            return;
        }
        let out_of_turn = reply.code == 554 && reply.text.starts_with("5.5.0");
        if out_of_turn {
            assert!(self.followed() && (must_be_alone || self.hello != Some(true)), "in turn: {line:?}");
            return self.close();
        }
        assert!(!good || !must_be_alone || !self.followed(), "{:?} and more in one piece: {reply:?}", line.escape_ascii().to_string());
        if !good && line.len() <= 4096 {
            assert!(reply.code >= 500, "{reply:?} to {:?}", line.escape_ascii().to_string());
        }
        match (word.as_slice(), reply.code) {
            (b"EHLO" | b"HELO" | b"LHLO", _) => self.hello(&word, argument, reply.code),
            (b"MAIL", _) => self.mail(argument, reply.code),
            (b"RCPT", _) => self.rcpt(line, reply.code),
            (b"DATA", _) => self.data(reply.code),
            (b"RSET", 250) => {
                if self.chunks.is_some() {
                    assert!(matches!(self.event(), Some(Event::Refused)), "content left with the driver");
                }
                self.clear();
            }
            (b"QUIT", 221) => self.close(),
            (b"STARTTLS", 220) => self.start_tls(),
            (b"AUTH", code) => {
                assert!(code >= 500 || (self.hello == Some(true) && !self.user && self.transaction.is_none()), "AUTH out of place");
                assert!(code >= 400 || !self.case.rights.mechanisms.is_empty(), "AUTH was not offered");
                self.login(code);
            }
            (b"VRFY" | b"EXPN", _) => self.inquiry(&word, reply.code),
            (b"XCLIENT", _) => self.restart(argument, reply.code),
            (b"XFORWARD", 250) => assert!(self.case.rights.xforward && self.transaction.is_none(), "XFORWARD out of place"),
            (b"NOOP", 250) | (b"HELP", 214) => {}
            (b"ETRN", 250) => assert!(self.case.rights.etrn && self.transaction.is_none()),
            (_, code) => assert!(code >= 400, "{code} to {:?}", line.escape_ascii().to_string()),
        }
    }

    fn hello(&mut self, word: &[u8], argument: &[u8], code: u16) {
        let mut event = self.event();
        let dropped = matches!(event, Some(Event::Refused));
        if dropped {
            event = self.event();
        }
        let asked = matches!(event, Some(Event::Hello(_)));
        assert!(self.chunks.is_some() || !dropped, "dropped what was not there");
        assert!(self.chunks.is_none() || dropped || asked || code >= 400, "content left with the driver");
        match event {
            Some(Event::Hello(Err(refusal))) => {
                assert_eq!(code, refusal);
                self.hello = None;
                return self.clear();
            }
            Some(Event::Hello(Ok(()))) => assert_eq!(code, 250),
            None => assert!(!self.case.rights.ask_hello || code >= 400),
            other => panic!("{other:?} at a greeting"),
        }
        if code == 250 {
            assert!(!argument.is_empty(), "a greeting without a name");
            assert_eq!(word == b"LHLO", self.case.protocol == Protocol::Lmtp);
            self.clear();
            self.hello = Some(word != b"HELO");
        }
    }

    fn mail(&mut self, argument: &[u8], code: u16) {
        match self.event() {
            None => return assert!(code >= 400, "MAIL was taken and nobody asked"),
            Some(Event::Sender(verdict)) => assert_eq!(code, verdict.err().unwrap_or(250)),
            other => panic!("{other:?} at MAIL"),
        }
        assert!(self.hello.is_some() && self.transaction.is_none(), "MAIL out of place");
        let rights = &self.case.rights;
        assert!(self.user || !rights.login_required, "MAIL without a login");
        assert!(self.tls || !rights.tls_required, "MAIL in the clear");
        assert!(self.user || rights.relay || self.case.protocol != Protocol::Submission, "submission by a stranger");
        if code == 250 {
            self.transaction = Some(Vec::new());
            let argument = argument.to_ascii_uppercase();
            self.binary = argument.windows(15).any(|window| window == b"BODY=BINARYMIME");
            self.prdr = argument.windows(5).any(|window| window == b" PRDR");
            assert!(!self.prdr || rights.prdr && self.case.protocol != Protocol::Lmtp, "PRDR was not offered");
        }
    }

    fn rcpt(&mut self, line: &[u8], code: u16) {
        let (address, verdict) = match self.event() {
            None => return assert!(code >= 400, "RCPT was taken and nobody asked"),
            Some(Event::Recipient { address, verdict }) => (address, verdict),
            other => panic!("{other:?} at RCPT"),
        };
        assert_eq!(code, verdict.err().unwrap_or(250));
        assert!(self.chunks.is_none(), "RCPT between chunks");
        let literally = line.windows(address.len()).any(|part| part.eq_ignore_ascii_case(address.as_bytes()));
        assert!(literally, "{address:?} is not what was said: {:?}", line.escape_ascii().to_string());
        let recipients = self.transaction.as_mut().expect("RCPT without MAIL");
        if code == 250 {
            recipients.push(address);
            assert!(recipients.len() <= 5, "more recipients than allowed");
        }
    }

    fn inquiry(&mut self, word: &[u8], code: u16) {
        let rights = &self.case.rights;
        let allowed = if word == b"VRFY" { rights.vrfy } else { rights.expn };
        match self.event() {
            Some(Event::Inquiry(verdict)) => {
                assert!(allowed, "asked for one who may not");
                assert_eq!(code, verdict.map_or_else(|code| code, |told| if told == 0 { 252 } else { 250 }));
            }
            None => assert!(code >= 400 || (code == 252 && word == b"VRFY"), "{code} and nobody was asked"),
            other => panic!("{other:?} at {word:?}"),
        }
    }

    /// XCLIENT: the session begins anew.
    fn restart(&mut self, argument: &[u8], code: u16) {
        match self.event() {
            None => assert!(code >= 500, "{code} and nobody was asked"),
            Some(Event::Restarted { hello, user, verdict }) => {
                assert!(self.case.rights.xclient && self.transaction.is_none(), "XCLIENT out of place");
                assert_eq!(code, verdict.err().unwrap_or(220));
                if verdict.is_err() {
                    return self.close();
                }
                let text = String::from_utf8_lossy(argument).to_ascii_uppercase().replace("+53", "S").replace("+50", "P");
                let plain = text.split(' ').any(|pair| pair == "PROTO=SMTP");
                self.hello = hello.then_some(!plain);
                self.user = user;
            }
            other => panic!("{other:?} at XCLIENT"),
        }
    }

    fn start_tls(&mut self) {
        assert!(matches!(self.event(), Some(Event::Secured)));
        assert!(!self.tls && self.case.security == Security::Offered, "STARTTLS that was not offered");
        assert!(self.hello == Some(true) && self.transaction.is_none(), "STARTTLS out of place");
        assert_eq!(self.at, self.stream.len(), "something was sent in the clear behind STARTTLS");
        (self.tls, self.hello, self.user) = (true, None, false);
    }

    fn login(&mut self, code: u16) {
        self.phase = Phase::Command;
        match self.event() {
            Some(Event::Challenged) => {
                assert_eq!(code, 334);
                self.phase = Phase::Login;
            }
            Some(Event::LoggedIn) => {
                assert_eq!(code, 235);
                self.user = true;
            }
            Some(Event::NotLoggedIn) => assert_eq!(code, 535),
            Some(Event::Cancelled) | None => assert!(code >= 500, "{code} and nobody was asked"),
            other => panic!("{other:?} at a login"),
        }
    }

    /// A line of the exchange.
    fn login_line(&mut self) {
        let reply = self.reply(false);
        if self.closed {
            return;
        }
        if reply.code == 554 && reply.text.starts_with("5.5.0") {
            assert!(self.followed(), "in turn");
            return self.close();
        }
        assert!(!self.followed(), "a line of a login and more in one piece: {reply:?}");
        self.login(reply.code);
    }
}
