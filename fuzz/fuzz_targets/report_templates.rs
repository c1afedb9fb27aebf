//! Any bytes as a template of a report, and any words as values: the report's header stays one, with one line a field.
#![no_main]

use dsn::{Action, Notification, Recipient, Returned, Templates, prepare};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let middle = bytes.len() / 2;
    let (template, words) = bytes.split_at_checked(middle).expect("it is inside");
    let good = [b"Subject: x %{count}\n\n%{recipients}\n", template].concat();
    for template in [template, &good] {
        let files = [("failed".to_owned(), template.to_vec()), ("failed.de".to_owned(), template.to_vec())];
        let (templates, faults) = Templates::with(files);
        assert!(faults.len() <= 2);
        let words = String::from_utf8_lossy(words).into_owned();
        let recipient = Recipient {
            address: words.clone(),
            original: Some(words.clone()),
            orcpt: Some(words.clone()),
            action: Action::Failed,
            status: status::Enhanced::permanent(1, 1),
            remote: words.clone(),
            text: words.clone(),
            last_attempt: 1,
            retry_until: 1,
        };
        let notification = Notification {
            hostname: "mta.example",
            id: "1",
            original_id: &words,
            to: "sender@example.org",
            copy_of: None,
            date: 1,
            arrived: 1,
            envid: Some(&words),
            message_id: None,
            smtputf8: false,
            returned: Returned::Headers { limit: 1000 },
            double_bounce: false,
            recipients: &[recipient],
            templates: &templates,
        };
        let original = b"Subject: original\n\nbody\n".to_vec();
        let mut report = Vec::new();
        let prepared = prepare(&notification, &original).expect("memory does not fail");
        prepared.write(&mut |piece| Ok(report.extend_from_slice(piece))).expect("memory does not fail");
        let end = report.windows(2).position(|two| two == b"\n\n").expect("a header ends");
        let header = report.get(..end).unwrap_or_default();
        assert!(header.iter().all(|b| matches!(b, b'\n' | b'\t' | b' '..=b'~')));
        for name in [&b"\nFrom: "[..], b"\nTo: ", b"\nSubject: ", b"\nContent-Type: "] {
            let header = [b"\n", header].concat();
            assert_eq!(header.windows(name.len()).filter(|field| *field == name).count(), 1);
        }
    }
});
