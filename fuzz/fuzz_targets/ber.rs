//! Any bytes as elements of LDAP: the pieces are the bytes; what is written again reads the same.
#![no_main]

use ber::{Content, Extent, INTEGER, OCTETS, element, extent, number};
use libfuzzer_sys::fuzz_target;

/// Elements in elements.
fn walk(mut content: Content<'_>, depth: usize) {
    while let Ok(Some((tag, inner))) = content.take() {
        let again = element(tag, inner.0);
        let mut read = Content(&again);
        assert_eq!(read.take(), Ok(Some((tag, inner))));
        assert!(read.0.is_empty());
        if depth < 64 {
            walk(inner, depth + 1);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    walk(Content(bytes), 0);
    // However the beginning is cut, the answer is the same once there is one.
    let mut known = None;
    for cut in 0..=bytes.len().min(8) {
        match extent(&bytes[..cut]) {
            Ok(Extent::Unknown { missing }) => assert!(missing > 0 && known.is_none()),
            other => assert_eq!(*known.get_or_insert(other), other),
        }
    }
    if let Ok(value) = Content(bytes).number(INTEGER) {
        let again = number(OCTETS, value);
        assert_eq!(Content(&again).number(OCTETS), Ok(value));
    }
});
