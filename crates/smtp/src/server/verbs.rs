//! What each command does.

use super::Stage;
use super::command::{self, Verb};
use super::inquiries::Inquiry;
use super::session::{Security, Session, State, Step};
use envelope::BodyType;

impl Session {
    /// `following`: what the client has already sent after this line.
    pub(super) fn execute(&mut self, line: &[u8], following: Option<&[u8]>) -> Option<Step> {
        let (verb, argument) = command::split(line);
        // DATA, AUTH, XCLIENT and STARTTLS end their group always (RFC 2920, RFC 3207: what is read in the clear must not be
        // run inside); before PIPELINING was announced every command does.
        if let Some(following) = following
            && (matches!(verb, Verb::Data | Verb::StartTls | Verb::Auth | Verb::Xclient) || !self.is_extended())
        {
            // What follows AUTH may be a password.
            self.out_of_turn(if verb == Verb::Auth { &[] } else { following });
            return None;
        }
        if self.rights.tls_required && self.security != Security::Tls && !verb.is_before_tls() {
            if verb == Verb::Bdat {
                // Its chunk follows; without a transaction it is skipped.
                return self.bdat(argument);
            }
            self.note(Stage::Protocol, 530, "", "STARTTLS first");
            self.error(530, "5.7.0", "STARTTLS first");
            return None;
        }
        let chunked = matches!(self.state, State::BetweenChunks(_));
        let step = self.perform(verb, argument, line);
        // RSET and EHLO between chunks: the driver has content of a message that there is no more.
        if chunked && step.is_none() && matches!(self.state, State::Idle) { Some(Step::Refused) } else { step }
    }

    fn perform(&mut self, verb: Verb, argument: &[u8], line: &[u8]) -> Option<Step> {
        match verb {
            Verb::Ehlo | Verb::Helo | Verb::Lhlo => return self.greet(verb, argument),
            Verb::Mail => return self.mail(argument),
            Verb::Rcpt => return self.rcpt(argument),
            Verb::Data => return self.data(argument),
            Verb::Quit => self.close(221, "2.0.0", "bye"),
            Verb::Bdat => return self.bdat(argument),
            Verb::StartTls => return self.start_tls(argument),
            Verb::Auth => return self.auth(argument),
            Verb::Etrn => return self.etrn(argument),
            Verb::Vrfy => return self.inquire(Inquiry::Verify, argument),
            Verb::Expn => return self.inquire(Inquiry::Expand, argument),
            Verb::Rset | Verb::Noop | Verb::Help => self.idle(verb, argument),
            Verb::Xclient => return self.xclient(argument),
            Verb::Xforward => return self.xforward(argument),
            Verb::Unsupported => self.error(502, "5.5.1", "command not implemented"),
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
            Verb::Help => {
                self.reply(214, "2.0.0", "EHLO HELO LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN ETRN QUIT HELP; RFC 5321")
            }
            _ => self.reply(250, "2.0.0", "ok"),
        }
    }

    /// Counts a command without progress; true: one too many, the session has ended.
    pub(super) fn is_too_idle(&mut self) -> bool {
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
            _ if !self.is_extended() => self.error(503, "5.5.1", "EHLO first"),
            _ if !matches!(self.state, State::Idle) => self.error(503, "5.5.1", "not within a transaction"),
            _ if !self.may_etrn() => {
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
            Security::Offered if !self.is_extended() => self.error(503, "5.5.1", "EHLO first"),
            Security::Offered if !matches!(self.state, State::Idle) => self.error(503, "5.5.1", "not within a transaction"),
            Security::Offered => {
                self.reply(220, "2.0.0", "ready to start TLS");
                self.state = State::AwaitingTls;
                return Some(Step::StartTls);
            }
        }
        None
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
            State::Transaction(transaction) if transaction.bodytype == BodyType::Binary => {
                self.state = State::Transaction(transaction);
                self.error(503, "5.5.1", "BINARYMIME wants BDAT");
                None
            }
            State::Transaction(transaction) if self.rights.ask_data => {
                self.state = State::AwaitingData(transaction, None);
                Some(Step::Data)
            }
            State::Transaction(transaction) => {
                self.receive(transaction);
                Some(Step::Begin)
            }
            other => {
                self.state = other;
                self.error(503, "5.5.1", "MAIL and RCPT first");
                None
            }
        }
    }
}
