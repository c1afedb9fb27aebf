use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_795_230_969;

fn srs(secrets: &str) -> Srs {
    Srs::new("us.example", secrets, 21).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn there_and_back() {
    let made = srs("s").forward(&address("joe+x@a.example"), NOW).unwrap();
    assert!(made.as_str().starts_with("SRS0=") && made.as_str().ends_with("=a.example=joe+x@us.example"), "{made}");
    assert_eq!(srs("s").reverse(made.local(), NOW).unwrap(), address("joe+x@a.example"));
    assert_eq!(srs("new\ns\n").reverse(made.local(), NOW).unwrap(), address("joe+x@a.example"));
    assert_eq!(srs("new").reverse(made.local(), NOW), Err(Fault::Forged));
    let shouted = made.local().to_ascii_uppercase();
    assert_eq!(srs("s").reverse(&shouted, NOW).unwrap(), address("JOE+X@A.EXAMPLE"));
    assert_eq!(srs("s").reverse(&made.local().to_ascii_lowercase(), NOW).unwrap(), address("joe+x@a.example"));
}

/// Three hosts in a row: the second guards the first, the third keeps the first and not the second.
#[test]
fn a_chain_of_forwarders() {
    let host = |domain: &str| Srs::new(domain, domain, 21).unwrap();
    let first = host("one.example").forward(&address("joe@a.example"), NOW).unwrap();
    let second = host("two.example").forward(&first, NOW).unwrap();
    let third = host("three.example").forward(&second, NOW).unwrap();
    assert!(second.as_str().starts_with("SRS1=") && second.as_str().contains("=one.example=="), "{second}");
    assert!(third.as_str().starts_with("SRS1=") && third.as_str().contains("=one.example=="), "{third}");
    assert_eq!(host("three.example").reverse(third.local(), NOW).unwrap(), first);
    assert_eq!(host("two.example").reverse(second.local(), NOW).unwrap(), first);
    assert_eq!(host("one.example").reverse(first.local(), NOW).unwrap(), address("joe@a.example"));
}

#[test]
fn days_end_it() {
    let made = srs("s").forward(&address("joe@a.example"), NOW).unwrap();
    let after = |days: u64| srs("s").reverse(made.local(), NOW + days * 86_400);
    assert!(after(0).is_ok() && after(21).is_ok());
    assert_eq!((after(22), after(500)), (Err(Fault::Expired), Err(Fault::Expired)));
    assert!(srs("s").reverse(made.local(), NOW - 86_400).is_ok(), "a clock that is behind");
    assert_eq!(srs("s").reverse(made.local(), NOW - 3 * 86_400), Err(Fault::Expired));
}

#[test]
fn what_is_not_rewritten() {
    for stays in ["joe@us.example", "joe@US.example", "joe", "\"a b\"@a.example", "joe@[192.0.2.1]"] {
        assert_eq!(srs("s").forward(&address(stays), NOW), None, "{stays}");
    }
    let long = format!("{}@a.example", "x".repeat(50));
    assert_eq!(srs("s").forward(&address(&long), NOW), None);
}

#[test]
fn what_is_no_address_of_ours() {
    let made = srs("s").forward(&address("joe@a.example"), NOW).unwrap();
    let forged = made.local().replace("joe", "ann");
    for (local, fault) in [
        ("joe", Fault::Other),
        ("SRS2=x", Fault::Other),
        ("SRS0", Fault::Other),
        ("SRS0=", Fault::Malformed),
        ("SRS0=abcd", Fault::Malformed),
        ("SRS0=abcd=AA=joe", Fault::Malformed),
        ("SRS0==AA=a.example=joe", Fault::Forged),
        ("SRS1=abcd=b.example=x", Fault::Malformed),
        ("SRS1=abcd=b.example==x", Fault::Forged),
        (&forged, Fault::Forged),
    ] {
        assert_eq!(srs("s").reverse(local, NOW), Err(fault), "{local}");
    }
    assert!(Srs::new("", "s", 1).is_none() && Srs::new("d", "\n \n", 1).is_none());
}

/// What postsrsd 1.10 answers with this secret, on a day of November 2026.
#[test]
fn as_others_write_them() {
    for (sender, made) in [
        ("joe+x@a.example", "SRS0=EWaz=JK=a.example=joe+x@us.example"),
        ("SRS0=abcd=AA=b.example=ann@c.example", "SRS1=9nik=c.example==abcd=AA=b.example=ann@us.example"),
        ("SRS1=abcd=b.example==efgh=AA=x.example=u@c.example", "SRS1=hOGZ=b.example==efgh=AA=x.example=u@us.example"),
    ] {
        assert_eq!(srs("secret").forward(&address(sender), 1_795_292_151).unwrap().as_str(), made);
    }
}

proptest! {
    #[test]
    fn whatever_comes_back_was_given_out(local in "[a-z0-9=+.-]{1,30}", domain in "[a-z]{1,10}\\.[a-z]{2,5}", seconds in 0u64..1 << 40) {
        let Ok(sender) = Address::parse(&format!("{local}@{domain}")) else { return Ok(()) };
        if let Some(made) = srs("s").forward(&sender, seconds) {
            if is_srs(&local) { return Ok(()) }
            prop_assert_eq!(srs("s").reverse(made.local(), seconds).unwrap(), sender);
        }
    }

    #[test]
    fn any_text(local in "(SRS[01])?[=+-]?[ -~\u{80}-\u{fff}]{0,40}", seconds in any::<u64>()) {
        let reversed = srs("s").reverse(&local, seconds);
        prop_assert!(reversed.is_err(), "{reversed:?}");
        if let Ok(sender) = Address::parse(&format!("{local}@a.example")) {
            let _ = srs("s").forward(&sender, seconds);
        }
    }
}
