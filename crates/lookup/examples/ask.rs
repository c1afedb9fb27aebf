//! How long a look-up in a declared table takes: `ask CONFIG TABLE PATTERN COUNT LOOKUPS`; keys are PATTERN with `#` replaced by
//! numbers below COUNT. With COMPILE in the environment its source is compiled first. Under `strace -c` it shows what a look-up asks of the system.

use lookup::Relations;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, table, pattern, count, lookups] = arguments.as_slice() else {
        return eprintln!("ask CONFIG TABLE PATTERN COUNT LOOKUPS");
    };
    let (Ok(text), Ok(count), Ok(lookups)) = (std::fs::read_to_string(config), count.parse::<u64>(), lookups.parse::<u32>()) else {
        return eprintln!("cannot read {config}, or no numbers");
    };
    let Ok(settings) = settings::parse(&text, config) else { return eprintln!("{config} is faulty") };
    for table in settings.tables.iter().filter(|declared| declared.name == *table && std::env::var_os("COMPILE").is_some()) {
        let begin = Instant::now();
        match lookup::compile::compile(table) {
            Ok(Some(draft)) => {
                let keys = draft.keys;
                println!("{keys} keys compiled in {:?}, {:?}", begin.elapsed(), draft.publish());
            }
            other => return eprintln!("{other:?}"),
        }
    }
    let begin = Instant::now();
    let mut relations = Relations::new(&Arc::new(settings), Vec::new());
    let _ = relations.find(Instant::now(), table, "first");
    println!("opened in {:?}", begin.elapsed());
    let (mut number, mut found) = (1_u64, 0_u32);
    let begin = Instant::now();
    for _ in 0..lookups {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = pattern.replace('#', &((number >> 20) % count.max(1)).to_string());
        match relations.find(begin, table, &key) {
            Ok(answer) => found += u32::from(answer.is_some()),
            Err(error) => return eprintln!("{error}"),
        }
    }
    println!("{found} of {lookups} found, {:?} each", begin.elapsed() / lookups.max(1));
}
