//! Host names of MTA-STS policies.

/// Whether a host is one that an `mx` line of a policy allows (RFC 8461 section 4.1): the same name, or `*.` for exactly one
/// label. Letter case does not count, nor does a final dot.
pub fn policy_host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.trim_end_matches('.'), host.trim_end_matches('.'));
    match pattern.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
        None => !host.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::policy_host_matches;

    #[test]
    fn one_label_for_a_star() {
        for (pattern, host) in
            [("mx.example.org", "MX.example.org."), ("*.example.org", "mx.example.org"), ("*.Example.org.", "mx9.example.ORG")]
        {
            assert!(policy_host_matches(pattern, host), "{pattern} {host}");
        }
        for (pattern, host) in [
            ("*.example.org", "example.org"),
            ("*.example.org", "a.mx.example.org"),
            ("*.example.org", ".example.org"),
            ("mx.*.org", "mx.example.org"),
            ("mx*.example.org", "mx1.example.org"),
            ("*", "example"),
            ("", ""),
            ("mx.example.org", "mx.example.net"),
        ] {
            assert!(!policy_host_matches(pattern, host), "{pattern} {host}");
        }
    }
}
