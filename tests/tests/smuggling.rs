//! False ends of data, from the wire to the next hop: exactly one message or none, and no stray CR or LF goes out.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite};

/// What must not be taken for the end of data.
const FALSE_ENDS: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
];

const SMUGGLED: &[u8] = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<victim@sink.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n";

fn attack(suite: &Suite, false_end: &[u8]) -> u16 {
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    session.command("MAIL FROM:<a@sender.example>").unwrap();
    session.command("RCPT TO:<b@sink.example>").unwrap();
    assert_eq!(session.command("DATA").unwrap().0, 354);
    let mut content = b"Subject: outer\r\n\r\nbody".to_vec();
    content.extend_from_slice(false_end);
    content.extend_from_slice(SMUGGLED);
    content.extend_from_slice(b"\r\n.\r\n");
    session.send(&content).unwrap();
    let (code, _) = session.reply().unwrap();
    // Exactly one reply: the next one is to our own command.
    assert_eq!(session.command("NOOP").unwrap().0, 250);
    let (after, text) = session.command("RCPT TO:<b@sink.example>").unwrap();
    assert_eq!(after, 503, "the transaction is over: {text}");
    code
}

#[test]
fn false_ends_of_data_are_refused() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).start();
    for false_end in FALSE_ENDS {
        let code = attack(&suite, false_end);
        assert!((500..600).contains(&code), "{} answered {code}", false_end.escape_ascii());
    }
    suite.wait_drained(LONG);
    assert_eq!(sink.messages().len(), 0);
}

#[test]
fn with_blanks_for_stray_line_ends_one_message_goes_out_clean() {
    let sink = Sink::start();
    let suite = Suite::builder().relaying_to(sink.port).with("[server]\nbare_newline = \"blank\"\n").start();
    let mut taken = 0;
    for false_end in FALSE_ENDS {
        match attack(&suite, false_end) {
            250 => taken += 1,
            code => assert!(false_end.contains(&0) && code >= 500, "{} answered {code}", false_end.escape_ascii()),
        }
    }
    suite.wait_drained(LONG);
    assert_eq!(sink.headers("X-Mail-Args").len(), taken);
    assert!(taken >= 8);
    let dump = sink.text();
    assert!(!dump.contains(&b'\r') && !dump.contains(&0), "stray line ends went out");
    assert!(sink.headers("X-Rcpt-Args").iter().all(|r| !r.contains("victim")));
}

#[test]
fn nobody_outside_may_relay() {
    let suite = Suite::builder().with_maildirs().prepare();
    let text = std::fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", "\"10.9.9.9\"");
    std::fs::write(suite.config(), text).unwrap();
    let mut suite = suite;
    suite.start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    session.command("EHLO x.example").unwrap();
    session.command("MAIL FROM:<a@sender.example>").unwrap();
    for to in ["b@elsewhere.example", "b%elsewhere.example@elsewhere2.example", "@local.example:b@elsewhere.example", "b@[192.0.2.1]"] {
        let (code, text) = session.command(&format!("RCPT TO:<{to}>")).unwrap();
        assert!((500..600).contains(&code), "{to}: {text}");
    }
    assert_eq!(session.command("RCPT TO:<b@local.example>").unwrap().0, 250);
    assert_eq!(session.command("RCPT TO:<postmaster>").unwrap().0, 250);
}
