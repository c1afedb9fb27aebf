//! The lines.

use crate::Secret;
use std::collections::HashMap;
use std::fmt;

/// A user of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// At least one.
    pub secrets: Vec<Secret>,
    /// `user@domain`, `@domain`, `*`; empty: what `[auth] senders` says.
    pub senders: Vec<String>,
}

/// A line that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    pub reason: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// The whole file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Passwords(HashMap<String, Entry>);

impl Passwords {
    /// Reads the file's text. A faulty line is left out.
    pub fn parse(text: &str) -> (Self, Vec<Fault>) {
        let mut users: HashMap<String, Entry> = HashMap::new();
        let mut faults = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            let known = |name: &String| users.contains_key(name);
            match entry(line) {
                Ok((name, _)) if known(&name) => {
                    faults.push(Fault { line: number.saturating_add(1), reason: "this user was there before" })
                }
                Ok((name, entry)) => {
                    users.insert(name, entry);
                }
                Err(reason) => faults.push(Fault { line: number.saturating_add(1), reason }),
            }
        }
        (Self(users), faults)
    }

    /// By the name in lower case.
    pub fn user(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A user name as the file spells it, lower case; `None`: it cannot stand in the file.
pub fn name(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= 255 && !text.starts_with('#') && !text.contains(':');
    (fits && !text.chars().any(|c| c.is_control() || c.is_whitespace())).then(|| text.to_lowercase())
}

fn entry(line: &str) -> Result<(String, Entry), &'static str> {
    let mut fields = line.trim_end().splitn(3, ':');
    let user = fields.next().and_then(name).ok_or("no user name")?;
    let secrets = fields.next().ok_or("no secret behind the user name")?;
    let secrets: Option<Vec<Secret>> = secrets.split_whitespace().map(Secret::parse).collect();
    let secrets = secrets.ok_or("a secret of a kind that is not known")?;
    if secrets.is_empty() {
        return Err("no secret behind the user name");
    }
    Ok((user, Entry { secrets, senders: senders(fields.next().unwrap_or_default()) }))
}

/// A list with commas.
pub fn senders(text: &str) -> Vec<String> {
    text.split(',').map(|sender| sender.trim().to_lowercase()).filter(|sender| !sender.is_empty()).collect()
}

/// The text with this user's line in place of its former one, else at the end; all others as they are.
pub fn put(text: &str, user: &str, entry: &Entry) -> String {
    let secrets: Vec<String> = entry.secrets.iter().map(ToString::to_string).collect();
    let mut line = format!("{user}:{}", secrets.join(" "));
    if !entry.senders.is_empty() {
        line.push(':');
        line.push_str(&entry.senders.join(","));
    }
    let mut placed = false;
    let mut lines: Vec<&str> = Vec::new();
    for old in text.lines() {
        match is_of(old, user) {
            false => lines.push(old),
            true if !placed => {
                placed = true;
                lines.push(&line);
            }
            true => {}
        }
    }
    if !placed {
        lines.push(&line);
    }
    lines.join("\n") + "\n"
}

/// The text without this user; `None`: it is not there.
pub fn remove(text: &str, user: &str) -> Option<String> {
    let left: Vec<&str> = text.lines().filter(|line| !is_of(line, user)).collect();
    (left.len() < text.lines().count()).then(|| left.iter().map(|line| format!("{line}\n")).collect())
}

fn is_of(line: &str, user: &str) -> bool {
    line.split(':').next().and_then(name).is_some_and(|name| name == user)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "$6$salt$abc";

    #[test]
    fn lines_that_are_wrong_hurt_nobody_else() {
        let text = format!(
            "# users\n\ntim:{HASH}:Tim@Example.org, @example.com\nANN:{HASH}\n:{HASH}\nbob\nbob:\neve:{{PLAIN}}x\ntim:{HASH}:*\njoe:{HASH} x\n"
        );
        let (file, faults) = Passwords::parse(&text);
        assert_eq!(file.len(), 2);
        assert_eq!(file.user("tim").unwrap().senders, ["tim@example.org", "@example.com"]);
        assert!(file.user("ann").unwrap().senders.is_empty());
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn one_line_is_changed_and_the_others_stay() {
        let entry = |senders: &[&str]| Entry {
            secrets: vec![Secret::parse(HASH).unwrap()],
            senders: senders.iter().map(|s| (*s).to_owned()).collect(),
        };
        let text = put("# mine\nTim:$6$old$x\nann:$6$a$b:*", "tim", &entry(&["*"]));
        assert_eq!(text, format!("# mine\ntim:{HASH}:*\nann:$6$a$b:*\n"));
        let text = put(&text, "bob", &entry(&[]));
        assert!(text.ends_with(&format!("\nbob:{HASH}\n")));
        let text = remove(&text, "tim").unwrap();
        assert_eq!(remove(&text, "tim"), None);
        assert_eq!(Passwords::parse(&text).0.len(), 2);
    }

    #[test]
    fn names_that_would_break_the_file() {
        for wrong in ["", "a:b", "a b", "a\nb", "#a"] {
            assert_eq!(name(wrong), None);
        }
        assert_eq!(name("Tim@Example.org").unwrap(), "tim@example.org");
    }

    proptest! {
        #[test]
        fn any_text_and_what_is_put_is_found(text in "(\\PC{0,20}[:\n]){0,8}", user in "[a-z@.]{1,12}") {
            let (_, faults) = Passwords::parse(&text);
            prop_assert!(faults.len() <= text.lines().count());
            let entry = Entry { secrets: vec![Secret::parse(HASH).unwrap()], senders: vec![] };
            let changed = put(&text, &user, &entry);
            let (file, _) = Passwords::parse(&changed);
            prop_assert_eq!(file.user(&user), Some(&entry));
            let (file, _) = Passwords::parse(&remove(&changed, &user).unwrap());
            prop_assert_eq!(file.user(&user), None);
        }
    }
}
