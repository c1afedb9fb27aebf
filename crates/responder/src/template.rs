//! What is answered: `~/.vacation.msg`, header lines if any, an empty line, the text.

/// A message file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub subject: Option<String>,
    /// `Name <address>` or an address.
    pub from: Option<String>,
    pub text: String,
}

/// Characters of a line of a header.
const LONGEST: usize = 400;

/// Where nothing else is said.
pub(crate) const USUAL: &str =
    "Subject: away from my mail\n\nI will not be reading my mail for a while.\nYour message about \"$SUBJECT\" waits until I am back.\n";

impl Template {
    /// Reads a file. Without a header line at its begin all of it is text.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut template = Self { subject: None, from: None, text: String::new() };
        let (header, body) = match text.split_once("\n\n") {
            Some((header, body)) if header.lines().all(is_field) => (header, body),
            _ => ("", text),
        };
        for (number, line) in header.lines().enumerate() {
            let (name, value) = line.split_once(':').unwrap_or_default();
            let value: String = value.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
            match name.to_lowercase().as_str() {
                "subject" => template.subject = Some(value),
                "from" => template.from = Some(value),
                // What vacation programs of old wrote there.
                "precedence" | "delivered-by-the-graces-of" | "to" => {}
                _ => return Err(format!("line {}: {name} is not a field that an answer may set; there are Subject and From", number + 1)),
            }
        }
        body.clone_into(&mut template.text);
        Ok(template)
    }

    /// What `autoanswer` says by itself.
    pub(crate) fn automatic() -> Self {
        let subject = Some("your message has arrived".to_owned());
        Self { subject, from: None, text: "This is answered by a program; nobody reads it.\n".to_owned() }
    }

    /// The text for an answer to a message of this subject.
    pub(crate) fn text_for(&self, subject: &str) -> String {
        self.text.replace("$SUBJECT", if subject.is_empty() { "(no subject)" } else { subject })
    }
}

fn is_field(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_and_text() {
        let template = Template::read("Subject: gone fishing\nFrom: Joe <joe@example.org>\n\nback soon\n\nreally").unwrap();
        assert_eq!((template.subject.as_deref(), template.from.as_deref()), (Some("gone fishing"), Some("Joe <joe@example.org>")));
        assert_eq!(template.text, "back soon\n\nreally");
        let plain = Template::read("I am away.\nDear you: this is text\n\nbye").unwrap();
        assert_eq!((plain.subject, plain.text.as_str()), (None, "I am away.\nDear you: this is text\n\nbye"));
        assert!(Template::read("Bcc: a@b\n\nx").unwrap_err().contains("Bcc"));
        assert_eq!(Template::read(USUAL).unwrap().text_for("").matches("(no subject)").count(), 1);
    }
}
