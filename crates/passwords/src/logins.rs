//! `[auth] sender_logins`: who may give which sender.

use std::collections::HashMap;

/// By user, in lower case.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Logins(HashMap<String, Vec<String>>);

impl Logins {
    /// Lines `sender: user, user`. A line without a colon gives nobody anything.
    pub fn parse(text: &str) -> Self {
        let mut users: HashMap<String, Vec<String>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // From the right: a quoted local part may hold a colon, a user may not.
            let Some((sender, names)) = line.rsplit_once(':') else { continue };
            let sender = sender.trim().to_lowercase();
            for name in names.split(',').map(str::trim).filter(|name| !name.is_empty() && !sender.is_empty()) {
                users.entry(name.to_lowercase()).or_default().push(sender.clone());
            }
        }
        Self(users)
    }

    pub fn of(&self, user: &str) -> &[String] {
        self.0.get(user).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_of_several_and_a_user_of_several() {
        let logins = Logins::parse("# who\nsales@example.org: Ann, bob\n@example.com:ann\nnonsense\n: x\n*:\n");
        assert_eq!(logins.of("ann"), ["sales@example.org", "@example.com"]);
        assert_eq!(logins.of("bob"), ["sales@example.org"]);
        assert!(logins.of("x").is_empty() && logins.of("").is_empty());
    }
}
