//! The first two parts of a report: for people, and for programs (RFC 3464 section 2).

use crate::clean::{clean, decode_xtext, typed_address};
use crate::{Action, Notification, Recipient, Returned};
use std::fmt::Write as _;

/// The text for people.
pub(crate) fn text(notification: &Notification<'_>, utf8: bool) -> String {
    let action = overall(notification);
    let (verdict, next) = match action {
        Action::Failed => ("could not be delivered to", "It will not be tried again."),
        Action::Delayed => ("has not been delivered yet to", "It will be tried again; there is no need to send it again."),
        Action::Delivered | Action::Relayed | Action::Expanded => ("was delivered to", "This is the notice that you asked for."),
    };
    let mut out = String::new();
    let _ = write!(
        out,
        "This is the mail system at host {}.\n\nYour message {verdict} the recipients below.\n{next}\n",
        clean(notification.hostname, utf8)
    );
    for recipient in notification.recipients {
        describe(recipient, utf8, &mut out);
    }
    let part = match notification.returned {
        Returned::Full => "message",
        Returned::Headers { .. } => "header of your message",
    };
    let _ = write!(
        out,
        "\nThe report for programs and the {part} are attached.\nYour message was known here as {}.\nFor help, write to postmaster and include this report.\n",
        clean(notification.original_id, false)
    );
    out
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
    let any = |action| notification.recipients.iter().any(|r| r.action == action);
    if any(Action::Failed) {
        Action::Failed
    } else if any(Action::Delayed) {
        Action::Delayed
    } else {
        Action::Delivered
    }
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
