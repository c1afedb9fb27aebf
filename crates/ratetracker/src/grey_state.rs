//! Triplets and clients as a file, and back. Lines as in `lines`; moments in seconds of the tracker's time:
//!
//! ```text
//! zpost-grey 1 TIME WALL                              milliseconds, Unix seconds
//! w NETWORK SENDER RECIPIENT FIRST LAST               a triplet that waits
//! p NETWORK SENDER RECIPIENT FIRST LAST               one that has passed
//! c ADDRESS PASSES COUNTED LAST                       a client network
//! f ADDRESS LAST                                      a client that has passed the tests of first contact
//! ```

use crate::grey::{Client, Memory, Seen};
use crate::keys::Key;
use crate::state::Loaded;
use statefile::Stamp;
use statefile::lines;
use std::cell::Cell;
use std::time::Duration;

pub fn write(memory: &Memory, stamp: Stamp) -> Vec<u8> {
    let mut out = Vec::new();
    lines::write(&mut out, format_args!("zpost-grey 1 {} {}", stamp.time.as_millis(), stamp.wall));
    for (word, triplets) in [("p", &memory.passed), ("w", &memory.waiting)] {
        for (triplet, seen) in triplets.iter() {
            lines::write(&mut out, format_args!("{word} {triplet} {} {}", seen.first, seen.last));
        }
    }
    for (address, client) in memory.clients.iter() {
        lines::write(&mut out, format_args!("c {address} {} {} {}", client.passes, client.counted, client.last));
    }
    for (key, last) in memory.met.iter() {
        lines::write(&mut out, format_args!("f {key} {last}"));
    }
    out
}

/// Puts what a file says into an empty memory. Anything may be in the file.
pub fn read(bytes: &[u8], memory: &mut Memory) -> Loaded {
    let mut loaded = Loaded::default();
    let damaged = Cell::new(0);
    let mut lines = lines::read(bytes, &damaged);
    loaded.stamp = lines.next().and_then(head);
    if let Some(stamp) = loaded.stamp {
        // Nothing is younger than its file.
        let newest = stamp.time.as_secs();
        loaded.entries = lines.filter(|line| take(line, memory, newest).is_some()).count();
    }
    loaded.damaged = damaged.get();
    loaded
}

fn head(line: &str) -> Option<Stamp> {
    let (time, wall) = line.strip_prefix("zpost-grey 1 ")?.split_once(' ')?;
    Some(Stamp { time: Duration::from_millis(time.parse().ok()?), wall: wall.parse().ok()? })
}

fn take(line: &str, memory: &mut Memory, newest: u64) -> Option<()> {
    let moment = |word: &str| word.parse::<u64>().ok().map(|moment| moment.min(newest));
    let (what, rest) = line.split_once(' ')?;
    let words: Vec<&str> = rest.split(' ').collect();
    match (what, words.as_slice()) {
        ("w" | "p", [network, sender, recipient, first, last]) => {
            let triplet = format!("{network} {sender} {recipient}").into();
            let seen = Seen { first: moment(first)?, last: moment(last)? };
            match what {
                "w" => memory.put_waiting(triplet, seen),
                _ => drop(memory.passed.insert(triplet, seen)),
            }
        }
        ("c", [address, passes, counted, last]) => {
            let client = Client { passes: passes.parse().ok()?, counted: moment(counted)?, last: moment(last)? };
            memory.clients.insert(address.parse().ok()?, client);
        }
        ("f", [address, last]) => drop(memory.met.insert(Key::parse("address", address)?, moment(last)?)),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::grey::Grey;
    use ipc::rates::Triplet;
    use proptest::prelude::*;
    use settings::Greylist;

    fn memory() -> Memory {
        let day = Duration::from_secs(86_400);
        let greylist = Greylist { delay: Duration::from_secs(300), retry_window: day * 2, lifetime: day * 35, auto_allow: 2, entries: 100 };
        Memory::new(&greylist, day * 30, 100)
    }

    fn triplet(n: u8, sender: &str) -> Triplet {
        Triplet { address: format!("192.0.{n}.1").parse().unwrap(), sender: sender.to_owned(), recipient: "\"a b\"@y.example".to_owned() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut before = memory();
        before.judge(&triplet(1, "a@x.example"), at(1000));
        before.judge(&triplet(2, ""), at(1000));
        assert_eq!(before.judge(&triplet(1, "a@x.example"), at(1300)), Grey::Known);
        before.meet("2001:db8::7".parse().unwrap(), at(1300));
        let stamp = Stamp { time: at(1400), wall: 99 };
        let bytes = write(&before, stamp);
        let mut after = memory();
        assert_eq!(read(&bytes, &mut after), Loaded { stamp: Some(stamp), entries: 4, damaged: 0 });
        assert_eq!(after.judge(&triplet(1, "a@x.example"), at(1400)), Grey::Known);
        assert_eq!(after.judge(&triplet(2, ""), at(1250)), Grey::Wait(at(50)));
        assert_eq!(after.judge(&triplet(2, ""), at(1300)), Grey::Known);
        assert!(after.visit("2001:db8::8".parse().unwrap(), at(1400)));
        assert_eq!(after.clients.len(), 2);
        for cut in 0..bytes.len() {
            let mut part = memory();
            let loaded = read(bytes.get(..cut).unwrap(), &mut part);
            assert!(loaded.damaged <= 1 && loaded.entries <= 4);
        }
    }

    proptest! {
        #[test]
        fn any_whole_lines_are_read(texts in proptest::collection::vec("[wpcf]( [a-z0-9:%@./-]{0,12}){0,6}", 0..300), raw: Vec<u8>) {
            let mut bytes = Vec::new();
            lines::write(&mut bytes, format_args!("zpost-grey 1 1000000 5"));
            texts.iter().for_each(|text| lines::write(&mut bytes, format_args!("{text}")));
            bytes.extend(raw);
            let mut memory = memory();
            read(&bytes, &mut memory);
            prop_assert!(memory.waiting.len() + memory.passed.len() <= 175);
        }
    }
}
