//! AUTH (RFC 4954): the frame of a SASL exchange. What the messages mean is the driver's.

use super::Stage;
use super::line::Taken;
use super::rights::Rights;
use super::session::{Session, State, Step};
use data_encoding::BASE64;
use status::Reply;
use std::sync::Arc;

/// Longest line of an exchange, line end included, and of AUTH itself: more than the 12,288 octets of RFC 4954 section 4.
pub(super) const LONGEST: usize = 22 * 1024;

impl Session {
    pub(super) fn auth(&mut self, argument: &[u8]) -> Option<Step> {
        let (mechanism, initial) = match argument.iter().position(|b| *b == b' ') {
            Some(at) => (argument.get(..at).unwrap_or_default(), argument.get(at..).map(<[u8]>::trim_ascii)),
            None => (argument, None),
        };
        let mechanism = String::from_utf8_lossy(mechanism).to_ascii_uppercase();
        if self.is_too_idle() {
            return None;
        }
        if self.rights.auth_after_tls && self.rights.mechanisms.is_empty() {
            self.error(538, "5.7.11", "encryption is required for authentication");
        } else if self.rights.mechanisms.is_empty() {
            self.error(502, "5.5.1", "AUTH is not offered");
        } else if !self.is_extended() {
            self.error(503, "5.5.1", "EHLO first");
        } else if self.user.is_some() {
            self.error(503, "5.5.1", "authenticated already");
        } else if !matches!(self.state, State::Idle) {
            self.error(503, "5.5.1", "not within a transaction");
        } else if mechanism.is_empty() {
            self.error(501, "5.5.4", "a mechanism is wanted");
        } else if !self.rights.mechanisms.contains(&mechanism) {
            self.error(504, "5.5.4", "authentication mechanism not offered");
        } else {
            match initial.map(decode_initial) {
                Some(None) => self.error(501, "5.5.2", "malformed base64"),
                initial => {
                    self.state = State::AwaitingAuthentication;
                    return Some(Step::Authenticate { mechanism, initial: initial.flatten() });
                }
            }
        }
        None
    }

    /// A line within an exchange. What it says stays out of the log.
    pub(super) fn auth_line(&mut self, taken: Taken, followed: bool) -> Option<Step> {
        if matches!(taken, Taken::More) {
            return None;
        }
        self.state = State::Idle;
        if followed {
            self.out_of_turn(&[]);
            return Some(Step::AuthCancelled);
        }
        match taken {
            Taken::Line(line) if line == b"*" => self.error(501, "5.7.0", "authentication cancelled"),
            Taken::Line(line) => match decode(&line) {
                Some(response) => {
                    self.state = State::AwaitingAuthentication;
                    return Some(Step::AuthResponse(response));
                }
                None => self.error(501, "5.5.2", "malformed base64"),
            },
            Taken::TooLong => self.error(500, "5.5.6", "authentication exchange line is too long"),
            Taken::Flood => self.close(421, "4.7.0", "line without end"),
            Taken::Malformed | Taken::More => self.error(501, "5.5.2", "bare CR, LF or NUL in a line"),
        }
        Some(Step::AuthCancelled)
    }

    /// An answer to [`Step::Authenticate`] or [`Step::AuthResponse`]: the server's next message.
    pub fn challenge(&mut self, message: &[u8]) {
        if !matches!(self.state, State::AwaitingAuthentication) {
            return;
        }
        self.state = State::Authenticating;
        self.raw("334 ");
        self.raw(&BASE64.encode(message));
        self.raw("\r\n");
    }

    /// An answer to [`Step::Authenticate`] or [`Step::AuthResponse`]: the client is this user, and may do this from now on.
    pub fn authenticated(&mut self, user: &str, rights: Arc<Rights>) {
        if !matches!(self.state, State::AwaitingAuthentication) {
            return;
        }
        self.state = State::Idle;
        self.user = Some(user.into());
        self.rights = rights;
        self.reply(235, "2.7.0", "authentication successful");
    }

    /// An answer to [`Step::Authenticate`] or [`Step::AuthResponse`]: the exchange has failed. 421 ends the session.
    pub fn not_authenticated(&mut self, reply: &Reply) {
        if !matches!(self.state, State::AwaitingAuthentication) {
            return;
        }
        self.state = State::Idle;
        self.errors += 1;
        if self.errors > self.config.max_errors {
            self.note(Stage::Authentication, reply.code, "", &reply.text);
            self.note(Stage::Protocol, 421, "", "too many errors");
            return self.close(421, "4.7.0", "too many errors");
        }
        self.refuse(Stage::Authentication, "", reply);
    }

    /// The client has shown who it is without AUTH, by its certificate in the handshake: what it may do from now on.
    pub fn identified(&mut self, user: &str, rights: Arc<Rights>) {
        self.user = Some(user.to_lowercase().into());
        self.rights = rights;
    }

    /// Who has logged in.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

/// `=` is the empty initial response (RFC 4954 section 4).
fn decode_initial(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"=" { Some(Vec::new()) } else { decode(text) }
}

/// Strictly RFC 4648 section 4: padding at the end and nowhere else (the crate takes several padded pieces in a row).
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = memchr::memchr(b'=', text).unwrap_or(text.len());
    if padding + 2 < text.len() { None } else { BASE64.decode(text).ok() }
}
