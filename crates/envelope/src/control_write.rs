//! Writing the control file.

use crate::checksum::Checksum;
use crate::control::{Control, ControlRecipient, Diagnostic, Form, Sender};
use crate::lines::{Lines, escape, escape_bytes, escape_text};
use crate::{BodyType, Edits, MessageId, Terms};
use address::Path;
use std::io::Write;

/// Bytes of a diagnostic's text and remote name at most.
pub const MAX_DIAGNOSTIC: usize = 512;

/// `@ 1 ` and 16 hex digits, filled in at the end.
const HEAD: &[u8] = b"@ 1 0000000000000000\n";

/// Appends the whole fixed part, checksum included. `out` should be empty: offsets count from the file's beginning.
pub fn write_control(control: &Control, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend_from_slice(HEAD);
    preamble(control, out);
    for (number, set) in (1u16..).zip(&control.edits) {
        write_edits(number, &set.edits, out);
    }
    for (number, form) in (1u16..).zip(&control.forms) {
        write_form(number, form, out);
    }
    let mut form = 0;
    for recipient in &control.recipients {
        if recipient.form != form {
            form = recipient.form;
            let _ = writeln!(out, "g {form}");
        }
        write_recipient(recipient, out);
    }
    let _ = writeln!(out, "z {}", control.recipients.len());
    let mut sum = Checksum::new();
    for (_, line) in Lines::new(out.get(begin + HEAD.len()..).unwrap_or_default()) {
        sum_line(&mut sum, line);
    }
    let digits = format!("{:016x}\n", sum.value());
    if let Some(place) = out.get_mut(begin + HEAD.len() - digits.len()..begin + HEAD.len()) {
        place.copy_from_slice(digits.as_bytes());
    }
}

/// A recipient's state changes in place later, so it counts as a blank.
pub(crate) fn sum_line(sum: &mut Checksum, line: &[u8]) {
    match line {
        [b'r', _, rest @ ..] => {
            sum.line(b"r ");
            sum.line(rest);
        }
        _ => sum.line(line),
    }
}

fn preamble(control: &Control, out: &mut Vec<u8>) {
    let _ = writeln!(out, "i {}\no {} {}\na {}", control.id.as_str(), control.body_offset, control.size, control.arrived);
    if control.smtputf8 || control.bodytype != BodyType::default() {
        let _ = writeln!(out, "t {}{}", control.bodytype.as_str(), if control.smtputf8 { " SMTPUTF8" } else { "" });
    }
    if let Some(message_id) = &control.message_id {
        tagged(b'l', message_id, out);
    }
    tagged_path(b's', &control.sender, out);
    if let Some(envid) = &control.envid {
        tagged(b'n', envid, out);
    }
    if let Some(ret) = control.ret {
        tagged(b'R', ret.as_str(), out);
    }
    write_terms(&control.terms, out);
}

fn write_terms(terms: &Terms, out: &mut Vec<u8>) {
    if terms.priority != 0 {
        let _ = writeln!(out, "p {}", terms.priority);
    }
    if let Some(deliver_by) = terms.deliver_by {
        let _ = writeln!(out, "b {deliver_by}");
    }
    if let Some(moment) = terms.hold_until {
        let _ = writeln!(out, "u {moment}");
    }
    if let Some(word) = terms.tls.word() {
        tagged(b'q', word, out);
    }
}

fn write_edits(number: u16, edits: &Edits, out: &mut Vec<u8>) {
    for edit in edits {
        let _ = write!(out, "m {number} {} {} ", edit.offset, edit.length);
        escape_bytes(&edit.text, out);
        out.push(b'\n');
    }
}

fn write_form(number: u16, form: &Form, out: &mut Vec<u8>) {
    let (kind, address) = match &form.sender {
        Sender::Own => ("own", None),
        Sender::Owner(address) => ("owner", Some(address)),
        Sender::Verp(address) => ("verp", Some(address)),
        Sender::Alias(address) => ("alias", Some(address)),
    };
    let _ = write!(out, "w {number} {kind} ");
    escape(address.map_or("-", |address| address.as_str()), out);
    let _ = match form.edits {
        0 => out.write_all(b" -\n"),
        set => writeln!(out, " {set}"),
    };
}

fn write_recipient(recipient: &ControlRecipient, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'r', recipient.state.byte()]);
    for word in [&recipient.quad.channel, &recipient.quad.host, &recipient.quad.user, &recipient.quad.attributes] {
        out.push(b' ');
        escape(word, out);
    }
    out.push(b'\n');
    let dsn = &recipient.dsn;
    if recipient.original.is_none() && recipient.via.is_none() && dsn.notify.is_none() && dsn.orcpt.is_none() {
        return;
    }
    out.push(b'N');
    for (name, value) in [(" TO=", &recipient.original), (" ORCPT=", &dsn.orcpt), (" VIA=", &recipient.via)] {
        if let Some(value) = value {
            out.extend_from_slice(name.as_bytes());
            escape(value, out);
        }
    }
    if let Some(notify) = dsn.notify {
        let _ = write!(out, " NOTIFY={notify}");
    }
    out.push(b'\n');
}

fn tagged(tag: u8, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&[tag, b' ']);
    escape(value, out);
    out.push(b'\n');
}

fn tagged_path(tag: u8, path: &Path, out: &mut Vec<u8>) {
    match path {
        Path::Null => tagged(tag, "<>", out),
        Path::Mailbox(address) => tagged(tag, address.as_str(), out),
    }
}

/// Appends one `d` line, LF included. Remote name and text are cut to [`MAX_DIAGNOSTIC`] bytes.
pub fn diagnostic_line(diagnostic: &Diagnostic, out: &mut Vec<u8>) {
    let Diagnostic { recipient, time, happened, attempts, next_attempt, status, remote, text } = diagnostic;
    let _ = write!(out, "d {recipient} {time} {} {attempts} {next_attempt} {status} ", happened.word());
    escape(cut(remote), out);
    out.push(b' ');
    escape_text(cut(text), out);
    out.push(b'\n');
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_DIAGNOSTIC)).unwrap_or_default()
}

pub(crate) fn read_id(word: &[u8]) -> Option<MessageId> {
    MessageId::parse(std::str::from_utf8(word).ok()?).ok()
}
