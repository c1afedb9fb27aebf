//! Any bytes as a `.forward`: entries are few, and each is harmless where it goes.
#![no_main]

#[path = "../../crates/mailbox/src/forward.rs"]
mod forward;

use forward::{Entry, MAX_ENTRIES};
use libfuzzer_sys::fuzz_target;
use std::path::Component;

fuzz_target!(|bytes: &[u8]| {
    let Ok(entries) = forward::parse(bytes, "joe") else { return };
    assert!(entries.len() <= MAX_ENTRIES);
    for entry in entries {
        match entry {
            Entry::Own => {}
            Entry::Address(address) => assert!(!address.chars().any(char::is_control)),
            Entry::File(path) => {
                assert!(path.is_absolute());
                assert!(path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_))));
            }
            Entry::Program(words) => {
                assert!(words.first().is_some_and(|program| program.starts_with('/')));
                assert!(words.iter().all(|word| !word.contains('\0')));
            }
        }
    }
});
