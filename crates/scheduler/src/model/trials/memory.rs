use super::*;

/// What the process uses now, as the kernel counts it.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_waiting_recipient_takes_under_600_bytes() {
    let mut bench = Bench::new();
    let count = 200_000;
    let before = resident();
    for n in 0..count {
        bench.mail(&format!("destination-{}.example", n % 1000), 1);
    }
    let each = (resident() - before) / count;
    println!("{each} bytes a message of one recipient");
    assert!(each < 600, "{each}");
}
