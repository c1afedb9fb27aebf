//! AUTH (RFC 4954): a login at a server that wants one.

use super::session::Expected;
use super::{Client, Event, Verdict};
use crate::reply_reader::WireReply;
use sasl::{Exchange, Login};
use status::Enhanced;
use std::io::Write as _;

/// Bytes of a command line; a longer initial response has to wait for its prompt (RFC 4954 section 4).
const MAX_INITIAL: usize = 450;

/// Who logs in, and under what conditions.
#[derive(Debug, Clone)]
pub struct LogIn {
    pub login: Login,
    /// The password may be shown to whoever listens.
    pub without_tls: bool,
    /// Printable, never used before.
    pub nonce: String,
}

#[derive(Debug, Default)]
pub(super) struct State {
    wish: Option<Box<LogIn>>,
    exchange: Option<Exchange>,
    /// An initial response that was too long for the command.
    initial: Option<String>,
    done: bool,
    refused: bool,
}

impl Client {
    /// Messages go only after this login; before the greeting.
    pub fn set_login(&mut self, login: LogIn) {
        self.login.wish = Some(Box::new(login));
    }

    /// After [`Event::Refused`]: the server did not accept user and password, or offers no login that we may use. Other
    /// addresses would not help.
    pub fn login_failed(&self) -> bool {
        self.login.refused
    }

    pub(super) fn wants_login(&self) -> bool {
        self.login.wish.is_some() && !self.login.done
    }

    pub(super) fn log_in(&mut self, out: &mut Vec<u8>) -> Option<Event> {
        let login = self.login.wish.as_deref()?;
        let offered = self.offered.mechanisms;
        let Some(mechanism) = offered.best(self.tls.on || login.without_tls) else {
            let why = match offered.best(true) {
                Some(_) => "the server offers only logins that would show the password, and the connection has no TLS",
                None => "the server offers no login that we know",
            };
            return self.login_over(why, true);
        };
        let (exchange, initial) = Exchange::begin(mechanism, login.login.clone(), &login.nonce);
        self.login.exchange = Some(exchange);
        let _ = write!(out, "AUTH {}", mechanism.name());
        match initial {
            Some(initial) if initial.len() <= MAX_INITIAL => {
                let _ = write!(out, " {initial}");
            }
            later => self.login.initial = later,
        }
        out.extend_from_slice(b"\r\n");
        self.expected.push_back(Expected::Auth);
        None
    }

    pub(super) fn login_answered(&mut self, reply: WireReply, out: &mut Vec<u8>) -> Option<Event> {
        let Some(mut exchange) = self.login.exchange.take() else { return self.login_over("no login was begun", false) };
        match reply.code {
            235 => match exchange.succeeded() {
                Ok(()) => {
                    self.login.done = true;
                    self.open(out)
                }
                Err(fault) => self.login_over(&fault.to_string(), true),
            },
            334 => {
                let challenge = reply.lines().next().unwrap_or_default();
                let response = match self.login.initial.take() {
                    Some(initial) => Ok(initial),
                    None => exchange.respond(challenge),
                };
                match response {
                    Ok(response) => {
                        let _ = write!(out, "{response}\r\n");
                        self.login.exchange = Some(exchange);
                        self.expected.push_back(Expected::Auth);
                        None
                    }
                    Err(fault) => self.login_over(&fault.to_string(), true),
                }
            }
            code => self.login_over(&format!("the server did not accept our login: {}", reply.into_reply()), code >= 500),
        }
    }

    /// Never a bounce: a password that has run out is mended here, not by the sender.
    fn login_over(&mut self, why: &str, refused: bool) -> Option<Event> {
        self.login.refused = refused;
        self.close(Verdict::deferred(Enhanced::transient(7, 8), why))
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
