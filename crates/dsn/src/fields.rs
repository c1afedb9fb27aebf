//! The first two parts of a report: for people, and for programs (RFC 3464 section 2).

use crate::clean::{clean, decode_xtext, typed_address};
use crate::template::Values;
use crate::{Action, Notification, Recipient, Returned};
use std::fmt::Write as _;

/// The text for people.
pub(crate) fn text(notification: &Notification<'_>, utf8: bool) -> String {
    let mut recipients = String::new();
    for recipient in notification.recipients {
        describe(recipient, utf8, &mut recipients);
    }
    with_values(notification, &recipients, |values| notification.templates.text(overall(notification), values, utf8))
}

/// From and Subject, one clean line each.
pub(crate) fn said_headers(notification: &Notification<'_>) -> (String, String) {
    with_values(notification, "", |values| notification.templates.headers(overall(notification), values))
}

fn with_values<T>(notification: &Notification<'_>, recipients: &str, fill: impl FnOnce(&Values<'_>) -> T) -> T {
    let moment = |seconds: u64| if seconds > 0 { message::date(seconds) } else { "an unknown time".to_owned() };
    let until = notification.recipients.iter().map(|r| r.retry_until).max().unwrap_or(0);
    fill(&Values {
        hostname: notification.hostname,
        id: notification.original_id,
        count: &notification.recipients.len().to_string(),
        sender: notification.copy_of.unwrap_or(notification.to),
        arrived: &moment(notification.arrived),
        until: &moment(until),
        part: match notification.returned {
            Returned::Full => "message",
            Returned::Headers { .. } => "header of your message",
        },
        recipients,
    })
}

fn describe(recipient: &Recipient, utf8: bool, out: &mut String) {
    let _ = write!(out, "\n<{}>", clean(recipient.original.as_ref().unwrap_or(&recipient.address), utf8));
    if recipient.original.as_ref().is_some_and(|original| *original != recipient.address) {
        let _ = write!(out, "\n    forwarded to <{}>", clean(&recipient.address, utf8));
    }
    out.push('\n');
    if let Some(host) = remote_host(recipient) {
        let _ = writeln!(out, "    {} said:", clean(host, utf8));
    }
    let _ = writeln!(out, "    {} ({})", clean(&recipient.text, utf8), recipient.status);
}

/// The worst that the report tells.
pub(crate) fn overall(notification: &Notification<'_>) -> Action {
    let any = |action: &Action| notification.recipients.iter().any(|r| r.action == *action);
    Action::ALL.into_iter().find(any).unwrap_or(Action::Failed)
}

/// The fields for programs.
pub(crate) fn status(notification: &Notification<'_>, utf8: bool) -> String {
    let mut out = String::new();
    field(&mut out, "Reporting-MTA", &format!("dns; {}", clean(notification.hostname, utf8)));
    if let Some(envid) = notification.envid {
        field(&mut out, "Original-Envelope-Id", &clean(&decode_xtext(envid), utf8));
    }
    field(&mut out, "X-Zpost-Message-Id", &clean(notification.original_id, false));
    moment(&mut out, "Arrival-Date", notification.arrived);
    for recipient in notification.recipients {
        out.push('\n');
        recipient_fields(recipient, utf8, &mut out);
    }
    out
}

fn recipient_fields(recipient: &Recipient, utf8: bool, out: &mut String) {
    if let Some((kind, address)) = recipient.orcpt.as_deref().and_then(|orcpt| orcpt.split_once(';')) {
        let address = decode_xtext(address);
        let value = match kind.to_ascii_lowercase().as_str() {
            "rfc822" | "utf-8" => typed_address(&address, utf8),
            other => format!("{:.40}; {}", clean(other, false), clean(&address, utf8)),
        };
        field(out, "Original-Recipient", &value);
    }
    field(out, "Final-Recipient", &typed_address(&recipient.address, utf8));
    field(out, "Action", recipient.action.word());
    field(out, "Status", &recipient.status.to_string());
    let kind = match remote_host(recipient) {
        Some(host) => {
            field(out, "Remote-MTA", &format!("dns; {}", clean(host, utf8)));
            "smtp"
        }
        None => "x-zpost",
    };
    if !recipient.text.trim().is_empty() {
        field(out, "Diagnostic-Code", &format!("{kind}; {}", clean(&recipient.text, utf8)));
    }
    moment(out, "Last-Attempt-Date", recipient.last_attempt);
    moment(out, "Will-Retry-Until", recipient.retry_until);
}

fn field(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name}: {value}");
}
fn moment(out: &mut String, name: &str, seconds: u64) {
    if seconds > 0 {
        field(out, name, &message::date(seconds));
    }
}

/// The name in `host [ip]:port`; a path or `-` is no host.
fn remote_host(recipient: &Recipient) -> Option<&str> {
    let word = recipient.remote.split_ascii_whitespace().next()?;
    (word != "-" && !word.contains('/')).then_some(word)
}
