//! Who calls, and the header fields that are made for him.

use super::content::Content;
use address::Path;
use envelope::IdSource;
use nix::unistd::{Uid, User, getuid};
use settings::Settings;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// The caller.
#[derive(Debug, Clone)]
pub struct Origin {
    pub uid: u32,
    pub login: String,
    pub fullname: Option<String>,
    /// What a bare name gets behind it.
    pub domain: String,
}

impl Origin {
    pub fn of_caller(settings: &Settings) -> Self {
        let uid = getuid();
        let user = User::from_uid(uid).ok().flatten();
        let login = user.as_ref().map_or_else(|| format!("uid{uid}"), |u| u.name.clone());
        let fullname = user.and_then(|u| full_name(&u.gecos.to_string_lossy(), &login));
        Self { uid: Uid::as_raw(uid), login, fullname, domain: settings.users_domain().to_owned() }
    }
}

/// The first part of the GECOS field; `&` stands for the login name.
fn full_name(gecos: &str, login: &str) -> Option<String> {
    let mut capital = login.chars();
    let capital: String = capital.next().into_iter().flat_map(char::to_uppercase).chain(capital).collect();
    let name = gecos.split(',').next().unwrap_or_default().replace('&', &capital);
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}

/// Adds what RFC 5322 section 3.6 demands and the caller left out: From, Date; and a Message-ID.
pub fn complete(content: &mut Content, from: &Path, fullname: Option<&str>, origin: &Origin, hostname: &str) {
    if !content.has("Message-ID") {
        content.prepend(&format!("Message-ID: <{}@{hostname}>", unique()));
    }
    if !content.has("Date") {
        content.prepend(&format!("Date: {}", message::date(crate::moment::now_seconds())));
    }
    if !content.has("From") {
        let address = from.address().map_or_else(|| format!("{}@{}", origin.login, origin.domain), ToString::to_string);
        let name = fullname.or(origin.fullname.as_deref()).and_then(message::phrase);
        content.prepend(&name.map_or_else(|| format!("From: {address}"), |name| format!("From: {name} <{address}>")));
    }
}

/// The trace line of a message that enters through the spool; over the socket the server writes its own.
pub fn received(origin: &Origin, hostname: &str, id: &str) -> String {
    let date = message::date(crate::moment::now_seconds());
    format!("Received: by {hostname} (zpost, from userid {})\n\tid {id}; {date}", origin.uid)
}

/// Something that no other message has.
fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    IdSource::new(now.subsec_nanos() ^ std::process::id().rotate_left(16)).next(micros).to_string()
}

/// RFC 3461 section 4: `+`, `=` and what is no visible ASCII character as `+XX`.
pub fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "+{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_accounts() {
        assert_eq!(full_name("& Smith,room", "joe").as_deref(), Some("Joe Smith"));
        assert_eq!(full_name(",,", "joe"), None);
    }

    #[test]
    fn encodings() {
        assert_eq!(xtext("a+b=c d\u{e4}"), "a+2Bb+3Dc+20d+C3+A4");
        assert_ne!(unique(), unique());
    }
}
