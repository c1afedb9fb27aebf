//! Tables from sources, ours and ZMailer's.

use super::*;
use crate::{Records, read_source, read_zmailer};
use proptest::prelude::*;
use std::collections::HashMap;

fn table(records: &Records) -> Table {
    Table::open("t.db", Box::new(records.compile().unwrap())).unwrap()
}

fn ask(records: &Records, rules: &str, from: &str, sender: &str, recipient: &str) -> String {
    let policy = with_tables(rules, vec![table(records)]);
    Client::new(&policy, kind).from(from).whole(sender, recipient)
}

#[test]
fn a_source_of_our_own() {
    let text = "# bad ones\nclient:203.0.113.0/24 refuse=\"5.7.0 not from there\"\nclient:203.0.113.9 warn=known\n\
                sender:.spam.example  refuse=\"no spam\" # really\nrecipient:gone@ tags=gone\ntag:gone refuse=\"5.1.1 gone\"\nuser:alice max_messages=10\n";
    let mut records = Records::default();
    assert_eq!(read_source("bad.src", text, &mut records), []);
    assert_eq!(records.len(), 5);
    let said = |from: &str, sender: &str, to: &str| ask(&records, "", from, sender, to);
    assert_eq!(said("203.0.113.1", "", "u@local.example"), "550 5.7.0 not from there (rule bad.src:2)");
    assert_eq!(said("203.0.113.9", "", "u@local.example"), "ok");
    assert_eq!(said("192.0.2.1", "x@a.spam.example", "u@local.example"), "550 5.7.1 no spam (rule bad.src:4)");
    assert_eq!(said("192.0.2.1", "x@spam.example", "u@local.example"), "ok");
    assert_eq!(said("192.0.2.1", "", "gone@local.example"), "550 5.1.1 gone (rule bad.src:5)");
    // Rules of the configuration come first, of equal keys; the longer key counts wherever it stands.
    let own = "[[access]]\nclient = [\"203.0.113.0/24\"]\nwarn = \"ours\"\n";
    assert_eq!(ask(&records, own, "203.0.113.1", "", "u@local.example"), "ok");
    let own = "[[access]]\nclient = [\"203.0.0.0/16\"]\nwarn = \"ours\"\n";
    assert!(ask(&records, own, "203.0.113.1", "", "u@local.example").starts_with("550"));
}

#[test]
fn faults_of_a_source_have_lines() {
    let text = "nokind refuse=no\nclient:10.0.0.1/8 refuse=no\nsender:x.example relay=true\nname:a.example refus=no\nname:a.example\n\
                name:b.example refuse=\"no\nname:c.example refuse=1\nname:c.example refuse=2\nname:d.example tags=none\n";
    let mut records = Records::default();
    let faults = read_source("s", text, &mut records);
    let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [4, 5, 6, 1, 2, 3, 8, 9]);
    assert!(faults[0].text.contains("did you mean `refuse`"), "{}", faults[0].text);
    assert!(!faults[6].fatal && faults[6].text.contains("s:7"));
}

#[test]
fn a_damaged_table_defers() {
    let mut records = Records::default();
    read_source("s", "sender:a.example refuse=no\n", &mut records);
    let whole = records.compile().unwrap();
    assert!(Table::open("t", Box::new(vec![0; 2048])).is_err());
    assert!(Table::open("t", Box::new(Vec::new())).is_err());
    let mut cut = whole.clone();
    // The record says another attribute than there is.
    let at = cut.windows(7).position(|w| w == b"refuse=").unwrap();
    cut[at] = b'x';
    let policy = with_tables("", vec![Table::open("t", Box::new(cut)).unwrap()]);
    let said = Client::new(&policy, kind).whole("u@a.example", "u@local.example");
    assert!(said.starts_with("451 4.3.0"), "{said}");
}

const ZMAILER: &str = r#"# a source of ZMailer's
_full_rights relaycustnet + fulltrustnet +
_relaytarget relaytarget +
_bulk_mail   message "we take no bulk mail" rejectsource + rejectnet +
_spf         = _deep spf +
_deep        maxoutsize 1000
[127.0.0.0]/8   = _full_rights
[203.0.113.0/24] rejectnet +
[IPv6:2001:db8::]/32 ratelimitmsgs -100,200
.spam.example   = _bulk_mail
backup.example  = _relaytarget
user@bad.example rejectsource +
odd@            freezesource +
.partner.example = _spf
open.example    relaycustomer +
shop.example    senderokwithdns - test-dns-rbl bl.example:bl2.example
thing.example   unknownthing +
lost.example    = _nowhere
"#;

#[test]
fn a_source_of_zmailers() {
    let mut records = Records::default();
    let faults = read_zmailer("smtp-policy.src", ZMAILER, "", &mut records);
    let said: Vec<(usize, bool)> = faults.iter().map(|fault| (fault.line, fault.fatal)).collect();
    assert_eq!(said, [(15, false), (17, false), (18, true)], "{faults:?}");
    let said = |from: &str, sender: &str, to: &str| ask(&records, "", from, sender, to);
    assert_eq!(said("127.0.0.1", "", "u@elsewhere.example"), "granted");
    assert_eq!(said("203.0.113.5", "", "u@local.example"), "550 5.7.1 access denied (rule smtp-policy.src:8)");
    assert_eq!(said("192.0.2.1", "x@a.spam.example", "u@local.example"), "550 5.7.1 we take no bulk mail (rule smtp-policy.src:10)");
    assert_eq!(said("192.0.2.1", "x@spam.example", "u@local.example"), "550 5.7.1 we take no bulk mail (rule smtp-policy.src:10)");
    assert_eq!(said("192.0.2.1", "", "u@backup.example"), "granted");
    assert!(said("192.0.2.1", "user@bad.example", "u@local.example").starts_with("550"));
    assert_eq!(said("192.0.2.1", "other@bad.example", "u@local.example"), "ok");
    assert!(said("192.0.2.1", "x@open.example", "u@elsewhere.example").starts_with("550"), "no open relay is taken over");
    let policy = with_tables("", vec![table(&records)]);
    let mut client = Client::new(&policy, kind).from("192.0.2.1");
    assert_eq!(client.whole("odd@any.example", "u@local.example"), "ok");
    assert!(client.end().freeze.is_some());
    client.size = 1001;
    assert_eq!(say(&client.mail("x@a.partner.example")).get(..9), Some("552 5.3.4"));
}

#[test]
fn lists_that_zmailer_merges() {
    let mut records = Records::default();
    assert_eq!(read_zmailer("smtp-policy.relay", "[198.51.100.0]/24\n.in.example\n", "fulltrustnet +", &mut records), []);
    assert_eq!(ask(&records, "", "198.51.100.3", "", "u@elsewhere.example"), "granted");
}

proptest! {
    #[test]
    fn a_table_of_any_bytes_harms_nobody(mut file in prop::collection::vec(any::<u8>(), 2048..4096), small in any::<bool>()) {
        if small {
            // Places within the file, so that more than the header is looked at.
            for at in (0..2048).step_by(8) {
                file[at..at + 8].copy_from_slice(&[0, (at % 16) as u8, 0, 0, 3, 0, 0, 0]);
            }
        }
        let _ = Table::open("t", Box::new(file));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(.{0,60}\n){0,6}", words in prop::collection::vec("(\\[10.0.0.0\\]/8|a.example|_t|x@|rejectnet|relaytarget|=|message|[+-]|\"b c\"|ratelimitmsgs|-?[0-9]{1,12},?)", 0..30)) {
        let mut records = Records::default();
        let lines = text.lines().count();
        let both = read_source("s", &text, &mut records).into_iter().chain(read_zmailer("z", &text, "", &mut records));
        for fault in both {
            prop_assert!((1..=lines).contains(&fault.line), "{:?}", fault);
        }
        read_zmailer("z", &words.join(" "), "= _t", &mut records);
        prop_assert!(records.compile().is_some());
    }

    #[test]
    fn attributes_of_a_source_survive_the_table(size in 0_u64..1 << 40, messages in 0_u32..1 << 31, yes in any::<bool>(), text in "[ -!#-\\[\\]-~]{0,40}") {
        let line = format!("client:192.0.2.1 max_size={size} max_messages={messages} greylist={yes} refuse=\"{text}\" spf=fail:refuse,pass:accept dns_lists=a.example,b.example");
        let mut records = Records::default();
        prop_assert_eq!(read_source("s", &line, &mut records), []);
        let record = table(&records).client("192.0.2.1".parse().unwrap(), None).unwrap().unwrap().1;
        let texts: HashMap<&str, String> = record.attributes.texts().into_iter().collect();
        prop_assert_eq!(&texts["refuse"], &text);
        prop_assert_eq!(&texts["max_size"], &size.to_string());
        prop_assert_eq!(&texts["greylist"], &yes.to_string());
        prop_assert_eq!(&texts["spf"], "fail:refuse,pass:accept");
        prop_assert_eq!(&texts["dns_lists"], "a.example,b.example");
        prop_assert_eq!(&texts["max_messages"], &messages.to_string());
    }
}
