//! Any content for a server that takes seven bits: however it is cut it becomes the same, and then needs nothing more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{Converter, Plan, Surveyor};

fn plan(content: &[u8], octets: bool, cut: usize) -> Plan {
    let mut surveyor = Surveyor::new(octets);
    content.chunks(cut).for_each(|piece| surveyor.feed(piece));
    surveyor.finish()
}

fn convert(content: &[u8], octets: bool, cut: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut converter = Converter::new(plan(content, octets, cut), octets);
    content.chunks(cut).for_each(|piece| converter.feed(piece, &mut out));
    converter.finish(&mut out);
    out
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, content)) = bytes.split_first() else { return };
    let (octets, cut) = (choice & 1 == 1, usize::from(choice >> 1) + 1);
    let first = plan(content, octets, cut);
    assert_eq!(first, plan(content, octets, content.len().max(1)));
    if !first.needed || first.obstacle.is_some() {
        return;
    }
    let out = convert(content, octets, cut);
    assert_eq!(out, convert(content, octets, content.len().max(1)));
    if !first.eight_bit_header {
        assert!(out.is_ascii());
        assert!(!plan(&out, false, cut).needed);
    }
});
