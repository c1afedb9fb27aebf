//! Decisions alone, without conversations and files, for counts of instructions:
//! `perf stat -e instructions:u cargo test --release -p router --lib measure_decisions -- --ignored --nocapture`.

use super::tests::{fake, rules};
use crate::decision::{Want, route};
use address::{Address, Path};
use std::time::Instant;

const COUNT: u32 = 1_000_000;

/// The usual configuration, and one in which every step has something to look at.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn measure_decisions() {
    let every = "[virtual]\nalias_domains = [\"v.example\"]\naliases = [\"valias\"]\n[routing]\nfqdn_aliases = [\"fqdn\"]\ncanonical = [\"canon\"]\n\
                 routes = [\"ways\"]\nlocal_domains = [\"locals\"]\nsender_smart_hosts = [\"smart\"]\n";
    let sender = Path::Mailbox(Address::parse("s@ours.example").unwrap());
    for (what, more) in [("usual", ""), ("every step", every)] {
        let (rules, mut tables) = (rules(more), fake(&[]));
        for text in ["joe@local.example", "user@remote.example"] {
            let address = Address::parse(text).unwrap();
            let start = Instant::now();
            for _ in 0..COUNT {
                let routing = route(&address, &sender, Want::Recipients, &rules, &mut tables);
                assert!(std::hint::black_box(routing).outcomes.len() == 1);
                tables.asked.clear();
            }
            println!("{what}, {text}: {} ns", start.elapsed().as_nanos() / u128::from(COUNT));
        }
    }
}
