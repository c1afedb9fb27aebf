//! Tokens: OAUTHBEARER (RFC 7628) and XOAUTH2.

use super::plain::user;
use super::{Method, Why};

/// Longest token in bytes; those with claims inside have some thousands.
const MAX_TOKEN: usize = 12 * 1024;

/// The last challenge to one whose token is not good (RFC 7628 section 3.2.2); `None`: the mechanism has none.
pub const fn refusal(method: Method) -> Option<&'static [u8]> {
    match method {
        Method::OauthBearer => Some(b"{\"status\":\"invalid_token\"}"),
        Method::Xoauth2 => Some(b"{\"status\":\"401\",\"schemes\":\"bearer\"}"),
        _ => None,
    }
}

/// The user that the client names, and its token.
pub fn token(method: Method, message: &[u8]) -> Result<(Option<String>, String), Why> {
    let text = std::str::from_utf8(message).map_err(|_| Why::Malformed)?;
    let (name, rest) = if method == Method::Xoauth2 { xoauth2(text)? } else { oauthbearer(text)? };
    // Pairs end with 0x01 each, and one more ends the message.
    let pairs = rest.strip_suffix("\u{1}\u{1}").ok_or(Why::Malformed)?;
    let mut auth = pairs.split('\u{1}').filter_map(|pair| pair.strip_prefix("auth="));
    let (Some(value), None) = (auth.next(), auth.next()) else { return Err(Why::Malformed) };
    let (scheme, token) = value.split_once(' ').ok_or(Why::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") || !is_token(token) {
        return Err(Why::Malformed);
    }
    Ok((name, token.to_owned()))
}

/// `user=NAME 0x01 ...`
fn xoauth2(text: &str) -> Result<(Option<String>, &str), Why> {
    let (name, rest) = text.strip_prefix("user=").and_then(|rest| rest.split_once('\u{1}')).ok_or(Why::Malformed)?;
    Ok((Some(user(name.as_bytes()).ok_or(Why::Malformed)?), rest))
}

/// `n,a=NAME,0x01 ...`; the name may be missing: the token says whose it is.
fn oauthbearer(text: &str) -> Result<(Option<String>, &str), Why> {
    let (header, rest) = text.split_once('\u{1}').ok_or(Why::Malformed)?;
    let mut parts = header.split(',');
    let (Some("n" | "y"), Some(acting_as), Some(""), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Why::Malformed);
    };
    let name = match acting_as.strip_prefix("a=") {
        Some(name) => Some(super::scram::unescape(name).and_then(|name| user(name.as_bytes())).ok_or(Why::Malformed)?),
        None if acting_as.is_empty() => None,
        None => return Err(Why::Malformed),
    };
    Ok((name, rest))
}

/// RFC 6750 section 2.1: it goes into a form and a header of others.
fn is_token(token: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(allowed)
}
