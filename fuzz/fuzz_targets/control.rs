//! Any bytes as a control file; and behind a good fixed part, as its diagnostics.
#![no_main]

use address::Path;
use envelope::{BodyType, Control, Edit, EditSet, Edits, Form, IdSource, Sender, parse_control, parse_edits, write_control};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_control(bytes);
    let mut edits = Edits::default();
    let set = edits.push(Edit { offset: 0, length: 3, text: bytes.to_vec() });
    let set = u16::from(set);
    let mut control = Control {
        id: IdSource::new(1).next(1),
        body_offset: 1,
        size: 2,
        arrived: 3,
        sender: Path::Null,
        edits: if set == 1 { vec![EditSet { edits, place: (0, 0) }] } else { Vec::new() },
        forms: vec![Form { sender: Sender::Own, edits: set }],
        bodytype: BodyType::SevenBit,
        smtputf8: false,
        envid: Some(String::from_utf8_lossy(bytes).into_owned()),
        ret: None,
        terms: Default::default(),
        message_id: None,
        recipients: Vec::new(),
    };
    let mut file = Vec::new();
    write_control(&control, &mut file);
    file.extend_from_slice(bytes);
    let _ = parse_edits(bytes);
    if let Ok(read) = parse_control(&file) {
        control.edits.iter_mut().zip(&read.control.edits).for_each(|(set, read)| set.place = read.place);
    }
    assert_eq!(parse_control(&file).expect("a good fixed part is read").control, control);
});
