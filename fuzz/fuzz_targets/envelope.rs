//! What the envelope parser takes, its writer repeats.
#![no_main]

use envelope::{parse_envelope, write_envelope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok((first, end)) = parse_envelope(bytes) else { return };
    assert!(end <= bytes.len());
    let mut written = Vec::new();
    write_envelope(&first, &mut written);
    let (second, end) = parse_envelope(&written).expect("what was written is read");
    assert_eq!(end, written.len());
    assert_eq!(first, second);
});
