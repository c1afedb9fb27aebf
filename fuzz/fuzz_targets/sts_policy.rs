//! Any bytes as an MTA-STS policy: what is read is bounded and kept as it reads.
#![no_main]

#[path = "../../crates/tlspolicy/src/policy.rs"]
mod policy;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = [b"version: STSv1\nmode: enforce\nmax_age: 1\n", bytes].concat();
    for bytes in [bytes, &whole] {
        let Ok(first) = policy::parse(bytes, "1") else { continue };
        for host in &first.hosts {
            assert!(host.len() <= 255 && !host.chars().any(|c| c.is_control() || c.is_whitespace()));
        }
        assert_eq!(policy::parse(policy::lines(&first).join("\n").as_bytes(), "1").as_ref(), Ok(&first));
    }
});
