//! Cases of RFC 7208: its appendix A, its limits, and what its sections say of errors.

use crate::zone::Zone;
use ipc::dns::SpfResult;
use proptest::prelude::*;
use std::fmt::Write as _;

/// Appendix A.
const APPENDIX: &str = "
    example.com MX mail-a.example.com
    example.com MX mail-b.example.com
    example.com A 192.0.2.10
    example.com A 192.0.2.11
    amy.example.com A 192.0.2.65
    bob.example.com A 192.0.2.66
    mail-a.example.com A 192.0.2.129
    mail-b.example.com A 192.0.2.130
    example.org MX mail-c.example.org
    mail-c.example.org A 192.0.2.140
    192.0.2.10 PTR example.com
    192.0.2.11 PTR example.com
    192.0.2.65 PTR amy.example.com
    192.0.2.66 PTR bob.example.com
    192.0.2.129 PTR mail-a.example.com
    192.0.2.130 PTR mail-b.example.com
    192.0.2.140 PTR mail-c.example.org
    10.0.0.4 PTR bob.example.com";

#[test]
fn appendix_a_1() {
    for (record, passing, failing) in [
        ("+all", "192.0.2.10 10.0.0.4", ""),
        ("a -all", "192.0.2.10 192.0.2.11", "192.0.2.12 192.0.2.65"),
        ("a:example.org -all", "", "192.0.2.10 192.0.2.140"),
        ("mx -all", "192.0.2.129 192.0.2.130", "192.0.2.10 192.0.2.131"),
        ("mx:example.org -all", "192.0.2.140", "192.0.2.129"),
        ("mx mx:example.org -all", "192.0.2.129 192.0.2.130 192.0.2.140", "192.0.2.10"),
        ("mx/30 mx:example.org/30 -all", "192.0.2.128 192.0.2.131 192.0.2.140 192.0.2.143", "192.0.2.132 192.0.2.139"),
        ("ptr -all", "192.0.2.65 192.0.2.10", "192.0.2.140 10.0.0.4"),
        ("ip4:192.0.2.128/28 -all", "192.0.2.129", "192.0.2.65 192.0.2.144"),
    ] {
        let zone = Zone::new(APPENDIX).and("example.com", "TXT", &format!("v=spf1 {record}"));
        for (clients, expected) in [(passing, "pass"), (failing, "fail")] {
            for client in clients.split_whitespace() {
                assert_eq!(zone.says(client, "joe@example.com"), expected, "{record} {client}");
            }
        }
    }
}

#[test]
fn appendix_a_2_to_a_4() {
    let zone = Zone::new(APPENDIX)
        .and("example.com", "TXT", "v=spf1 mx -all")
        .and("example.org", "TXT", "v=spf1 include:example.com include:example.net -all")
        .and("example.net", "TXT", "v=spf1 ip4:10.1.0.0/16 -all")
        .and("la.example.org", "TXT", "v=spf1 redirect=example.org")
        .and("lists.example", "TXT", "v=spf1 mx include:mobile.lists.example -all")
        .and("mobile.lists.example", "TXT", "v=spf1 exists:%{l1r+}.%{d}")
        .and("mary.mobile.lists.example", "A", "127.0.0.2")
        .and("lists.example", "MX", "mail-a.example.com")
        .and("and.example", "TXT", "v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all")
        .and("ip4._spf.and.example", "TXT", "v=spf1 -ip4:192.0.2.0/24 +all")
        .and("ptr._spf.and.example", "TXT", "v=spf1 -ptr:example.com +all");
    for (client, sender, expected) in [
        ("192.0.2.129", "a@example.org", "pass"),
        ("10.1.2.3", "a@la.example.org", "pass"),
        ("10.2.2.3", "a@la.example.org", "fail"),
        ("10.2.2.3", "mary@lists.example", "pass"),
        ("10.2.2.3", "mary+x@lists.example", "pass"),
        ("10.2.2.3", "fred@lists.example", "fail"),
        ("192.0.2.65", "a@and.example", "pass"),
        ("192.0.2.140", "a@and.example", "fail"),
        ("10.2.2.3", "a@and.example", "fail"),
    ] {
        assert_eq!(zone.says(client, sender), expected, "{client} {sender}");
    }
}

#[test]
fn where_a_check_begins() {
    let zone = Zone::new("hello.example TXT v=spf1 ip4:10.0.0.1 -all\n down.example FAIL\n text.example TXT nothing of that")
        .and("two.example", "TXT", "v=spf1 +all")
        .and("two.example", "TXT", "v=spf1 -all")
        .and("mixed.example", "TXT", "spf2.0/pra -all")
        .and("mixed.example", "TXT", "V=sPf1 +aLL");
    for (hello, sender, expected) in [
        ("hello.example", "<>", SpfResult::Fail),
        ("Hello.Example.", "<>", SpfResult::Fail),
        ("[10.0.0.2]", "<>", SpfResult::None),
        ("localhost", "<>", SpfResult::None),
        ("x", "a@nowhere.example", SpfResult::None),
        ("x", "a@text.example", SpfResult::None),
        ("x", "a@down.example", SpfResult::TempError),
        ("x", "a@two.example", SpfResult::PermError),
        ("x", "a@mixed.example", SpfResult::Pass),
        ("x", "@mixed.example", SpfResult::Pass),
        ("x", "a@b@hello.example", SpfResult::Fail),
        ("x", "a@a..example", SpfResult::None),
        ("x", &format!("a@{}.example", "l".repeat(64)), SpfResult::None),
        ("x", "a@tld", SpfResult::None),
        ("x", "a@[10.0.0.2]", SpfResult::None),
    ] {
        assert_eq!(zone.check("10.0.0.2", hello, sender).result, expected, "{hello} {sender}");
    }
    assert_eq!(zone.check("10.0.0.2", "Hello.Example.", "<>").domain, "hello.example");
}

#[test]
fn qualifiers_and_defaults() {
    for (record, expected) in [
        ("-all", "fail"),
        ("~all", "softfail"),
        ("?all", "neutral"),
        ("+all", "pass"),
        ("all", "pass"),
        ("", "neutral"),
        ("ip4:10.0.0.1", "neutral"),
        ("?all -all", "neutral"),
        ("-all redirect=nowhere.example", "fail"),
        ("redirect=nowhere.example", "permerror"),
        ("redirect=down.example", "temperror"),
        ("redirect=tld", "permerror"),
        ("include:nowhere.example +all", "permerror"),
        ("include:down.example +all", "temperror"),
        ("include:bad.example +all", "permerror"),
        ("include:soft.example -all", "fail"),
        ("a:down.example -all", "temperror"),
        ("mx:down.example -all", "temperror"),
        ("exists:down.example -all", "temperror"),
        ("ptr:x.example -all", "fail"),
        ("unknown=%{i} -all", "fail"),
        ("+all what", "permerror"),
        ("a:x.example//129", "permerror"),
    ] {
        let zone = Zone::new("down.example FAIL\n soft.example TXT v=spf1 ~all\n bad.example TXT v=spf1 foo\n 10.0.0.2 FAIL").and(
            "d.example",
            "TXT",
            &format!("v=spf1 {record}"),
        );
        assert_eq!(zone.says("10.0.0.2", "a@d.example"), expected, "{record}");
    }
}

#[test]
fn addresses_of_both_kinds() {
    let zone = |record: &str| {
        Zone::new("h.example A 10.0.0.1\n h.example AAAA 2001:db8::1\n four.example A 127.0.0.2\n six.example AAAA 2001:db8::1")
            .and("m.example", "MX", "four.example")
            .and("m.example", "MX", "six.example")
            .and("d.example", "TXT", &format!("v=spf1 {record} -all"))
    };
    for (record, client, expected) in [
        ("a:h.example", "2001:db8::1", "pass"),
        ("a:h.example", "2001:db8::2", "fail"),
        ("a:h.example//64", "2001:db8::2", "pass"),
        ("a:h.example/24//64", "10.0.0.99", "pass"),
        ("a:h.example//64", "10.0.0.99", "fail"),
        ("a:h.example/0", "192.0.2.1", "pass"),
        ("a:h.example", "::ffff:10.0.0.1", "pass"),
        ("ip4:0.0.0.0/0", "2001:db8::1", "fail"),
        ("ip6:::/0", "10.0.0.1", "fail"),
        ("ip6:2001:db8::/32", "2001:db8:ffff::1", "pass"),
        ("mx:m.example", "2001:db8::1", "pass"),
        ("exists:four.example", "2001:db8::9", "pass"),
        ("exists:six.example", "2001:db8::1", "fail"),
    ] {
        assert_eq!(zone(record).says(client, "a@d.example"), expected, "{record} {client}");
    }
}

/// Section 4.6.4.
#[test]
fn limits() {
    let chain = |last: usize| {
        (0..last).fold(String::new(), |mut text, n| {
            let _ = writeln!(text, "r{n}.example TXT v=spf1 redirect=r{}.example", n + 1);
            text
        })
    };
    let ten = Zone::new(&chain(10)).and("r10.example", "TXT", "v=spf1 +all");
    assert_eq!(ten.says("10.0.0.1", "a@r0.example"), "pass");
    let eleven = Zone::new(&chain(11)).and("r11.example", "TXT", "v=spf1 +all");
    assert_eq!(eleven.says("10.0.0.1", "a@r0.example"), "permerror");
    let ring = Zone::new("a.example TXT v=spf1 include:b.example\n b.example TXT v=spf1 include:a.example");
    assert_eq!(ring.says("10.0.0.1", "a@a.example"), "permerror");
    assert_eq!(ring.asked.borrow().len(), 11);

    let terms = |terms: &str| Zone::new("h.example A 10.9.9.9\n x.example A 10.9.9.9").and("d.example", "TXT", &format!("v=spf1 {terms}"));
    let ten_a = "a:h.example ".repeat(10);
    assert_eq!(terms(&format!("{ten_a} ip4:10.0.0.1 -all")).says("10.0.0.1", "a@d.example"), "pass");
    assert_eq!(terms(&format!("{ten_a} exists:x.example")).says("10.0.0.1", "a@d.example"), "permerror");
    assert_eq!(terms("a:n1.example a:n2.example +all").says("10.0.0.1", "a@d.example"), "pass");
    assert_eq!(terms("a:n1.example mx:n2.example exists:n3.example +all").says("10.0.0.1", "a@d.example"), "permerror");

    let mail_hosts = |count: usize| {
        (0..count).fold(Zone::new("d.example TXT v=spf1 mx -all"), |zone, n| {
            let host = format!("m{n}.example");
            zone.and("d.example", "MX", &host).and(&host, "A", &format!("10.0.0.{n}"))
        })
    };
    assert_eq!(mail_hosts(10).says("10.0.0.9", "a@d.example"), "pass");
    assert_eq!(mail_hosts(11).says("10.0.0.99", "a@d.example"), "permerror");

    // Of the client's names only the first ten count.
    let names = (0..11).fold(Zone::new("d.example TXT v=spf1 ptr -all"), |zone, n| {
        let name = if n == 10 { "in.d.example".to_owned() } else { format!("n{n}.example") };
        zone.and("10.0.0.1", "PTR", &name).and(&name, "A", "10.0.0.1")
    });
    assert_eq!(names.says("10.0.0.1", "a@d.example"), "fail");
}

#[test]
fn explanations() {
    let zone = Zone::new("10.0.0.2 PTR pc.d.example\n pc.d.example A 10.0.0.2")
        .and("d.example", "TXT", "v=spf1 exp=why.%{d} -all")
        .and("why.d.example", "TXT", "%{i} (%{p}) may not send as %{s}%_at %{t}; see http://%{d}/?s=%{S}")
        .and("sub.example", "TXT", "v=spf1 redirect=d.example exp=none.example")
        .and("inc.example", "TXT", "v=spf1 include:d.example -all")
        .and("soft.example", "TXT", "v=spf1 ~all exp=why.d.example")
        .and("esc.example", "TXT", "v=spf1 -all exp=why.esc.example")
        .and("why.esc.example", "TXT", "a\u{1b}[2J")
        .and("two.example", "TXT", "v=spf1 -all exp=why.two.example")
        .and("why.two.example", "TXT", "one")
        .and("why.two.example", "TXT", "two")
        .and("long.example", "TXT", "v=spf1 -all exp=why.long.example")
        .and("why.long.example", "TXT", &"x".repeat(4000))
        .and("odd.example", "TXT", "v=spf1 -all exp=why.odd.example")
        .and("why.odd.example", "TXT", "%{x}")
        .and("gone.example", "TXT", "v=spf1 -all exp=nowhere.example");
    let text = "fail 10.0.0.2 (pc.d.example) may not send as a+b@d.example at 1000000000; see http://d.example/?s=a%2Bb%40d.example";
    assert_eq!(zone.says("10.0.0.2", "a+b@d.example"), text);
    let redirected = zone.says("10.0.0.2", "a@sub.example");
    assert!(redirected.contains("as a@sub.example") && redirected.contains("//d.example/"), "{redirected}");
    for (sender, expected) in [
        ("a@inc.example", "fail"),
        ("a@soft.example", "softfail"),
        ("a@esc.example", "fail"),
        ("a@two.example", "fail"),
        ("a@odd.example", "fail"),
        ("a@gone.example", "fail"),
    ] {
        assert_eq!(zone.says("10.0.0.2", sender), expected, "{sender}");
    }
    assert_eq!(zone.says("10.0.0.2", "a@long.example").len(), "fail ".len() + 300);
    assert!(!zone.says("10.0.0.2", "a\r\nb\u{e9}@d.example").contains(['\r', '\n', '\u{e9}']));
}

proptest! {
    /// Whatever domains publish, a check ends after a bounded number of questions.
    #[test]
    fn any_records_end(records in proptest::collection::vec(
        "(([+?~-]?)(a|mx|ptr|exists:%\\{i\\}\\.c\\.d|include:[ab]\\.d|redirect=[ab]\\.d|a:[a-c]\\.d|mx:[a-c]\\.d/2|ip4:10\\.0\\.0\\.0/8|exp=[ab]\\.d|all|\\PC{3}) ){0,14}", 2)) {
        let zone = Zone::new("10.0.0.1 PTR a.d\n a.d A 10.0.0.1\n a.d MX a.d\n b.d MX c.d\n c.d A 10.2.2.2")
            .and("a.d", "TXT", &format!("v=spf1 {}", records[0]))
            .and("b.d", "TXT", &format!("v=spf1 {}", records[1]));
        let spf = zone.check("10.0.0.1", "h", "u@a.d");
        prop_assert!(spf.explanation.bytes().all(|b| matches!(b, b' '..=b'~')));
        prop_assert!(zone.asked.borrow().len() <= 1 + 10 * 12 + 25, "{}", zone.asked.borrow().len());
    }
}
