//! Lines of an alias file that have no name, such as one without its colon. Whom they were meant for is not unknown: mail for
//! him waits until the line is mended. Everybody else is known, or not, by the other lines.

use crate::lines::SyntaxFault;

/// Such a line.
#[derive(Debug)]
pub(crate) struct Nameless {
    text: String,
    fault: SyntaxFault,
}

impl Nameless {
    /// `None`: nothing of a name is there.
    pub fn new(text: &str, fault: &SyntaxFault) -> Option<Self> {
        let text: String = text.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        let text = text.trim_start().to_lowercase();
        (!text.is_empty() && !text.starts_with(':')).then(|| Self { text, fault: fault.clone() })
    }

    /// The fault, where the line begins with this name (as [`crate::key`] writes it).
    pub fn doubt(&self, key: &str) -> Option<&SyntaxFault> {
        let rest = self.text.strip_prefix(key).filter(|_| !key.is_empty())?;
        let longer = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        (!rest.starts_with(longer)).then_some(&self.fault)
    }
}

/// What a definition becomes that ends with a comma, where the line behind it has no name.
pub(crate) fn unended(next: usize) -> String {
    format!("it ends with a comma; begin line {next} with a blank where that goes on it")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_line_may_be_meant_for() {
        let fault = SyntaxFault { line: 3, reason: "no colon after the name".to_owned() };
        let line = |text: &str| Nameless::new(text, &fault);
        for (text, key, meant) in [
            ("Team alice, bob", "team", true),
            ("team alice, bob", "alice", false),
            ("team alice, bob", "tea", false),
            ("team;alice", "team", true),
            ("team", "team", true),
            ("team@x.example alice", "team", true),
            ("team@x.example alice", "team@x.example", true),
            ("team-one alice", "team", false),
            ("\"te am alice", "te am", true),
            ("team", "", false),
        ] {
            assert_eq!(line(text).unwrap().doubt(key).is_some(), meant, "{text}: {key}");
        }
        assert!(line(": alice").is_none() && line("\"\"").is_none());
    }
}
