//! A driver for tests: accepts senders, knows the user `known` only, and collects messages.

use super::{Config, Inquiry, Protocol, RelayPolicy, Rights, Security, Session, Stand, Standing, Step, Verdict};
use status::{Enhanced, Reply};
use std::sync::Arc;

pub(super) fn config() -> Config {
    Config {
        hostname: "mx.example".into(),
        banner: "ESMTP zpost".into(),
        max_message_size: 10_000,
        max_recipients: 5,
        max_hops: 5,
        max_errors: 10,
        max_idle_commands: 10,
        max_refused_recipients: 1000,
        max_header_bytes: 5_000,
        max_line: 5_000,
        blank_newlines: false,
        relay: RelayPolicy { local: vec!["local.example".into()], relay: vec!["relay.example".into()], ..RelayPolicy::default() },
        offers: super::Offers::default(),
    }
}

pub(super) struct Driver {
    pub session: Session,
    pub replies: String,
    /// Recipients and content of what was accepted.
    pub messages: Vec<(Vec<String>, String)>,
    pub refused: usize,
    pub begun: usize,
    pub cancelled: usize,
    pub stood: Option<Stand>,
    /// What the commit says; `None`: an id.
    pub commit: Option<Reply>,
    /// What it says for each recipient, once; else all fare alike.
    pub verdicts: Option<Vec<Option<Reply>>>,
    sink: Vec<u8>,
}

impl Driver {
    pub fn new(config: Config, protocol: Protocol, may_relay: bool) -> Self {
        Self::with(config, protocol, Rights { relay: may_relay, ..Rights::default() })
    }

    pub fn with(config: Config, protocol: Protocol, rights: Rights) -> Self {
        let session = Session::new(Arc::new(config), protocol, Arc::new(rights), Security::Offered);
        Self {
            session,
            replies: String::new(),
            messages: Vec::new(),
            refused: 0,
            begun: 0,
            cancelled: 0,
            stood: None,
            commit: None,
            verdicts: None,
            sink: Vec::new(),
        }
    }

    pub fn smtp(may_relay: bool) -> Self {
        Self::new(config(), Protocol::Smtp, may_relay)
    }

    /// Feeds and answers; true while the session is open.
    pub fn feed(&mut self, mut input: &[u8]) -> bool {
        loop {
            let (used, step) = self.session.step(input, &mut self.sink);
            input = &input[used..];
            self.replies.push_str(std::str::from_utf8(self.session.output()).unwrap());
            self.session.output().clear();
            match step {
                Step::Etrn(_) | Step::XForward(_) => {}
                Step::XClient(stand) => {
                    let rights = Arc::clone(self.session.rights());
                    self.stood = Some(Stand::clone(&stand));
                    self.session.restart(*stand, rights);
                }
                Step::Inquiry { inquiry, address } => {
                    let unknown = Reply::new(550, Enhanced::permanent(1, 1), "unknown user");
                    let both = ["known@local.example".to_owned(), "b\r\n250 x@y".to_owned()];
                    match (address.local(), inquiry) {
                        ("known", _) => self.session.answer_inquiry(Ok(&[address.to_string()])),
                        ("list", Inquiry::Expand) => self.session.answer_inquiry(Ok(&both)),
                        _ => self.session.answer_inquiry(Err(unknown)),
                    }
                }
                Step::Read => return true,
                Step::Close => return false,
                Step::StartTls => self.session.secured(Arc::clone(self.session.rights())),
                Step::Hello => {
                    self.sink.clear();
                    self.session.answer(Ok(()));
                }
                Step::Sender => self.session.answer(Ok(())),
                Step::Data => {
                    self.session.answer(Ok(()));
                    self.begun += 1;
                }
                Step::Authenticate { mechanism, initial } => self.login(&mechanism, initial),
                Step::AuthResponse(response) => self.password(&response),
                Step::AuthCancelled => self.cancelled += 1,
                Step::Recipient { standing } => {
                    let known = standing != Standing::Verify || self.session.candidate().unwrap().local() == "known";
                    let unknown = Reply::new(550, Enhanced::permanent(1, 1), "unknown user");
                    self.session.answer(if known { Ok(()) } else { Err(unknown) });
                }
                Step::Begin => self.begun += 1,
                Step::Refused => {
                    self.refused += 1;
                    self.sink.clear();
                }
                Step::End(mut transaction) => {
                    let to: Vec<String> = transaction.take_recipients().into_iter().map(|r| r.address.to_string()).collect();
                    let text = String::from_utf8_lossy(&std::mem::take(&mut self.sink)).into_owned();
                    if let Some(refusals) = self.verdicts.take() {
                        let recipients = to.into_iter().chain(std::iter::repeat(String::new()));
                        let verdicts = recipients.zip(refusals).map(|(recipient, refusal)| Verdict { recipient, refusal });
                        self.session.finish_each("ID", &verdicts.collect::<Vec<_>>());
                        continue;
                    }
                    match self.commit.clone() {
                        Some(reply) => self.session.finish(Err(reply)),
                        None => {
                            self.messages.push((to, text));
                            self.session.finish(Ok("ID"));
                        }
                    }
                }
                Step::Wait => panic!("nothing is open"),
            }
        }
    }

    /// PLAIN with `\0u\0p`, or LOGIN with any name and the password `p`.
    fn login(&mut self, mechanism: &str, initial: Option<Vec<u8>>) {
        match (mechanism, initial) {
            ("PLAIN", Some(message)) => self.verdict(message == b"\0u\0p"),
            ("PLAIN", None) => self.session.challenge(b""),
            _ => self.session.challenge(b"Password:"),
        }
    }

    fn password(&mut self, response: &[u8]) {
        self.verdict(response == b"p" || response == b"\0u\0p");
    }

    fn verdict(&mut self, right: bool) {
        if right {
            let rights = Rights { relay: true, ..Rights::clone(self.session.rights()) };
            self.session.authenticated("u", Arc::new(rights));
        } else {
            self.session.not_authenticated(&Reply::new(535, Enhanced::permanent(7, 8), "wrong"));
        }
    }

    /// Feeds in pieces; true while the session is open.
    pub fn pieces(&mut self, input: &[u8], piece: usize) -> bool {
        input.chunks(piece).all(|part| self.feed(part))
    }

    /// Feeds command lines one by one; the codes of all replies to them (last lines only).
    pub fn lines(&mut self, lines: &[&str]) -> Vec<u16> {
        self.replies.clear();
        for line in lines {
            self.feed(format!("{line}\r\n").as_bytes());
        }
        self.codes()
    }

    pub fn codes(&self) -> Vec<u16> {
        self.replies.lines().filter(|l| l.as_bytes()[3] == b' ').map(|l| l[..3].parse().unwrap()).collect()
    }
}
