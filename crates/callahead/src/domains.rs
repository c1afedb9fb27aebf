//! Which recipients may be asked about.

/// Whether the recipient's domain is one of `domains` (or below a `.suffix`).
pub fn covers(domains: &[String], recipient: &str) -> bool {
    let Some((local, domain)) = recipient.rsplit_once('@') else { return false };
    let Ok(domain) = address::normalise(domain) else { return false };
    !local.is_empty() && domains.iter().any(|pattern| settings::domain_matches(pattern, &domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_and_suffixes() {
        let domains = ["example.org".to_owned(), ".example.net".to_owned()];
        for (recipient, expected) in [
            ("a@example.org", true),
            ("a@EXAMPLE.ORG.", true),
            ("a@sub.example.org", false),
            ("a@x.example.net", true),
            ("a@example.net", false),
            ("a@notexample.org", false),
            ("@example.org", false),
            ("example.org", false),
            ("a@example.org@example.com", false),
        ] {
            assert_eq!(covers(&domains, recipient), expected, "{recipient}");
        }
    }
}
