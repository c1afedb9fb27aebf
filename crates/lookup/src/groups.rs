//! The system's groups through NSS, with a short memory.

use crate::TableError;
use nix::errno::Errno;
use nix::unistd::Group;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an answer of NSS is believed.
const STAY: Duration = Duration::from_secs(60);
/// Answers remembered; beyond that all are forgotten.
const MAX_ANSWERS: usize = 10_000;
const MAX_NAME: usize = 255;

/// Asks getgrnam. Calls may block; only a process that serves nobody else meanwhile may use it.
#[derive(Debug, Default)]
pub struct Groups(HashMap<String, (Instant, Option<Vec<String>>)>);

impl Groups {
    /// Members that the group's entry names (not users whose own group it is).
    pub fn members(&mut self, now: Instant, name: &str) -> Result<Option<Vec<String>>, TableError> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(['/', ':', '\0']) || name.chars().any(char::is_control) {
            return Ok(None);
        }
        if let Some((asked, members)) = self.0.get(name)
            && now.saturating_duration_since(*asked) < STAY
        {
            return Ok(members.clone());
        }
        let members = match Group::from_name(name) {
            Ok(group) => group.map(|group| group.mem),
            Err(Errno::ENOENT | Errno::ESRCH) => None,
            Err(e) => return Err(TableError::Temporary(format!("system groups: {name}: {e}"))),
        };
        if self.0.len() >= MAX_ANSWERS {
            self.0.clear();
        }
        self.0.insert(name.to_owned(), (now, members.clone()));
        Ok(members)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_group_and_not_nonsense() {
        let mut groups = Groups::default();
        let now = Instant::now();
        assert!(groups.members(now, "root").unwrap().is_some());
        for name in ["", "no such group", "a/b", "a\0b", &"x".repeat(300)] {
            assert_eq!(groups.members(now, name).unwrap(), None);
        }
        assert!(groups.members(now, "root").unwrap().is_some());
    }
}
