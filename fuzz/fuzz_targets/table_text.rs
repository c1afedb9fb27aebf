//! Any text as a table of keys and values: one value a key, without control characters; aliases as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookup::{Pairs, parse_aliases, parse_values, read_pairs};

fuzz_target!(|text: &str| {
    if let Ok(pairs) = Pairs::read(text, true) {
        for pair in read_pairs(text.as_bytes()) {
            let (line, key, value) = pair.expect("the whole text was read");
            assert!(line <= text.lines().count());
            assert!(!key.is_empty() && !key.chars().chain(value.chars()).any(char::is_control));
            assert!(pairs.find(&lookup::folded(&key)).is_some());
        }
    }
    let (aliases, _) = parse_aliases(text);
    for value in aliases.iter().filter_map(|alias| alias.values.as_ref().ok()).flatten() {
        let read = parse_values(&value.to_string());
        assert!(matches!(value, lookup::Value::Address(_)) || read.as_deref() == Ok(std::slice::from_ref(value)));
    }
});
