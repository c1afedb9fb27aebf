//! PLAIN (RFC 4616) and LOGIN.

use super::{MAX_PASSWORD, MAX_USER, Why};

/// A user name: UTF-8, of a reasonable length, without control characters.
pub fn user(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    (!text.is_empty() && text.len() <= MAX_USER && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// A password: UTF-8, not empty (an LDAP server takes an empty one for nobody's login, and accepts it), no NUL.
pub fn password(message: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(message).ok()?;
    (!text.is_empty() && text.len() <= MAX_PASSWORD && !text.contains('\0')).then(|| text.to_owned())
}

/// `authzid NUL authcid NUL password`: user and password.
pub fn plain(message: &[u8]) -> Result<(String, String), Why> {
    let mut parts = message.splitn(3, |byte| *byte == 0);
    let (Some(acting_as), Some(name), Some(secret)) = (parts.next(), parts.next(), parts.next()) else { return Err(Why::Malformed) };
    let (name, secret) = user(name).zip(password(secret)).ok_or(Why::Malformed)?;
    if !acting_as.is_empty() && !is_same_user(acting_as, &name) {
        return Err(Why::Authorization);
    }
    Ok((name, secret))
}

/// Nobody acts for another here: an authorization identity must be the user itself.
pub fn is_same_user(acting_as: &[u8], user: &str) -> bool {
    std::str::from_utf8(acting_as).is_ok_and(|other| other.to_lowercase() == user.to_lowercase())
}
