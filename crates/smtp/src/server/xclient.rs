//! XCLIENT and XFORWARD: a peer that is trusted says for whom it speaks.
//!
//! Postfix's protocol (XCLIENT_README, XFORWARD_README). After XCLIENT the session begins anew, as if the client it names
//! had connected; XFORWARD says where the next message came from, for the log.

use super::Stage;
use super::command;
use super::session::{Hello, Session, State, Step};
use std::net::IpAddr;
use std::sync::Arc;

/// Names of XCLIENT's attributes, as EHLO tells them.
pub(super) const XCLIENT: &str = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME";
pub(super) const XFORWARD: &str = "NAME ADDR PORT PROTO HELO IDENT SOURCE";

/// A value that the peer may not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said<T> {
    Is(T),
    /// There is none.
    Unavailable,
    /// It could not be found out now.
    TemporarilyUnavailable,
}

impl<T> Said<T> {
    pub fn value(self) -> Option<T> {
        if let Self::Is(value) = self { Some(value) } else { None }
    }
}

/// What XCLIENT says; `None`: nothing about it, so it stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stand {
    /// Verified name.
    pub name: Option<Said<String>>,
    /// Name of the address, not verified.
    pub reverse_name: Option<Said<String>>,
    pub address: Option<Said<IpAddr>>,
    pub port: Option<Said<u16>>,
    /// Of the client's connection to the peer.
    pub local_address: Option<Said<IpAddr>>,
    pub local_port: Option<Said<u16>>,
    pub login: Option<Said<String>>,
    hello: Option<Said<String>>,
    extended: Option<bool>,
}

impl Stand {
    /// Who has logged in, where `before` had: the login that is said. A peer's own is not that of another client.
    pub fn user(&self, before: Option<Box<str>>) -> Option<Box<str>> {
        match &self.login {
            Some(login) => login.clone().value().map(|login| login.to_lowercase().into()),
            None => before.filter(|_| self.address.is_none()),
        }
    }
}

impl Session {
    pub(super) fn xclient(&mut self, argument: &[u8]) -> Option<Step> {
        if self.is_too_idle() {
            return None;
        }
        if !self.rights.xclient {
            self.note(Stage::Protocol, 550, "XCLIENT", "from a client that may not");
            self.error(550, "5.7.0", "not authorized to use XCLIENT");
        } else if !matches!(self.state, State::Idle) {
            self.error(503, "5.5.1", "not within a transaction");
        } else {
            match stand(argument) {
                Some(stand) => {
                    self.state = State::AwaitingStand;
                    return Some(Step::XClient(Box::new(stand)));
                }
                None => self.error(501, "5.5.4", "malformed XCLIENT"),
            }
        }
        None
    }

    /// The answer to [`Step::XClient`]: the session begins anew for the client it named. The greeting is in the output.
    /// For one that is not wanted see [`Session::turn_away`].
    pub fn restart(&mut self, stand: Stand, rights: Arc<super::Rights>) {
        if !matches!(self.state, State::AwaitingStand) {
            return;
        }
        self.state = State::Idle;
        self.rights = rights;
        self.user = stand.user(self.user.take());
        let extended = stand.extended.unwrap_or(true);
        self.hello = stand.hello.and_then(Said::value).map(|name| Hello { name: name.into(), extended });
        self.say_greeting();
    }

    pub(super) fn xforward(&mut self, argument: &[u8]) -> Option<Step> {
        if self.is_too_idle() {
            return None;
        }
        if !self.rights.xforward {
            self.note(Stage::Protocol, 550, "XFORWARD", "from a client that may not");
            self.error(550, "5.7.0", "not authorized to use XFORWARD");
        } else if !matches!(self.state, State::Idle) {
            self.error(503, "5.5.1", "not within a transaction");
        } else {
            match attributes(argument, XFORWARD) {
                Some(said) => {
                    self.reply(250, "2.0.0", "ok");
                    return Some(Step::XForward(said.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()));
                }
                None => self.error(501, "5.5.4", "malformed XFORWARD"),
            }
        }
        None
    }
}

/// `NAME=value` pairs of known names, each once; the values decoded.
fn attributes(argument: &[u8], names: &str) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(argument).ok()?;
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in text.split(' ').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = name.to_ascii_uppercase();
        if !names.split(' ').any(|known| known == name) || found.iter().any(|(other, _)| *other == name) {
            return None;
        }
        found.push((name, decoded(value)?));
    }
    if found.is_empty() { None } else { Some(found) }
}

fn stand(argument: &[u8]) -> Option<Stand> {
    let mut stand = Stand::default();
    for (name, value) in attributes(argument, XCLIENT)? {
        match name.as_str() {
            "NAME" => stand.name = Some(said(&value, |v| host(v).then(|| v.to_owned()))?),
            "REVERSE_NAME" => stand.reverse_name = Some(said(&value, |v| host(v).then(|| v.to_owned()))?),
            "ADDR" => stand.address = Some(said(&value, address)?),
            "PORT" => stand.port = Some(said(&value, |v| v.parse().ok())?),
            "DESTADDR" => stand.local_address = Some(said(&value, address)?),
            "DESTPORT" => stand.local_port = Some(said(&value, |v| v.parse().ok())?),
            "LOGIN" => stand.login = Some(said(&value, |v| login(v).then(|| v.to_owned()))?),
            "HELO" => stand.hello = Some(said(&value, |v| command::hello_name(v.as_bytes()).map(str::to_owned))?),
            _ => stand.extended = Some(said(&value, protocol)?.value().unwrap_or(true)),
        }
    }
    Some(stand)
}

/// A value, or one of the words for none. An empty value is a mistake of the peer.
fn said<T>(value: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Said<T>> {
    if value.eq_ignore_ascii_case("[UNAVAILABLE]") {
        return Some(Said::Unavailable);
    }
    if value.eq_ignore_ascii_case("[TEMPUNAVAIL]") {
        return Some(Said::TemporarilyUnavailable);
    }
    read(value).map(Said::Is)
}

fn host(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn login(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains(' ')
}

/// `192.0.2.1`, `IPV6:2001:db8::1`; without its prefix an IPv6 address is taken too.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.split_at_checked(5).filter(|(prefix, _)| prefix.eq_ignore_ascii_case("IPV6:")).map_or(text, |(_, rest)| rest);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn protocol(word: &str) -> Option<bool> {
    [("SMTP", false), ("ESMTP", true)].into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, extended)| extended)
}

/// xtext (RFC 3461 section 4). What it hides must be printable: it goes into logs and header fields.
fn decoded(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '+' {
            out.push(c);
            continue;
        }
        let (high, low) = (rest.next()?.to_digit(16)?, rest.next()?.to_digit(16)?);
        out.push(char::from_u32(high * 16 + low).filter(char::is_ascii)?);
    }
    (!out.is_empty() && out.len() <= 512 && !out.chars().any(char::is_control)).then_some(out)
}
