//! Any bytes as a server's set-up, a client's dialogue in pieces and a driver's answers, against the model of the session.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/smtp/tests/model/mod.rs"]
mod model;

fuzz_target!(|bytes: &[u8]| model::check(bytes));
