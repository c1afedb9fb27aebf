//! Senders that differ from mail to mail as one: for greylisting only.

/// The sender without what batches and mailing lists put into it for each mail or recipient: what comes after `+`, the
/// tags of BATV (`prvs=`) and SRS, and every run of digits becomes `#`, as are words of hexadecimal digits from eight on.
/// Lower case. `bounce-1234-ab@lists.example` and `bounce-77-ab@lists.example` are one.
pub fn sender(address: &str) -> String {
    let address = address.to_lowercase();
    let Some((local, domain)) = address.rsplit_once('@') else { return digits(&address) };
    let local = local.split('+').next().unwrap_or_default();
    let local = match local.split_once('=') {
        // prvs=TAG=user
        Some(("prvs", rest)) => rest.split_once('=').map_or(rest, |(_, user)| user),
        // SRS0=HASH=TIME=domain=user
        Some((srs, rest)) if srs.starts_with("srs") => rest.splitn(3, '=').nth(2).unwrap_or(rest),
        _ => local,
    };
    format!("{}@{domain}", digits(local))
}

fn digits(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    for word in local.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let end = word.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
        let (word, after) = word.split_at(end);
        let hexadecimal = word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit()) && word.bytes().any(|b| b.is_ascii_digit());
        if hexadecimal {
            out.push('#');
        } else {
            for c in word.chars() {
                match (c.is_ascii_digit(), out.ends_with('#')) {
                    (true, true) => {}
                    (true, false) => out.push('#'),
                    (false, _) => out.push(c),
                }
            }
        }
        out.push_str(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn batches_have_one_sender() {
        for (address, one) in [
            ("Joe@Example.ORG", "joe@example.org"),
            ("bounce-1234-ab@lists.example", "bounce-#-ab@lists.example"),
            ("bounce-77-ab@lists.example", "bounce-#-ab@lists.example"),
            ("list+joe=example.org@lists.example", "list@lists.example"),
            ("prvs=1234abcd56=joe@example.org", "joe@example.org"),
            ("SRS0=ab1c=TT=example.org=joe@relay.example", "example.org=joe@relay.example"),
            ("0102018f-9a3c4d5e6f@ses.example", "#-#@ses.example"),
            ("a12b3@x1.example", "a#b#@x1.example"),
            ("", ""),
            ("deadbeef@x.example", "deadbeef@x.example"),
        ] {
            assert_eq!(sender(address), one);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_twice_is_once(text in ".{0,80}") {
            let once = sender(&text);
            prop_assert!(once.len() <= text.len() * 3 + 1);
        }
    }
}
