//! Paths of MAIL and RCPT: an accepted one is printable and reads back as itself.
#![no_main]

use address::{Path, normalise, parse_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for utf8 in [false, true] {
        let Ok((Path::Mailbox(address), _)) = parse_path(bytes, utf8) else { continue };
        assert!(!address.as_str().chars().any(char::is_control));
        assert!(utf8 || address.is_ascii());
        if let Some(domain) = address.domain() {
            normalise(domain).expect("an address has a domain with a normal form");
        }
        let written = format!("<{address}>");
        assert_eq!(parse_path(written.as_bytes(), utf8).map(|(path, _)| path), Ok(Path::Mailbox(address)));
    }
});
