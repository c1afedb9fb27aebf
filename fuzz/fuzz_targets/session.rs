//! Any bytes as one client's dialogue, in pieces: no message without its 354 and its recipients, replies always whole lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp::server::{Config, Protocol, RelayPolicy, Session, Step};
use std::sync::Arc;

fn config(blank_newlines: bool) -> Arc<Config> {
    Arc::new(Config {
        hostname: "mx.example".into(),
        banner: "ESMTP".into(),
        max_message_size: 2000,
        max_recipients: 5,
        max_hops: 3,
        max_errors: 50,
        max_idle_commands: 50,
        max_refused_recipients: 1000,
        max_header_bytes: 1000,
        max_line: 500,
        blank_newlines,
        relay: RelayPolicy { local: vec!["local.example".into()], relay: vec![".relay.example".into()], own_addresses: ["192.0.2.1".parse().expect("an address")].into() },
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, dialogue)) = bytes.split_first() else { return };
    let protocol = [Protocol::Smtp, Protocol::Submission, Protocol::Lmtp, Protocol::Smtp][usize::from(choice >> 6)];
    let mut session = Session::new(config(choice & 1 == 1), protocol, choice & 2 == 2, smtp::server::Security::Offered).with_etrn(choice & 1 == 1);
    let (mut sink, mut begun, mut ended) = (Vec::new(), 0, 0);
    'pieces: for piece in dialogue.chunks(usize::from(choice >> 2 & 15) + 1) {
        let mut rest = piece;
        loop {
            let (used, step) = session.step(rest, &mut sink);
            rest = &rest[used..];
            let output = std::mem::take(session.output());
            assert!(output.is_empty() || output.ends_with(b"\r\n"));
            assert!(output.iter().all(|b| matches!(b, b'\r' | b'\n' | b' '..=b'~')));
            match step {
                Step::Read => break,
                Step::Close => break 'pieces,
                Step::Sender => session.answer(Ok(())),
                Step::Recipient { .. } => {
                    assert!(session.candidate().is_some());
                    session.answer(Ok(()));
                }
                Step::Begin => {
                    begun += 1;
                    sink.clear();
                    assert!(session.transaction().is_some_and(|t| !t.recipients().is_empty()));
                }
                Step::End(transaction) => {
                    ended += 1;
                    assert!(!transaction.recipients().is_empty());
                    assert!(!sink.contains(&b'\r') && !sink.contains(&0));
                    session.finish(Ok("ID"));
                }
                Step::StartTls => session.secured(),
                Step::Etrn(node) => assert!(node.bytes().all(|b| b.is_ascii_graphic())),
                Step::Refused => ended += 1,
                Step::Wait => unreachable!("every question was answered"),
            }
        }
    }
    assert!(ended <= begun && begun <= ended + 1);
});
