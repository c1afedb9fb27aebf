//! Reading the control file.

use crate::checksum::Checksum;
use crate::control::{Control, ControlError, ControlRecipient, Diagnostic, EditSet, Form, Happened, Parsed, Quad, RecipientState, Sender};
use crate::control_write::{read_id, sum_line};
use crate::lines::{Lines, number, unescape, unescape_bytes};
use crate::{BodyType, DeliverBy, Edit, Edits, MessageId, Notify, RecipientDsn, Ret, Terms, TlsTerms, read_priority};
use address::{Address, Path};

/// Reads a control file. The fixed part is valid as a whole or an error; damaged `d` lines are left out.
pub fn parse_control(bytes: &[u8]) -> Result<Parsed, ControlError> {
    let mut lines = Lines::new(bytes);
    let mut number = 0;
    let control = read_fixed(&mut lines, &mut number).map_err(|reason| ControlError { line: number, reason: reason.to_owned() })?;
    let diagnostics = lines.filter_map(|(_, line)| read_diagnostic(line)).filter(|d| control.has_recipient_at(d.recipient)).collect();
    Ok(Parsed { control, diagnostics })
}

impl Control {
    fn has_recipient_at(&self, offset: u32) -> bool {
        self.recipients.binary_search_by_key(&offset, |r| r.offset).is_ok()
    }
}

/// What the fixed part's lines have said so far.
#[derive(Default)]
struct Draft {
    id: Option<MessageId>,
    place: Option<(u64, u64)>,
    arrived: Option<u64>,
    kind: Option<(BodyType, bool)>,
    message_id: Option<String>,
    /// Of files of former versions.
    error_address: Option<Path>,
    edits: Vec<EditSet>,
    forms: Vec<Form>,
    /// Of the recipients that follow.
    form: u16,
    sender: Option<Path>,
    envid: Option<String>,
    ret: Option<Ret>,
    priority: Option<i8>,
    deliver_by: Option<DeliverBy>,
    hold_until: Option<u64>,
    tls: Option<TlsTerms>,
    recipients: Vec<ControlRecipient>,
}

fn read_fixed(lines: &mut Lines<'_>, line_number: &mut usize) -> Result<Control, &'static str> {
    *line_number = 1;
    let (_, head) = lines.next().ok_or("incomplete")?;
    let expected = head.strip_prefix(b"@ 1 ").and_then(read_hex).ok_or("not a control file of version 1")?;
    let mut draft = Draft::default();
    let mut sum = Checksum::new();
    for (offset, line) in lines {
        *line_number += 1;
        sum_line(&mut sum, line);
        if let Some(count) = line.strip_prefix(b"z ") {
            if sum.value() != expected {
                return Err("wrong checksum");
            }
            return draft.finish(count);
        }
        draft.read_line(offset, line)?;
    }
    *line_number += 1;
    Err("incomplete")
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    if digits.len() != 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

impl Draft {
    fn read_line(&mut self, offset: usize, line: &[u8]) -> Result<(), &'static str> {
        let (tag, rest) = line.split_first().ok_or("empty line")?;
        if *tag == b'r' {
            let recipient = read_recipient(offset, rest).ok_or("malformed recipient")?;
            self.recipients.push(ControlRecipient { form: self.form, ..recipient });
            return Ok(());
        }
        let value = rest.strip_prefix(b" ").ok_or("no blank after the tag")?;
        match *tag {
            b'N' => {
                let recipient = self.recipients.last_mut().ok_or("N line before the first recipient")?;
                read_notary(value, recipient).ok_or("malformed N line")
            }
            b'i' => once(&mut self.id, read_id(value)),
            b'o' => once(&mut self.place, read_pair(value)),
            b'a' => once(&mut self.arrived, number(value)),
            b't' => once(&mut self.kind, read_kind(value)),
            b'l' => once(&mut self.message_id, owned(value)),
            b'e' => once(&mut self.error_address, read_path(value)),
            b's' => once(&mut self.sender, read_path(value)),
            b'n' => once(&mut self.envid, owned(value)),
            b'R' => once(&mut self.ret, unescape(value).and_then(|v| Ret::parse(&v))),
            b'p' => once(&mut self.priority, text(value).and_then(read_priority)),
            b'b' => once(&mut self.deliver_by, text(value).and_then(DeliverBy::parse)),
            b'u' => once(&mut self.hold_until, number(value)),
            b'm' => self.read_edit(offset, value, line.len()).ok_or("malformed header edit"),
            b'w' => self.read_form(value).ok_or("malformed form"),
            b'g' => {
                self.form = number(value).filter(|form| usize::from(*form) <= self.forms.len()).ok_or("no such form")?;
                Ok(())
            }
            b'q' => once(&mut self.tls, text(value).and_then(TlsTerms::parse)),
            _ => Err("unknown tag"),
        }
    }

    fn read_edit(&mut self, offset: usize, value: &[u8], length: usize) -> Option<()> {
        let (set, edit) = read_edit(value)?;
        let (begin, length) = (u32::try_from(offset).ok()?, u32::try_from(length + 1).ok()?);
        let known = u16::try_from(self.edits.len()).ok()?;
        if set == known.checked_add(1)? {
            self.edits.push(EditSet { edits: Edits::default(), place: (begin, 0) });
        } else if set != known {
            return None;
        }
        let last = self.edits.last_mut()?;
        last.place.1 = last.place.1.checked_add(length)?;
        // The lines of a set stand together: they are read again as one piece.
        let together = last.place.0.checked_add(last.place.1)? == begin.checked_add(length)?;
        (together && last.edits.push(edit)).then_some(())
    }

    fn read_form(&mut self, value: &[u8]) -> Option<()> {
        let mut words = value.split(|b| *b == b' ');
        let number_of = number::<usize>(words.next()?)?;
        let (kind, address, edits) = (words.next()?, owned(words.next()?)?, words.next()?);
        let address = || Address::parse(&address).ok();
        let sender = match kind {
            b"own" => Sender::Own,
            b"owner" => Sender::Owner(address()?),
            b"verp" => Sender::Verp(address()?),
            b"alias" => Sender::Alias(address()?),
            _ => return None,
        };
        let edits = if edits == b"-" { 0 } else { number::<u16>(edits)? };
        self.forms.push(Form { sender, edits });
        let fits = words.next().is_none() && usize::from(edits) <= self.edits.len() && number_of == self.forms.len();
        (fits && self.forms.len() <= usize::from(u16::MAX)).then_some(())
    }

    /// The owner of a former version's file, as a form.
    fn renew(&mut self) -> Result<(), &'static str> {
        let Some(owner) = self.error_address.take() else { return Ok(()) };
        if !self.forms.is_empty() {
            return Err("both e and w lines");
        }
        if let Path::Mailbox(owner) = owner {
            self.forms.push(Form { sender: Sender::Owner(owner), edits: 0 });
            self.recipients.iter_mut().for_each(|recipient| recipient.form = 1);
        }
        Ok(())
    }

    fn finish(mut self, count: &[u8]) -> Result<Control, &'static str> {
        if number(count) != Some(self.recipients.len()) {
            return Err("wrong number of recipients");
        }
        self.renew()?;
        let (body_offset, size) = self.place.ok_or("no o line")?;
        let (bodytype, smtputf8) = self.kind.unwrap_or_default();
        Ok(Control {
            id: self.id.ok_or("no i line")?,
            body_offset,
            size,
            arrived: self.arrived.ok_or("no a line")?,
            sender: self.sender.ok_or("no s line")?,
            edits: self.edits,
            forms: self.forms,
            bodytype,
            smtputf8,
            envid: self.envid,
            ret: self.ret,
            terms: Terms {
                priority: self.priority.unwrap_or_default(),
                deliver_by: self.deliver_by,
                hold_until: self.hold_until,
                tls: self.tls.unwrap_or_default(),
            },
            message_id: self.message_id,
            recipients: self.recipients,
        })
    }
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), &'static str> {
    let value = value.ok_or("malformed value")?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("second line of this tag"),
    }
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn owned(word: &[u8]) -> Option<String> {
    unescape(word).map(std::borrow::Cow::into_owned)
}

fn read_pair(value: &[u8]) -> Option<(u64, u64)> {
    let blank = memchr::memchr(b' ', value)?;
    Some((number(value.get(..blank)?)?, number(value.get(blank + 1..)?)?))
}

fn read_kind(value: &[u8]) -> Option<(BodyType, bool)> {
    let text = std::str::from_utf8(value).ok()?;
    let (bodytype, smtputf8) = text.strip_suffix(" SMTPUTF8").map_or((text, false), |bodytype| (bodytype, true));
    Some((BodyType::parse(bodytype)?, smtputf8))
}

fn read_path(word: &[u8]) -> Option<Path> {
    match &*unescape(word)? {
        "<>" => Some(Path::Null),
        text => Address::parse(text).ok().map(Path::Mailbox),
    }
}

/// `rest` begins with the state byte.
fn read_recipient(offset: usize, rest: &[u8]) -> Option<ControlRecipient> {
    let (state, rest) = rest.split_first()?;
    let mut words = rest.strip_prefix(b" ")?.split(|b| *b == b' ').map(owned);
    let mut word = || words.next().flatten();
    let quad = Quad { channel: word()?, host: word()?, user: word()?, attributes: word()? };
    if words.next().is_some() {
        return None;
    }
    Some(ControlRecipient {
        offset: u32::try_from(offset).ok()?,
        state: RecipientState::from_byte(*state)?,
        quad,
        original: None,
        via: None,
        dsn: RecipientDsn::default(),
        form: 0,
    })
}

/// What stands behind an `m`: the number of its set, and the edit.
fn read_edit(value: &[u8]) -> Option<(u16, Edit)> {
    let mut words = value.splitn(4, |b| *b == b' ');
    let set = number(words.next()?)?;
    let (offset, length) = (number(words.next()?)?, number(words.next()?)?);
    Some((set, Edit { offset, length, text: unescape_bytes(words.next()?)? }))
}

/// Reads the lines of one set of header edits again, from their [`EditSet::place`].
pub fn parse_edits(bytes: &[u8]) -> Option<Edits> {
    let mut edits = Edits::default();
    let mut lines = Lines::new(bytes);
    for (_, line) in lines.by_ref() {
        let (_, edit) = read_edit(line.strip_prefix(b"m ")?)?;
        if !edits.push(edit) {
            return None;
        }
    }
    lines.rest().is_empty().then_some(edits)
}

fn read_notary(value: &[u8], recipient: &mut ControlRecipient) -> Option<()> {
    for word in value.split(|b| *b == b' ') {
        let equals = memchr::memchr(b'=', word)?;
        let (name, value) = (word.get(..equals)?, word.get(equals + 1..)?);
        match name {
            b"TO" => recipient.original = Some(owned(value)?),
            b"VIA" => recipient.via = Some(owned(value)?),
            b"ORCPT" => recipient.dsn.orcpt = Some(owned(value)?),
            b"NOTIFY" => recipient.dsn.notify = Some(Notify::parse(std::str::from_utf8(value).ok()?)?),
            _ => return None,
        }
    }
    Some(())
}

fn read_diagnostic(line: &[u8]) -> Option<Diagnostic> {
    let mut words = line.strip_prefix(b"d ")?.splitn(8, |b| *b == b' ');
    let mut word = || words.next();
    Some(Diagnostic {
        recipient: number(word()?)?,
        time: number(word()?)?,
        happened: text(word()?).and_then(Happened::parse)?,
        attempts: number(word()?)?,
        next_attempt: number(word()?)?,
        status: std::str::from_utf8(word()?).ok()?.parse().ok()?,
        remote: owned(word()?)?,
        text: owned_text(word()?)?,
    })
}

/// A lone `%` is an empty word, but in a text it is damage: [`escape_text`](crate::lines::escape_text) writes none.
fn owned_text(text: &[u8]) -> Option<String> {
    if text == b"%" { None } else { owned(text) }
}
