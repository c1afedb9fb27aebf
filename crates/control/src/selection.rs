//! Which messages a command is about: ids or filters.

use crate::trouble::{EX_USAGE, Trouble};
use envelope::MessageId;
use ipc::control::{QueuedMessage, QueuedRecipient, Selection};

/// The filters that all queue commands share. All that are given must hold.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Filters {
    /// Messages of this sender (`<>` for reports)
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// Recipients with this address
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Recipients in this domain; .suffix: in all domains below it
    #[arg(long)]
    pub domain: Option<String>,
    /// Recipients that go by this channel
    #[arg(long)]
    pub channel: Option<String>,
    /// Recipients that go to this next hop
    #[arg(long)]
    pub host: Option<String>,
    /// Recipients in this state; delivered and failed ones of messages that are still queued for others
    #[arg(long, value_parser = ["queued", "active", "deferred", "held", "delivered", "failed"])]
    pub state: Option<String>,
    /// Messages older than this, as in 30m, 2h or 5d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older: Option<u64>,
}

/// An age in seconds.
fn age(text: &str) -> Result<u64, String> {
    settings::duration(text).map(|d| d.as_secs()).ok_or_else(|| "no duration such as 30m, 2h or 5d".to_owned())
}

impl Filters {
    pub fn selection(&self, ids: &[String]) -> Result<Selection, Trouble> {
        for id in ids {
            MessageId::parse(id).map_err(|_| Trouble::new(EX_USAGE, format!("`{}` is no message id", crate::output::shown(id))))?;
        }
        Ok(Selection {
            ids: ids.to_vec(),
            sender: self.sender.as_deref().map(|s| s.trim_matches(['<', '>']).to_owned()),
            recipient: self.recipient.as_deref().map(|s| s.trim_matches(['<', '>']).to_owned()),
            domain: self
                .domain
                .as_deref()
                .map(|d| if d.starts_with('.') { d.to_lowercase() } else { address::normalise(d).unwrap_or_else(|_| d.to_lowercase()) }),
            channel: self.channel.clone(),
            host: self.host.clone(),
            state: self.state.clone(),
            older: self.older,
        })
    }
}

/// Does the message match (for what is read from the spool)? Keeps the recipients that do.
pub fn matches(selection: &Selection, message: &mut QueuedMessage, now_seconds: u64) -> bool {
    let of_ids = selection.ids.is_empty() || selection.ids.contains(&message.id);
    let of_sender = selection.sender.as_ref().is_none_or(|s| s.eq_ignore_ascii_case(&message.sender));
    let old = selection.older.is_none_or(|age| message.arrived / 1000 + age <= now_seconds);
    if !(of_ids && of_sender && old) {
        return false;
    }
    let by_recipient = [&selection.recipient, &selection.domain, &selection.channel, &selection.host, &selection.state];
    if by_recipient.iter().any(|f| f.is_some()) {
        message.recipients.retain(|r| matches_recipient(selection, r));
    }
    !message.recipients.is_empty()
}

fn matches_recipient(selection: &Selection, recipient: &QueuedRecipient) -> bool {
    let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|w| w.eq_ignore_ascii_case(has));
    let domain = recipient.address.rsplit_once('@').map_or("", |(_, d)| d);
    let normal = address::normalise(domain).unwrap_or_default();
    is(&selection.recipient, &recipient.address)
        && selection.domain.as_deref().is_none_or(|d| settings::domain_matches(&d.to_ascii_lowercase(), &normal))
        && is(&selection.channel, &recipient.channel)
        && is(&selection.host, &recipient.host)
        && is(&selection.state, &recipient.state)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub mod tests {
    use super::*;

    pub fn message() -> QueuedMessage {
        let recipient = |address: &str, channel: &str, state: &str| QueuedRecipient {
            address: address.to_owned(),
            channel: channel.to_owned(),
            host: "-".to_owned(),
            state: state.to_owned(),
            attempts: 1,
            next_attempt: 2_000,
            last: "451 4.3.0 later\u{7}".to_owned(),
            report: String::new(),
            sender: String::new(),
        };
        QueuedMessage {
            id: "01234567890abcde".to_owned(),
            sender: "a@b.example".to_owned(),
            size: 1234,
            arrived: 1_000_000,
            state: "deferred".to_owned(),
            recipients: vec![recipient("x@Y.example", "smtp", "deferred"), recipient("z@local.example", "local", "queued")],
            more: false,
        }
    }

    #[test]
    fn filters_keep_what_all_of_them_name() {
        let keeps = |s: Selection| {
            let mut m = message();
            (matches(&s, &mut m, 1_100), m.recipients.len())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(keeps(Selection::default()), (true, 2));
        assert_eq!(keeps(Selection { domain: some("y.example"), ..Selection::default() }), (true, 1));
        assert_eq!(keeps(Selection { sender: some("A@B.EXAMPLE"), channel: some("local"), ..Selection::default() }), (true, 1));
        assert!(!keeps(Selection { sender: some("other@b.example"), ..Selection::default() }).0);
        assert!(!keeps(Selection { state: some("held"), ..Selection::default() }).0);
        assert!(keeps(Selection { older: Some(100), ..Selection::default() }).0);
        assert!(!keeps(Selection { older: Some(101), ..Selection::default() }).0);
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        assert_eq!(Filters::default().selection(&["../x".to_owned()]).unwrap_err().code, EX_USAGE);
    }
}
