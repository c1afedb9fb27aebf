//! EHLO, HELO, LHLO and what they announce.

use super::Protocol;
use super::command::{self, Verb};
use super::session::{Hello, Security, Session, State, Step};
use super::xclient;
use std::io::Write as _;

impl Session {
    pub(super) fn greet(&mut self, verb: Verb, argument: &[u8]) -> Option<Step> {
        if (verb == Verb::Lhlo) != (self.protocol == Protocol::Lmtp) {
            self.error(500, "5.5.1", "wrong greeting for this protocol");
            return None;
        }
        let Some(name) = command::hello_name(argument) else {
            self.error(501, "5.5.4", "a host name is wanted");
            return None;
        };
        let hello = Hello { name: name.into(), extended: verb != Verb::Helo };
        if self.hello.is_some() && self.is_too_idle() {
            return None;
        }
        // RFC 5321 section 4.1.4: EHLO in the middle clears as RSET does.
        self.leave_transaction();
        self.hello = Some(hello);
        if self.rights.ask_hello {
            self.state = State::AwaitingHello;
            return Some(Step::Hello);
        }
        self.announce();
        None
    }

    /// EHLO was said: extensions were announced.
    pub(super) fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    /// The largest message from this client.
    pub(super) fn max_message_size(&self) -> u64 {
        let most = self.config.max_message_size;
        self.rights.max_message_size.map_or(most, |own| own.min(most))
    }

    /// The reply to a greeting that was taken.
    pub(super) fn announce(&mut self) {
        let (config, rights) = (std::sync::Arc::clone(&self.config), std::sync::Arc::clone(&self.rights));
        if !self.is_extended() {
            let _ = write!(self.output(), "250 {}\r\n", config.hostname);
            return;
        }
        let size = self.max_message_size();
        let requiretls = self.security == Security::Tls;
        let future_release = self.future_release();
        let starttls = self.security == Security::Offered;
        let etrn = self.may_etrn();
        let prdr = self.offers_prdr();
        let authenticated = self.user.is_some();
        let out = self.output();
        // One piece: most of it is the same for everybody.
        let _ = write!(
            out,
            "250-{}\r\n250-PIPELINING\r\n250-SIZE {size}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-MT-PRIORITY\r\n250-LIMITS RCPTMAX={}",
            config.hostname, config.max_recipients,
        );
        if let Some(most) = config.offers.max_messages {
            let _ = write!(out, " MAILMAX={most}");
        }
        match config.offers.min_deliver_by {
            0 => out.extend_from_slice(b"\r\n250-DELIVERBY\r\n"),
            least => drop(write!(out, "\r\n250-DELIVERBY {least}\r\n")),
        }
        let flags = [(starttls, "STARTTLS"), (etrn, "ETRN"), (requiretls, "REQUIRETLS"), (prdr, "PRDR")];
        for (_, word) in flags.iter().filter(|(on, _)| *on) {
            let _ = write!(out, "250-{word}\r\n");
        }
        if let Some((longest, last)) = future_release {
            let _ = write!(out, "250-FUTURERELEASE {longest} {last}\r\n");
        }
        for (on, word, names) in [(rights.xclient, "XCLIENT", xclient::XCLIENT), (rights.xforward, "XFORWARD", xclient::XFORWARD)] {
            if on {
                let _ = write!(out, "250-{word} {names}\r\n");
            }
        }
        if !rights.mechanisms.is_empty() && !authenticated {
            let _ = write!(out, "250-AUTH {}\r\n", rights.mechanisms.join(" "));
        }
        out.extend_from_slice(b"250 HELP\r\n");
    }

    pub(super) fn may_etrn(&self) -> bool {
        self.rights.etrn && self.protocol != Protocol::Lmtp
    }

    /// The word for `with` in Received (RFC 3848, RFC 6531).
    pub fn with(&self) -> &'static str {
        let utf8 = self.transaction().is_some_and(|t| t.smtputf8);
        let secure = self.security == Security::Tls;
        match (self.protocol == Protocol::Lmtp, utf8, secure, self.user.is_some()) {
            (true, true, true, true) => "UTF8LMTPSA",
            (true, true, true, false) => "UTF8LMTPS",
            (true, true, false, true) => "UTF8LMTPA",
            (true, true, false, false) => "UTF8LMTP",
            (true, false, true, true) => "LMTPSA",
            (true, false, true, false) => "LMTPS",
            (true, false, false, true) => "LMTPA",
            (true, false, false, false) => "LMTP",
            (false, true, true, true) => "UTF8SMTPSA",
            (false, true, true, false) => "UTF8SMTPS",
            (false, true, false, true) => "UTF8SMTPA",
            (false, true, false, false) => "UTF8SMTP",
            (false, false, true, true) => "ESMTPSA",
            (false, false, true, false) => "ESMTPS",
            (false, false, false, true) => "ESMTPA",
            (false, false, false, false) if self.is_extended() => "ESMTP",
            (false, false, false, false) => "SMTP",
        }
    }
}
