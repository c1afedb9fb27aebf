//! ETRN (RFC 1985): a client starts the mail of its domain; `zpost etrn` does the same.

use end_to_end::load::Session;
use end_to_end::{LONG, Sink, Suite, free_port, wait_until};

#[test]
fn etrn_starts_what_was_deferred_and_its_arguments_are_checked() {
    let port = free_port();
    let mut suite = Suite::builder().relaying_to(port).with("[queue]\nretry_first = \"1h\"\nretry_longest = \"2h\"\n").start();
    let (mut session, _) = Session::open(suite.port).unwrap();
    let hello = session.command("EHLO dial.example").unwrap().1;
    assert!(hello.contains("ETRN"), "{hello}");
    for to in ["a@one.example", "b@sub.two.example", "c@three.example"] {
        assert_eq!(session.message("s@sender.example", &[to], b"Subject: x\r\n\r\nbody\r\n").unwrap().0, 250);
    }
    let state = |state: &str| suite.json(&["queue", "--state", state]).as_array().unwrap().len();
    wait_until("all are put off, for nobody is there", LONG, || state("deferred") == 3);
    let sink = Sink::on(port, &[]);
    assert_eq!(session.command("ETRN $(reboot)").unwrap().0, 501);
    assert_eq!(session.command("ETRN ../../etc/passwd").unwrap().0, 501);
    assert_eq!(session.command("ETRN one.example").unwrap().0, 250);
    wait_until("the mail of the domain", LONG, || sink.messages().len() == 1);
    assert_eq!(session.command("ETRN @two.example").unwrap().0, 250);
    wait_until("the mail below the domain", LONG, || sink.messages().len() == 2);
    assert_eq!(state("deferred"), 1);
    let output = suite.zpost(&["etrn", "three.example"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("the command starts it too", LONG, || sink.messages().len() == 3);
    assert_eq!(suite.counter("smtpserver", "etrn"), 2);
    suite.stop();
}
