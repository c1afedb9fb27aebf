//! Messages that fare differently for their recipients.

use super::driver::{Driver, config};
use super::{Protocol, Rights};
use status::{Enhanced, Reply};

const TWO: [&str; 4] = ["MAIL FROM:<a@b.example> PRDR", "RCPT TO:<known@local.example>", "RCPT TO:<x@relay.example>", "DATA"];

fn offering(protocol: Protocol) -> Driver {
    let mut d = Driver::with(config(), protocol, Rights { prdr: true, relay: true, ..Rights::default() });
    d.lines(&[if protocol == Protocol::Lmtp { "LHLO c" } else { "EHLO c" }]);
    d
}

fn no(code: u16) -> Option<Reply> {
    let status = if code < 500 { Enhanced::transient(7, 1) } else { Enhanced::permanent(7, 1) };
    Some(Reply::new(code, status, "not\r\nwanted"))
}

/// What is said after the dot.
fn ended(d: &mut Driver, prdr: bool, verdicts: [Option<Reply>; 2]) -> String {
    let mail = if prdr { TWO[0] } else { "MAIL FROM:<a@b.example>" };
    assert_eq!(d.lines(&[mail, TWO[1], TWO[2], TWO[3]]), [250, 250, 250, 354]);
    d.verdicts = Some(verdicts.to_vec());
    d.lines(&["A: b", "", "x", "."]);
    d.replies.clone()
}

#[test]
fn with_prdr_each_recipient_hears_its_own() {
    let mut d = offering(Protocol::Smtp);
    let said = ended(&mut d, true, [None, no(550)]);
    let expected = "353 replies for each recipient follow\r\n250 2.0.0 ok queued as ID\r\n550 5.7.1 not??wanted\r\n\
                    250 2.0.0 ok for 1 of 2 recipients, queued as ID\r\n";
    assert_eq!(said, expected);
    assert!(!d.session.has_verdicts(), "no transaction");
    let noted = d.session.take_rejections();
    assert!(noted.len() == 1 && noted[0].subject == "x@relay.example" && noted[0].code == 550, "{noted:?}");
    for (verdicts, codes) in [
        ([no(450), None], vec![353, 450, 250, 250]),
        // Neither reply may be overruled by the last one.
        ([no(550), no(450)], vec![353, 550, 450, 450]),
        ([no(550), no(552)], vec![353, 550, 552, 550]),
        // 421 is for sessions.
        ([no(421), None], vec![353, 451, 250, 250]),
        ([None, None], vec![250]),
        ([no(451), no(451)], vec![451]),
    ] {
        ended(&mut d, true, verdicts);
        assert_eq!(d.codes(), codes);
    }
    assert_eq!(d.lines(&["RCPT TO:<x@relay.example>"]), [503], "a transaction is over either way");
}

#[test]
fn lmtp_has_these_replies_and_offers_no_prdr() {
    let mut d = offering(Protocol::Lmtp);
    d.lines(&["LHLO c"]);
    assert!(!d.replies.contains("PRDR"));
    assert_eq!(d.lines(&[TWO[0]]), [555]);
    ended(&mut d, false, [no(550), None]);
    assert_eq!(d.codes(), [550, 250]);
}

/// Nothing is lost where the driver should not have told them apart.
#[test]
fn one_reply_for_all_refuses() {
    let mut d = offering(Protocol::Smtp);
    for verdicts in [[None, no(450)], [no(450), None]] {
        ended(&mut d, false, verdicts);
        assert_eq!(d.codes(), [450]);
    }
    // One verdict too many is the driver's mistake too.
    d.lines(&[TWO[0], TWO[1], TWO[3]]);
    d.verdicts = Some(vec![None, no(550)]);
    assert_eq!(d.lines(&["x", "."]), [354, 550][1..]);
}

#[test]
fn chunks_end_the_same_way() {
    let mut d = offering(Protocol::Smtp);
    d.lines(&TWO[..3]);
    d.verdicts = Some(vec![no(550), None]);
    d.replies.clear();
    d.feed(b"BDAT 3 LAST\r\nx\r\n");
    assert_eq!(d.codes(), [353, 550, 250, 250]);
}
