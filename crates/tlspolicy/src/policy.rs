//! The text of a policy (RFC 8461 section 3.2).

use ipc::tlspolicy::{StsMode, StsPolicy};

/// Bytes of a policy at most (RFC 8461 section 3.3 suggests a limit).
pub const MAX_TEXT: usize = 64 * 1024;
/// Patterns of hosts at most.
const MAX_HOSTS: usize = 100;
/// Seconds: a year, as the RFC has it.
const MAX_AGE: u64 = 31_557_600;

/// Reads a policy; `max_age` is that of the text. An unknown field is skipped, a second one of a name other than `mx` too.
pub fn parse(text: &[u8], id: &str) -> Result<StsPolicy, String> {
    if text.len() > MAX_TEXT {
        return Err("the policy is too long".to_owned());
    }
    let text = std::str::from_utf8(text).map_err(|_| "the policy is not UTF-8".to_owned())?;
    let (mut version, mut mode, mut max_age, mut hosts) = (None, None, None, Vec::new());
    for line in text.lines().map(|line| line.trim_end_matches([' ', '\t', '\r'])).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once(':').ok_or("a line without a colon")?;
        let (key, value) = (key.trim_end_matches([' ', '\t']), value.trim_matches([' ', '\t']));
        match key {
            "version" => version = version.or(Some(value)),
            "mode" => mode = mode.or(Some(value)),
            "max_age" => max_age = max_age.or(Some(value)),
            "mx" if hosts.len() >= MAX_HOSTS => return Err(format!("more than {MAX_HOSTS} mx patterns")),
            "mx" => hosts.push(pattern(value).ok_or("an mx pattern that is none")?),
            _ if is_field_name(key) => {}
            _ => return Err("a field name that is none".to_owned()),
        }
    }
    if version != Some("STSv1") {
        return Err("version is not STSv1".to_owned());
    }
    let mode = mode.and_then(read_mode).ok_or("mode is not enforce, testing or none")?;
    let max_age = max_age.and_then(seconds).ok_or("max_age is not a number of seconds")?;
    if hosts.is_empty() && mode != StsMode::None {
        return Err("no mx pattern".to_owned());
    }
    Ok(StsPolicy { id: id.to_owned(), mode, hosts, max_age: max_age.min(MAX_AGE) })
}

/// The mode's word.
pub const fn mode(policy: &StsPolicy) -> &'static str {
    match policy.mode {
        StsMode::Enforce => "enforce",
        StsMode::Testing => "testing",
        StsMode::None => "none",
    }
}

/// The lines of a policy, as a report quotes them and as it is kept.
pub fn lines(policy: &StsPolicy) -> Vec<String> {
    let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", mode(policy))];
    lines.extend(policy.hosts.iter().map(|host| format!("mx: {host}")));
    lines.push(format!("max_age: {}", policy.max_age));
    lines
}

fn read_mode(word: &str) -> Option<StsMode> {
    match word {
        "enforce" => Some(StsMode::Enforce),
        "testing" => Some(StsMode::Testing),
        "none" => Some(StsMode::None),
        _ => None,
    }
}

/// One to ten digits.
fn seconds(digits: &str) -> Option<u64> {
    ((1..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// `mail.example.org` or `*.example.org`, in normal form.
fn pattern(text: &str) -> Option<String> {
    let (star, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let name = address::normalise(name).ok().filter(|name| !address::is_literal(name) && name.len() <= 253)?;
    Some(format!("{star}{name}"))
}

fn is_field_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: Mail.Example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

    #[test]
    fn the_policy_of_the_rfc() {
        let policy = parse(GOOD.as_bytes(), "1").unwrap();
        assert_eq!(
            (policy.mode, policy.max_age, policy.hosts.as_slice()),
            (StsMode::Enforce, 604_800, &["mail.example.org".to_owned(), "*.example.net".to_owned()][..])
        );
        let spaced = "version:STSv1 \nmode:testing\nfuture-field: x\nmx:\ta.example\nmode: none\nmax_age: 9999999999\nmax_age: 1";
        let policy = parse(spaced.as_bytes(), "2").unwrap();
        assert_eq!((policy.mode, policy.max_age), (StsMode::Testing, MAX_AGE));
        assert!(parse(b"version: STSv1\nmode: none\nmax_age: 1\n", "3").unwrap().hosts.is_empty());
    }

    #[test]
    fn what_is_no_policy() {
        for bad in [
            "",
            "<html></html>",
            "mode: enforce\nmx: a.b\nmax_age: 1",
            "version: STSv2\nmode: enforce\nmx: a.b\nmax_age: 1",
            "version: STSv1\nmode: strict\nmx: a.b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a.b\nmax_age: -1",
            "version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 11111111111",
            "version: STSv1\nmode: enforce\nmx: a.b\n",
            "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: [127.0.0.1]\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a.*.b\nmax_age: 1",
            "version: STSv1\nno colon\nmode: enforce\nmx: a.b\nmax_age: 1",
        ] {
            assert!(parse(bad.as_bytes(), "1").is_err(), "{bad:?}");
        }
        let flood = format!("{GOOD}{}", "mx: a.example\n".repeat(200));
        assert!(parse(flood.as_bytes(), "1").is_err());
        assert!(parse(&[b'\n'; MAX_TEXT + 1], "1").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&text, "x");
        }

        #[test]
        fn what_is_read_is_kept(lines_in in proptest::collection::vec("(version: STSv1|mode: (enforce|testing|none)|mx: (\\*\\.)?[a-z]{1,5}\\.[A-Z]{2}|max_age: [0-9]{1,10}|[a-z]{1,4}: .{0,9})\r?", 0..12)) {
            if let Ok(policy) = parse(lines_in.join("\n").as_bytes(), "x") {
                prop_assert_eq!(parse(lines(&policy).join("\n").as_bytes(), "x"), Ok(policy));
            }
        }
    }
}
