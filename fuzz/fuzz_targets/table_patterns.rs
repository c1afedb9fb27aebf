//! Any text as a table of patterns, and any key in it. The key is the last line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookup::Patterns;

fuzz_target!(|text: &str| {
    let (text, key) = text.rsplit_once('\n').unwrap_or((text, ""));
    match Patterns::read(text, true) {
        Ok(patterns) => {
            if let Some(found) = patterns.find(key) {
                assert!(found.parts.len() <= 9 && found.parts.iter().all(|part| key.contains(part.as_str())));
                assert!(!found.value.chars().any(char::is_control));
            }
        }
        Err(fault) => assert!(!fault.reason.is_empty() && fault.line <= text.lines().count()),
    }
});
