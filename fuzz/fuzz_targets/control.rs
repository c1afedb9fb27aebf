//! Any bytes as a control file; and behind a good fixed part, as its diagnostics.
#![no_main]

use address::Path;
use envelope::{BodyType, Control, IdSource, parse_control, write_control};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_control(bytes);
    let control = Control {
        id: IdSource::new(1).next(1),
        body_offset: 1,
        size: 2,
        arrived: 3,
        sender: Path::Null,
        error_address: None,
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
    assert_eq!(parse_control(&file).expect("a good fixed part is read").control, control);
});
