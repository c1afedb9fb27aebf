//! Variable envelope return paths: a sender that tells whose delivery it was that failed.

use address::Address;

/// `list-owner@host` for `user@domain`: `list-owner+user=domain@host`. The owner as it is where that makes no address (the
/// local part would be too long, or is quoted): better a failure of somebody's than none.
pub fn verp(owner: &str, recipient: &str) -> String {
    let made = || {
        let (local, host) = owner.rsplit_once('@')?;
        let (user, domain) = recipient.rsplit_once('@')?;
        let text = format!("{local}+{user}={domain}@{host}");
        let plain = !local.contains('"') && !user.contains(['"', '@', '=']) && !domain.contains(['[', '@']);
        (plain && Address::parse(&text).is_ok()).then_some(text)
    };
    made().unwrap_or_else(|| owner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_is_in_the_sender() {
        assert_eq!(verp("l-owner@h.example", "joe@d.example"), "l-owner+joe=d.example@h.example");
        assert_eq!(verp("l-owner@h.example", "joe+x@d.example"), "l-owner+joe+x=d.example@h.example");
        let long = format!("{}@d.example", "x".repeat(300));
        for odd in ["joe", "\"a b\"@d", "a=b@d", "a@[127.0.0.1]", &long] {
            assert_eq!(verp("l-owner@h.example", odd), "l-owner@h.example", "{odd}");
        }
    }
}
