//! Any text as a table of networks, and any key in it. The key is the last line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookup::{Networks, read_pairs};
use settings::Network;

fuzz_target!(|text: &str| {
    let (text, key) = text.rsplit_once('\n').unwrap_or((text, ""));
    let Ok(table) = Networks::read(text) else { return };
    let Ok(address) = key.parse() else { return };
    let networks = read_pairs(text.as_bytes()).filter_map(|pair| pair.ok()?.1.parse::<Network>().ok());
    let best = networks.filter(|network| network.contains(address)).map(|network| network.prefix).max();
    assert_eq!(table.find(key).is_some(), best.is_some());
});
