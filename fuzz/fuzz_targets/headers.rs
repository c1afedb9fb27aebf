//! Headers: the scanner in pieces, the scanner at once and the field iterator see the same end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{HeaderScanner, Progress, fields, scan};

fuzz_target!(|bytes: &[u8]| {
    let whole = scan(bytes, usize::MAX).expect("no limit, so it ends");
    let mut all = fields(bytes);
    assert_eq!(all.by_ref().map(|field| field.text().len()).count(), whole.fields);
    assert_eq!(all.offset(), whole.end.header);
    let mut scanner = HeaderScanner::new(usize::MAX);
    let middle = bytes.get(..bytes.len() / 2).unwrap_or_default();
    let end = match scanner.feed(middle, false) {
        Progress::More => scanner.feed(bytes, true),
        complete => complete,
    };
    assert_eq!(end, Progress::Complete(whole.end));
});
