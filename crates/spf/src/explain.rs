//! What a domain says of a failure (RFC 7208 section 6.2).

use crate::domain_spec::MacroString;
use crate::expand::Subject;

/// Bytes at most: it becomes part of a reply line.
const MOST: usize = 300;

/// The text of the TXT records at the name of `exp`, expanded. A stranger wrote it: anything that is not as it should be
/// makes it no text.
pub fn text(records: &[String], subject: &Subject, domain: &str) -> String {
    let [record] = records else { return String::new() };
    let Ok(parts) = MacroString::explanation(record) else { return String::new() };
    // The sender's local part may hold what it likes.
    parts.expand(subject, domain).chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).take(MOST).collect()
}
