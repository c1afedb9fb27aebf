//! What each command does.

use super::command::{self, Verb};
use super::content::Content;
use super::parameters::{self, ParameterError};
use super::relay::Judgement;
use super::session::{Candidate, Hello, Right, Security, Session, State, Step, reply_of};
use super::transaction::{Recipient, Transaction};
use super::{Protocol, Stage};
use address::{AddressError, Path, PathError};
use std::io::Write as _;

/// Recipients refused in one session before it ends: whoever guesses names finds no cheap oracle here.
const MOST_REFUSED: u32 = 1000;

impl Session {
    /// `following`: what the client has already sent after this line.
    pub(super) fn execute(&mut self, line: &[u8], following: Option<&[u8]>) -> Option<Step> {
        let (verb, argument) = command::split(line);
        // DATA and STARTTLS end their group always (RFC 2920, RFC 3207: what is read in the clear must not be run inside); before PIPELINING was announced every command does.
        if let Some(following) = following
            && (matches!(verb, Verb::Data | Verb::StartTls) || !self.hello.as_ref().is_some_and(|hello| hello.extended))
        {
            self.out_of_turn(following);
            return None;
        }
        match verb {
            Verb::Ehlo | Verb::Helo | Verb::Lhlo => self.greet(verb, argument),
            Verb::Mail => return self.mail(argument),
            Verb::Rcpt => return self.rcpt(argument),
            Verb::Data => return self.data(argument),
            Verb::Quit => self.close(221, "2.0.0", "bye"),
            Verb::Bdat => self.bdat(argument),
            Verb::StartTls => return self.start_tls(argument),
            Verb::Etrn => return self.etrn(argument),
            Verb::Rset | Verb::Noop | Verb::Vrfy | Verb::Help => self.idle(verb, argument),
            Verb::Expn | Verb::Unsupported => self.error(502, "5.5.1", "command not implemented"),
            Verb::Unknown => self.unknown(line),
        }
        None
    }

    fn unknown(&mut self, line: &[u8]) {
        if self.hello.is_none() && self.errors == 0 {
            self.note(
                Stage::Protocol,
                500,
                &String::from_utf8_lossy(line.get(..100.min(line.len())).unwrap_or_default()),
                "unknown command",
            );
        }
        self.error(500, "5.5.2", "command not recognized");
    }

    fn greet(&mut self, verb: Verb, argument: &[u8]) {
        if (verb == Verb::Lhlo) != (self.protocol == Protocol::Lmtp) {
            return self.error(500, "5.5.1", "wrong greeting for this protocol");
        }
        let Some(name) = command::hello_name(argument) else {
            return self.error(501, "5.5.4", "a host name is wanted");
        };
        let hello = Hello { name: name.into(), extended: verb != Verb::Helo };
        if self.hello.is_some() && self.is_too_idle() {
            return;
        }
        // RFC 5321 section 4.1.4: EHLO in the middle clears as RSET does.
        self.leave_transaction();
        let config = std::sync::Arc::clone(&self.config);
        if hello.extended {
            let etrn = if self.may_etrn { "250-ETRN\r\n" } else { "" };
            let starttls = if self.security == Security::Offered { "250-STARTTLS\r\n" } else { "" };
            let _ = write!(
                self.output(),
                "250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-DSN\r\n{}{}250 HELP\r\n",
                config.hostname,
                config.max_message_size,
                starttls,
                etrn
            );
        } else {
            let _ = write!(self.output(), "250 {}\r\n", config.hostname);
        }
        self.hello = Some(hello);
    }

    /// Commands that bring no message nearer.
    fn idle(&mut self, verb: Verb, argument: &[u8]) {
        if self.is_too_idle() {
            return;
        }
        match verb {
            Verb::Rset if !argument.is_empty() => self.error(501, "5.5.4", "RSET takes no argument"),
            Verb::Rset => {
                self.leave_transaction();
                self.reply(250, "2.0.0", "ok");
            }
            Verb::Vrfy if argument.is_empty() => self.error(501, "5.5.4", "an address is wanted"),
            Verb::Vrfy if !argument.is_ascii() && !self.is_utf8() => self.error(553, "5.6.7", "SMTPUTF8 was not asked for"),
            Verb::Vrfy => self.reply(252, "2.1.5", "send some mail, I will try my best"),
            Verb::Help => self.reply(214, "2.0.0", "EHLO HELO LHLO STARTTLS MAIL RCPT DATA RSET NOOP VRFY QUIT HELP; RFC 5321"),
            _ => self.reply(250, "2.0.0", "ok"),
        }
    }

    fn is_utf8(&self) -> bool {
        self.transaction().is_some_and(|t| t.smtputf8)
    }

    /// Counts a command without progress; true: one too many, the session has ended.
    fn is_too_idle(&mut self) -> bool {
        self.idle_commands += 1;
        if self.idle_commands <= self.config.max_idle_commands {
            return false;
        }
        self.note(Stage::Protocol, 421, "", "too many commands without a message");
        self.close(421, "4.7.0", "too many commands without a message");
        true
    }

    /// RFC 1985. We do not wait for the scheduler, so of the replies for success it is always 250.
    fn etrn(&mut self, argument: &[u8]) -> Option<Step> {
        if self.is_too_idle() {
            return None;
        }
        let node = command::etrn_node(argument);
        match node {
            _ if !self.hello.as_ref().is_some_and(|hello| hello.extended) => self.error(503, "5.5.1", "EHLO first"),
            _ if !matches!(self.state, State::Idle) => self.error(503, "5.5.1", "not within a transaction"),
            _ if !self.may_etrn => {
                self.note(Stage::Protocol, 459, "", "ETRN from a client that may not");
                self.error(459, "4.7.1", "you may not start the queue");
            }
            None => self.error(501, "5.5.4", "a domain, @domain or #nexthop is wanted"),
            Some(node) => {
                self.reply(250, "2.0.0", &format!("OK, queuing for node {node} started"));
                return Some(Step::Etrn(node));
            }
        }
        None
    }

    fn start_tls(&mut self, argument: &[u8]) -> Option<Step> {
        if self.is_too_idle() {
            return None;
        }
        match self.security {
            Security::Plain => self.error(502, "5.5.1", "STARTTLS is not offered"),
            Security::Tls => self.error(503, "5.5.1", "TLS is active already"),
            Security::Offered if !argument.is_empty() => self.error(501, "5.5.4", "STARTTLS takes no argument"),
            Security::Offered if !self.hello.as_ref().is_some_and(|hello| hello.extended) => self.error(503, "5.5.1", "EHLO first"),
            Security::Offered if !matches!(self.state, State::Idle) => self.error(503, "5.5.1", "not within a transaction"),
            Security::Offered => {
                self.reply(220, "2.0.0", "ready to start TLS");
                self.state = State::AwaitingTls;
                return Some(Step::StartTls);
            }
        }
        None
    }

    /// Not announced, so nobody sends it in good faith; its chunk would be read as commands: the session ends.
    fn bdat(&mut self, argument: &[u8]) {
        self.note(Stage::Protocol, 502, "BDAT", "not announced");
        if command::is_chunk(argument) {
            self.close(502, "5.5.1", "BDAT was not announced");
        } else {
            self.close(501, "5.5.4", "malformed BDAT");
        }
    }

    fn mail(&mut self, argument: &[u8]) -> Option<Step> {
        if self.hello.is_none() {
            self.error(503, "5.5.1", "say hello first");
        } else if !matches!(self.state, State::Idle) {
            self.error(503, "5.5.1", "a transaction is open already");
        } else if self.protocol == Protocol::Submission && !self.may_relay {
            self.note(Stage::Mail, 530, &String::from_utf8_lossy(argument), "authentication required");
            self.error(530, "5.7.0", "authentication required");
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
        if found.size.is_some_and(|size| size > self.config.max_message_size) {
            return Err(Fault(552, "5.3.4", "message too large"));
        }
        let mut transaction = Transaction::new(sender);
        transaction.declared_size = found.size.unwrap_or(0);
        transaction.bodytype = found.body.unwrap_or_default();
        transaction.smtputf8 = found.smtputf8;
        transaction.ret = found.ret;
        transaction.envid = found.envid;
        Ok(transaction)
    }

    fn rcpt(&mut self, argument: &[u8]) -> Option<Step> {
        let State::Transaction(transaction) = &self.state else {
            self.error(503, "5.5.1", "MAIL first");
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
        if self.refused_recipients >= MOST_REFUSED {
            self.note(Stage::Protocol, 421, "", "too many refused recipients");
            self.close(421, "4.7.0", "too many refused recipients");
            return None;
        }
        let right = match self.config.relay.judge(&recipient.address, self.may_relay) {
            Judgement::Permitted(permission) => Right::Permitted(permission),
            Judgement::Verify(asked) => Right::Verify(asked),
            Judgement::Denied => {
                self.refused_recipients += 1;
                self.refuse(Stage::Recipient, recipient.address.as_str(), &reply_of(550, "5.7.1", "relaying denied"));
                return None;
            }
        };
        self.await_recipient(Candidate { recipient, right })
    }

    fn await_recipient(&mut self, candidate: Candidate) -> Option<Step> {
        let verify = matches!(candidate.right, Right::Verify(_));
        let State::Transaction(transaction) = std::mem::replace(&mut self.state, State::Idle) else { return None };
        self.state = State::AwaitingRecipient(transaction, Box::new(candidate));
        Some(Step::Recipient { verify })
    }

    fn data(&mut self, argument: &[u8]) -> Option<Step> {
        if !argument.is_empty() {
            self.error(501, "5.5.4", "DATA takes no argument");
            return None;
        }
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Transaction(transaction) if transaction.recipients().is_empty() => {
                self.state = State::Transaction(transaction);
                self.error(554, "5.5.1", "no valid recipients");
                None
            }
            State::Transaction(transaction) => {
                self.state = State::Receiving(transaction, Box::new(Content::new()));
                self.raw("354 end with CRLF.CRLF\r\n");
                Some(Step::Begin)
            }
            other => {
                self.state = other;
                self.error(503, "5.5.1", "MAIL and RCPT first");
                None
            }
        }
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
