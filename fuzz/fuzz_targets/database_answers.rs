//! Any bytes as what PostgreSQL, MySQL and LDAP servers say: an answer or a refusal, and never more than an answer may hold.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/mysqltable/src/login.rs"]
mod login;
#[path = "../../crates/postgrestable/src/message.rs"]
mod message;
#[path = "../../crates/mysqltable/src/packet.rs"]
mod packet;
#[path = "../../crates/ldaptable/src/protocol.rs"]
mod protocol;
#[path = "../../crates/mysqltable/src/statement.rs"]
mod statement;

use libfuzzer_sys::fuzz_target;
use tablelink::{Trouble, Values};

/// What can stand in a line of a log or of a table.
fn checked(values: Values) {
    let values = values.answer().unwrap_or_default();
    assert!(values.iter().map(String::len).sum::<usize>() <= 64 * 1024);
    assert!(values.iter().all(|value| !value.chars().any(char::is_control)));
}

fn told(text: &str) {
    assert!(text.chars().count() <= 200 && !text.chars().any(char::is_control));
}

fn postgresql(bytes: &[u8]) {
    let mut values = Values::default();
    if message::row(bytes, &mut values).is_ok() {
        checked(values);
    }
    let _ = (message::demand(bytes), message::counted(bytes));
    let complaint = message::complaint(bytes);
    told(&complaint.text);
    let _ = message::class(&complaint.code);
}

fn mysql(bytes: &[u8]) {
    let (definition, row) = bytes.split_at(bytes.len() / 2);
    if let Ok(column) = statement::Column::parse(definition) {
        for columns in [1, 7, 200] {
            let mut values = Values::default();
            let pushed: Result<(), Trouble> =
                statement::first(row, column, columns).and_then(|value| value.map_or(Ok(()), |value| values.push(&value)));
            if pushed.is_ok() {
                checked(values);
            }
        }
    }
    told(&statement::complaint(bytes).text);
    let _ = (statement::prepared(bytes), statement::is_end(bytes), statement::has_more(bytes));
    if let Ok(login::Reply::Switch(challenge)) = login::reply(bytes) {
        let _ = login::proof(&challenge, Some("secret"));
    }
    if let Ok(greeting) = login::Greeting::parse(bytes) {
        told(&greeting.version);
        assert!(greeting.challenge.data.len() <= 20);
    }
}

fn ldap(bytes: &[u8]) {
    match protocol::answer(bytes, 7) {
        Ok(protocol::Answer::Entry(entry)) => {
            let mut values = Values::default();
            if protocol::collect(entry, &["mail".to_owned(), "uid".to_owned()], &mut values).is_ok() {
                checked(values);
            }
        }
        Ok(protocol::Answer::Done(outcome)) => {
            told(&outcome.text);
            let _ = protocol::named(outcome.code);
        }
        _ => {}
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((server, said)) = bytes.split_first() else { return };
    match server % 3 {
        0 => postgresql(said),
        1 => mysql(said),
        _ => ldap(said),
    }
});
