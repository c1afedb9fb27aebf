//! The session against its model: the committed corpus, and mutations of it for a while (30 seconds; ten minutes with
//! `ZPOST_TEST_LONG`). The fuzzer proper is fuzz/fuzz_targets/session.rs: what it finds goes into fuzz/corpus/session.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod model;
mod mutation;

use mutation::Mutator;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/session");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One input; says it when it fails.
fn check(input: &[u8], from: &str) {
    if let Err(fault) = catch_unwind(AssertUnwindSafe(|| model::check(input))) {
        eprintln!("{from}: this input breaks the model: b\"{}\"", input.escape_ascii());
        resume_unwind(fault);
    }
}

#[test]
fn the_corpus_keeps_to_the_model() {
    let corpus = corpus();
    assert!((20..300).contains(&corpus.len()), "{} inputs", corpus.len());
    for input in &corpus {
        check(input, "corpus");
        // Cut short anywhere.
        for end in 0..input.len() {
            check(&input[..end], "corpus, cut short");
        }
    }
}

/// The first thousands are the same every time, so that a fault made now is seen by everybody; then others.
#[test]
fn mutations_keep_to_the_model() {
    let long = std::env::var_os("ZPOST_TEST_LONG").is_some();
    let limit = Duration::from_secs(if long { 600 } else { 30 });
    let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() & 0xffff_ffff_ffff).unwrap();
    let (start, corpus) = (Instant::now(), corpus());
    let (mut fixed, mut fresh) = (Mutator::new(20_261, &corpus), Mutator::new(seed, &corpus));
    let mut count = 0_u64;
    while start.elapsed() < limit {
        let (mutator, from) = if count < 20_000 { (&mut fixed, "fixed seed".to_owned()) } else { (&mut fresh, format!("seed {seed}")) };
        for _ in 0..100 {
            check(&mutator.next(), &from);
        }
        count += 100;
    }
    eprintln!("{count} inputs, seed {seed}");
    assert!(count > 0);
}
