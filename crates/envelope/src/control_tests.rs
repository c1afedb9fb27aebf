use super::*;
use crate::message::tests::{address, dsn, terms};
use crate::{Edit, Edits, IdSource, diagnostic_line, parse_control, parse_edits, write_control};
use proptest::prelude::*;

fn word() -> impl Strategy<Value = String> {
    "[a-z-]{1,8}|[ -~üé\n\u{85}]{0,12}|\\[10\\.0\\.0\\.1\\]:2526|\"a b\"@c"
}

fn recipient() -> impl Strategy<Value = ControlRecipient> {
    use RecipientState::{Delivered, Failed, Failing, Held, Queued, Telling};
    let states = [Queued, Held, Failing, Telling, Delivered, Failed];
    let quad = (word(), word(), word(), word()).prop_map(|(channel, host, user, attributes)| Quad { channel, host, user, attributes });
    (proptest::sample::select(states.to_vec()), quad, proptest::option::of(word()), proptest::option::of(word()), dsn(), 0u16..4)
        .prop_map(|(state, quad, original, via, dsn, form)| ControlRecipient { offset: 0, state, quad, original, via, dsn, form })
}

fn edits() -> impl Strategy<Value = EditSet> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..20);
    proptest::collection::vec((0u32..5, 0u32..50, bytes), 1..4).prop_map(|wishes| {
        let mut set = EditSet::default();
        for (gap, length, text) in wishes {
            let offset = u32::try_from(set.edits.end()).unwrap() + gap;
            assert!(set.edits.push(Edit { offset, length, text }));
        }
        set
    })
}

fn forms() -> impl Strategy<Value = Vec<(u8, address::Address, u16)>> {
    proptest::collection::vec((0u8..4, address(), 0u16..4), 0..4)
}

/// Forms and recipients refer to what is there.
fn consistent(control: &mut Control, forms: Vec<(u8, address::Address, u16)>) {
    let sets = u16::try_from(control.edits.len()).unwrap();
    for (kind, address, edits) in forms {
        let sender = match kind {
            0 => Sender::Own,
            1 => Sender::Owner(address),
            2 => Sender::Verp(address),
            _ => Sender::Alias(address),
        };
        control.forms.push(Form { sender, edits: edits.min(sets) });
    }
    let most = u16::try_from(control.forms.len()).unwrap();
    control.recipients.iter_mut().for_each(|recipient| recipient.form = recipient.form.min(most));
}

prop_compose! {
    fn control()(
        time in 1u64..1 << 55,
        numbers: (u64, u64, u64),
        flags: (bool, bool),
        sender in proptest::option::of(address()),
        edits in proptest::collection::vec(edits(), 0..3),
        forms in forms(),
        texts in (proptest::option::of(word()), proptest::option::of(word())),
        ret in proptest::option::of(proptest::sample::select(vec![Ret::Full, Ret::Headers])),
        recipients in proptest::collection::vec(recipient(), 0..5),
        terms in terms(),
    ) -> Control {
        let path = |a: Option<address::Address>| a.map_or(Path::Null, Path::Mailbox);
        let mut control = Control {
            id: IdSource::new(9).next(time), body_offset: numbers.0, size: numbers.1, arrived: numbers.2,
            sender: path(sender), edits, forms: Vec::new(),
            bodytype: if flags.0 { BodyType::EightBit } else { BodyType::SevenBit }, smtputf8: flags.1,
            envid: texts.0, message_id: texts.1, ret, terms, recipients,
        };
        consistent(&mut control, forms);
        control
    }
}

prop_compose! {
    fn diagnostic()(numbers: (u64, u32, u64), remote in word(), text in "[ -~ü\n]{0,40}",
        happened in proptest::sample::select(Happened::ALL.to_vec())) -> Diagnostic {
        Diagnostic { recipient: 0, time: numbers.0, happened, attempts: numbers.1, next_attempt: numbers.2, status: Enhanced::transient(4, 1), remote, text }
    }
}

fn written(control: &Control) -> Vec<u8> {
    let mut out = Vec::new();
    write_control(control, &mut out);
    out
}

/// Reads what was written, with the offsets the reader found.
fn read_back(control: &Control, out: &[u8]) -> Control {
    let parsed = parse_control(out).unwrap();
    let mut expected = control.clone();
    for (recipient, read) in expected.recipients.iter_mut().zip(&parsed.control.recipients) {
        recipient.offset = read.offset;
        assert_eq!(out[read.offset as usize..read.offset as usize + 2], [b'r', read.state.byte()]);
    }
    for (set, read) in expected.edits.iter_mut().zip(&parsed.control.edits) {
        set.place = read.place;
        let lines = &out[read.place.0 as usize..(read.place.0 + read.place.1) as usize];
        assert_eq!(parse_edits(lines).unwrap(), set.edits);
    }
    assert_eq!(parsed.control, expected);
    expected
}

fn example() -> Control {
    let quad = Quad { channel: "smtp".into(), host: "sink.example".into(), user: "user@sink.example".into(), attributes: "-".into() };
    let one = ControlRecipient {
        offset: 0,
        state: RecipientState::Queued,
        quad,
        original: None,
        via: None,
        dsn: RecipientDsn::default(),
        form: 0,
    };
    Control {
        id: IdSource::new(1).next(1_700_000_000_000_000),
        body_offset: 150,
        size: 4096,
        arrived: 1_700_000_000_000,
        sender: Path::Mailbox(address::Address::parse("s@example.org").unwrap()),
        edits: Vec::new(),
        forms: Vec::new(),
        bodytype: BodyType::SevenBit,
        smtputf8: false,
        envid: None,
        ret: None,
        terms: crate::Terms::default(),
        message_id: Some("<m@example.org>".into()),
        recipients: vec![one.clone(), one],
    }
}

/// Control files outlive an upgrade: this text must stay readable and be written byte for byte.
#[test]
fn the_format_stays() {
    let text = String::from_utf8(written(&example())).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    assert_eq!(head, "@ 1 8ef31e3ec66af355");
    assert_eq!(
        rest,
        "i 1ga4gc1wg0000001\no 150 4096\na 1700000000000\nl <m@example.org>\ns s@example.org\n\
         r  smtp sink.example user@sink.example -\nr  smtp sink.example user@sink.example -\nz 2\n"
    );
}

/// Everything but the plain case: forms of the message, and what of the header is different in them.
fn with_forms() -> Control {
    let mut control = example();
    let owner = address::Address::parse("l-owner@example.org").unwrap();
    let mut edits = Edits::default();
    assert!(edits.push(Edit { offset: 0, length: 0, text: b"List-Id: <l.example.org>\n".to_vec() }));
    assert!(edits.push(Edit { offset: 40, length: 12, text: Vec::new() }));
    control.edits.push(EditSet { edits, place: (0, 0) });
    control.forms = vec![Form { sender: Sender::Verp(owner.clone()), edits: 1 }, Form { sender: Sender::Alias(owner), edits: 0 }];
    control.recipients[1].form = 1;
    control
}

#[test]
fn forms_stay_readable() {
    let text = String::from_utf8(written(&with_forms())).unwrap();
    assert_eq!(
        text.split_once("\ns ").unwrap().1,
        "s@example.org\nm 1 0 0 List-Id: <l.example.org>%0A\nm 1 40 12 \nw 1 verp l-owner@example.org 1\nw 2 alias l-owner@example.org -\n\
         r  smtp sink.example user@sink.example -\ng 1\nr  smtp sink.example user@sink.example -\nz 2\n"
    );
}

fn resummed(text: &str) -> Vec<u8> {
    let mut sum = crate::checksum::Checksum::new();
    text.split_inclusive('\n').take_while(|line| !line.starts_with("d ")).for_each(|line| {
        crate::control_write::sum_line(&mut sum, line.trim_end_matches('\n').as_bytes());
    });
    format!("@ 1 {:016x}\n{text}", sum.value()).into_bytes()
}

/// A queue that was written before an upgrade.
#[test]
fn the_owner_of_a_former_version_is_a_form() {
    let text = String::from_utf8(written(&example())).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    let read = parse_control(&resummed(&rest.replace("\ns ", "\ne o@example.org\ns "))).unwrap().control;
    assert_eq!(read.forms, [Form { sender: Sender::Owner(address::Address::parse("o@example.org").unwrap()), edits: 0 }]);
    assert!(read.recipients.iter().all(|recipient| recipient.form == 1));
    let read = parse_control(&resummed(&rest.replace("\ns ", "\ne <>\ns "))).unwrap().control;
    assert!(read.forms.is_empty() && read.recipients.iter().all(|recipient| recipient.form == 0));
}

#[test]
fn forms_and_edits_that_are_not_there_are_errors() {
    let text = String::from_utf8(written(&with_forms())).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    assert!(parse_control(&resummed(rest)).is_ok());
    for (from, to) in [
        ("g 1", "g 3"),
        ("verp l-owner@example.org 1", "verp l-owner@example.org 2"),
        ("verp l-owner@example.org 1", "verp a@ 1"),
        ("w 1 verp", "w 2 verp"),
        ("m 1 40", "m 2 40"),
        ("m 1 40", "m 3 40"),
        ("m 1 0 0", "m 1 100 0"),
        ("m 1 0 0 L", "m 1 0 0 %G"),
        ("w 2 alias", "w 2 other"),
    ] {
        assert!(rest.contains(from));
        let bad = rest.replacen(from, to, 1);
        // Two sets of one line each are good, and so is a form without address that needs none.
        assert_eq!(parse_control(&resummed(&bad)).is_ok(), to == "m 2 40", "{to}");
    }
}

#[test]
fn a_state_changes_in_place() {
    let mut out = written(&example());
    let offset = parse_control(&out).unwrap().control.recipients[1].offset as usize;
    out[offset + 1] = RecipientState::Delivered.byte();
    let read = parse_control(&out).unwrap().control;
    assert_eq!((read.recipients[0].state, read.recipients[1].state), (RecipientState::Queued, RecipientState::Delivered));
    out[offset + 1] = b'x';
    assert!(parse_control(&out).is_err());
}

#[test]
fn any_other_change_of_the_fixed_part_is_an_error() {
    let good = written(&example());
    let states: Vec<usize> = parse_control(&good).unwrap().control.recipients.iter().map(|r| r.offset as usize + 1).collect();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let blank = states.contains(&at);
        assert!(parse_control(&bad).is_err() || blank, "byte {at}");
    }
    let mut swapped = good.clone();
    swapped.retain(|b| *b != b'\n');
    assert!(parse_control(&swapped).is_err());
    assert!(parse_control(&vec![0; good.len()]).is_err());
}

#[test]
fn damaged_diagnostics_are_left_out_and_good_ones_stay() {
    let mut out = written(&example());
    let offset = parse_control(&out).unwrap().control.recipients[1].offset;
    let good = Diagnostic {
        recipient: offset,
        time: 5,
        happened: Happened::Deferred,
        attempts: 1,
        next_attempt: 9,
        status: Enhanced::transient(4, 1),
        remote: "-".into(),
        text: "connection refused".into(),
    };
    diagnostic_line(&good, &mut out);
    out.extend_from_slice(b"d 7 1 deferred 1 1 4.4.1 - no such recipient\nd x\n\0\0\0\nd 99999999999 1 deferred 1 1 4.4.1 - x\n");
    diagnostic_line(&good, &mut out);
    diagnostic_line(&good, &mut out);
    out.pop();
    assert_eq!(parse_control(&out).unwrap().diagnostics, [good.clone(), good]);
}

#[test]
fn long_answers_are_cut() {
    let mut out = Vec::new();
    let text = "ü".repeat(400);
    let long = Diagnostic {
        recipient: 0,
        time: 0,
        happened: Happened::Failed,
        attempts: 0,
        next_attempt: 0,
        status: Enhanced::permanent(0, 0),
        remote: text.clone(),
        text,
    };
    diagnostic_line(&long, &mut out);
    assert!(out.len() < 1100);
}

proptest! {
    #[test]
    fn round_trip_and_truncation(control in control(), mut notes in proptest::collection::vec(diagnostic(), 0..3)) {
        let mut out = written(&control);
        let expected = read_back(&control, &out);
        let fixed = out.len();
        for end in 0..fixed {
            prop_assert!(parse_control(&out[..end]).is_err());
        }
        for note in &mut notes {
            note.recipient = expected.recipients.first().map_or(0, |r| r.offset);
            diagnostic_line(note, &mut out);
        }
        if expected.recipients.is_empty() {
            notes.clear();
        }
        for end in fixed..=out.len() {
            let parsed = parse_control(&out[..end]).unwrap();
            prop_assert_eq!(&parsed.control, &expected);
            prop_assert!(notes.starts_with(&parsed.diagnostics));
        }
        prop_assert_eq!(parse_control(&out).unwrap().diagnostics, notes);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_control(&bytes);
    }

    #[test]
    fn any_lines(text in "@ 1 0{16}\n([ioatlesnRrNzdmwg] [ -~]{0,20}\n){0,6}") {
        let _ = parse_control(text.as_bytes());
    }
}

#[test]
fn the_example_of_the_page_is_a_control_file() {
    let page = include_str!("../../../man/zpost-format.5");
    let start = page.find("@ 1 ").unwrap();
    let example = page[start..].split(".Ed").next().unwrap();
    let parsed = parse_control(example.as_bytes()).unwrap();
    assert_eq!(parsed.control.recipients.len(), 1);
    assert_eq!(parsed.diagnostics.len(), 1, "the offset in the line d is that of the line r");
}
