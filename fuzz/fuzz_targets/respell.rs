//! Other spellings in a header: taken back, they leave every byte as it was; and no field begins or ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{fields, respell};
use std::convert::Infallible;

fuzz_target!(|bytes: &[u8]| {
    let mut spell = |address: &str| Ok::<_, Infallible>(Some(format!("{address}.example")));
    let Ok(changes) = respell(bytes, &mut spell);
    let mut changed = bytes.to_vec();
    for (range, text) in changes.iter().rev() {
        assert_eq!(changed.splice(range.clone(), text.iter().copied()).collect::<Vec<u8>>().len(), range.len());
    }
    assert_eq!(fields(bytes).count(), fields(&changed).count());
    let mut shift = 0;
    for (range, text) in &changes {
        let at = range.start + shift;
        let old = changed.get(at..at + range.len()).expect("what was there is how the new begins");
        assert_eq!(Some(old), bytes.get(range.clone()));
        shift += text.len() - range.len();
    }
});
