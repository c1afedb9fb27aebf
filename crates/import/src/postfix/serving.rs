//! Mailboxes, the server and its restrictions.

use super::parameters::Main;
use crate::draft::{Draft, quoted};
use crate::lines::elements;
use crate::transport;

pub(super) fn delivery(main: &mut Main<'_>, draft: &mut Draft) {
    if let Some((_, detail)) = main.get("recipient_delimiter") {
        draft.text("local", "detail", &detail);
    }
    if let Some((_, mailbox)) = main.get("home_mailbox") {
        match mailbox.strip_suffix('/') {
            Some(folder) => draft.text("local", "maildir", &format!("%h/{folder}")),
            None => {
                draft.text("local", "delivery", "mbox");
                draft.text("local", "mbox", &format!("%h/{mailbox}"));
            }
        }
    } else if let Some((_, spool)) = main.get("mail_spool_directory") {
        let (delivery, key) = if spool.ends_with('/') { ("maildir", "maildir") } else { ("mbox", "mbox") };
        draft.text("local", "delivery", delivery);
        draft.text("local", key, &format!("{}/%u", spool.trim_end_matches('/')));
    } else if !main.has("mailbox_transport") {
        draft.text("local", "delivery", "mbox");
    }
    for name in ["mailbox_transport", "virtual_transport"] {
        let Some((line, value)) = main.get(name) else { continue };
        match transport::postfix(&value) {
            Ok(route) if route.starts_with("lmtp!") && name == "mailbox_transport" => {
                draft.text("local", "delivery", "lmtp");
                draft.text("local", "lmtp", route.trim_start_matches("lmtp!"));
            }
            Ok(route) => draft.remark(main.path, line, format!("{name}: give the domains a [[route]] of {route}")),
            Err(reason) => draft.remark(main.path, line, format!("{name}: {reason}")),
        }
    }
    main.used.push("mailbox_command".to_owned());
    if let Some((line, command)) = main.values.get("mailbox_command").cloned() {
        let text = format!("mailbox_command: give `{command}` a [[pipe]], or let users name it in .forward");
        draft.remark(main.path, line, text);
    }
}

pub(super) fn serving(main: &mut Main<'_>, draft: &mut Draft) {
    if let Some((line, size)) = main.get("message_size_limit") {
        match size.parse::<u64>() {
            Ok(0) => draft.remark(main.path, line, "message_size_limit: there is no unlimited size; the default was left"),
            Ok(size) => draft.bare("server", "max_message_size", size),
            Err(_) => draft.remark(main.path, line, format!("message_size_limit: {size} is no number")),
        }
    }
    if let Some((line, time)) = main.get("maximal_queue_lifetime") {
        let time = if time.bytes().all(|b| b.is_ascii_digit()) { format!("{time}d") } else { time };
        match settings::duration(&time) {
            Some(_) => draft.text("queue", "expiry", &time),
            None => draft.remark(main.path, line, format!("maximal_queue_lifetime: {time} is no time")),
        }
    }
    let files = (main.get("smtpd_tls_cert_file"), main.get("smtpd_tls_key_file"));
    if let (Some((_, chain)), Some((_, key))) = files {
        draft.section("certificate", vec![("chain", quoted(&chain)), ("key", quoted(&key))]);
    } else if let Some((line, files)) = main.get("smtpd_tls_chain_files") {
        draft.remark(main.path, line, format!("smtpd_tls_chain_files: part {files} into key and chain of a [[certificate]]"));
    }
    main.used.extend(["smtpd_use_tls", "smtpd_tls_security_level", "smtpd_tls_session_cache_database"].map(str::to_owned));
    if let Some((line, level)) = main.get("smtp_tls_security_level") {
        let ours = match level.as_str() {
            "none" => Some("none"),
            "may" => Some("may"),
            "encrypt" => Some("encrypt"),
            "verify" | "secure" => Some("verify"),
            "dane" => Some("dane"),
            _ => None,
        };
        match ours {
            Some(ours) => draft.section("channel", vec![("name", quoted("smtp")), ("tls", quoted(ours))]),
            None => draft.remark(main.path, line, format!("smtp_tls_security_level: {level} is not known")),
        }
    }
    restrictions(main, draft);
}

/// Of restrictions only policy services and DNS lists mean the same here as there.
fn restrictions(main: &mut Main<'_>, draft: &mut Draft) {
    for name in [
        "smtpd_client_restrictions",
        "smtpd_helo_restrictions",
        "smtpd_sender_restrictions",
        "smtpd_recipient_restrictions",
        "smtpd_relay_restrictions",
    ] {
        let Some((line, value)) = main.get(name) else { continue };
        let mut words = elements(&value);
        while let Some(word) = words.next() {
            match word {
                "permit_mynetworks" | "permit_sasl_authenticated" | "reject_unauth_destination" | "permit" | "defer_unauth_destination" => {
                }
                "reject_rbl_client" => match words.next() {
                    Some(zone) => draft.section("dns_list", vec![("zone", quoted(zone.split('=').next().unwrap_or(zone)))]),
                    None => draft.remark(main.path, line, "reject_rbl_client without a list"),
                },
                "check_policy_service" => {
                    let server = words.next().unwrap_or_default();
                    let bind = server.strip_prefix("inet:").unwrap_or(server);
                    draft.section("policy_service", vec![("name", quoted(&format!("service-{line}"))), ("server", quoted(bind))]);
                    draft.remark(main.path, line, format!("{server}: name the service in [[access]] policy_services"));
                }
                other => draft.remark(main.path, line, format!("{name}: {other} is not carried over; see zpost-policy(5)")),
            }
        }
    }
}
