//! Which senders a user may give.

use settings::SenderRule;

/// May this user give this sender (`local@domain`) in MAIL? `listed`, where there are any, decide alone: `user@domain`,
/// `@domain`, `*`, in lower case. The empty sender is everybody's: reports and receipts have it.
pub fn may_send_as(rule: SenderRule, user: &str, listed: &[String], sender: &str) -> bool {
    if sender.is_empty() || sender == "<>" {
        return true;
    }
    let sender = sender.to_lowercase();
    let (local, domain) = sender.rsplit_once('@').unwrap_or((&sender, ""));
    if !listed.is_empty() {
        return listed.iter().any(|entry| match entry.strip_prefix('@') {
            Some(whole) => whole == domain,
            None => entry == "*" || *entry == sender,
        });
    }
    match rule {
        SenderRule::Any => true,
        SenderRule::Listed => false,
        SenderRule::Own => {
            let user = user.to_lowercase();
            if user.contains('@') { user == sender } else { user == local }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_lists() {
        let none: &[&str] = &[];
        for (rule, user, listed, sender, may) in [
            (SenderRule::Any, "tim", none, "ann@example.org", true),
            (SenderRule::Own, "tim", none, "Tim@example.org", true),
            (SenderRule::Own, "tim", none, "ann@example.org", false),
            (SenderRule::Own, "tim", none, "tim.x@example.org", false),
            (SenderRule::Own, "tim@example.org", none, "TIM@Example.Org", true),
            (SenderRule::Own, "tim@example.org", none, "tim@example.com", false),
            (SenderRule::Own, "tim", none, "\"a@b\"@example.org", false),
            (SenderRule::Listed, "tim", none, "tim@example.org", false),
            (SenderRule::Listed, "tim", none, "", true),
            (SenderRule::Listed, "tim", none, "<>", true),
            (SenderRule::Listed, "tim", &["sales@example.org"], "Sales@example.org", true),
            (SenderRule::Any, "tim", &["sales@example.org"], "tim@example.org", false),
            (SenderRule::Own, "tim", &["@example.org"], "any@example.org", true),
            (SenderRule::Own, "tim", &["@example.org"], "any@sub.example.org", false),
            (SenderRule::Own, "tim", &["@example.org"], "\"x@example.org\"@evil.example", false),
            (SenderRule::Listed, "tim", &["*"], "x@anywhere.example", true),
        ] {
            let listed: Vec<String> = listed.iter().map(|entry| (*entry).to_owned()).collect();
            assert_eq!(may_send_as(rule, user, &listed, sender), may, "{rule:?} {user} {listed:?} {sender}");
        }
    }
}
