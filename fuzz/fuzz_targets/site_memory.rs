//! Any text as the memory of sites: what is read is written as it reads.
#![no_main]

#[path = "../../crates/scheduler/src/model/known.rs"]
mod known;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let behind_head = format!("{}{text}", known::HEAD);
    for text in [text, &behind_head] {
        let first = known::read_text(text, 0..=u64::MAX);
        assert!(first.len() <= known::MOST);
        let mut written = known::HEAD.to_owned();
        first.iter().for_each(|((channel, name), site)| {
            assert!(name.len() <= known::NAME + 1);
            site.line(channel, name, &mut written);
        });
        assert_eq!(known::read_text(&written, 0..=u64::MAX), first);
    }
});
