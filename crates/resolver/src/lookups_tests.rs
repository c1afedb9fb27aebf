//! What is kept how long; the servers are never asked here.

use super::*;

fn lookups() -> Lookups {
    let settings = settings::Dns {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
        deadline: Duration::from_secs(1),
        cache_entries: 100,
        negative_ttl: Duration::from_secs(300),
        max_ttl: Duration::from_secs(86400),
        validation: settings::Validation::Local,
        trust_anchor: None,
    };
    Lookups::new(&settings, crate::files::Files::default(), Counters::detached("resolver").unwrap()).unwrap()
}

fn good(ttl: u64) -> Reply {
    let records = Ok(Records::Addresses(vec!["10.0.0.1".parse().unwrap()]));
    Reply { records, ttl: Duration::from_secs(ttl), over_limit: false, timed_out: false, secure: true }
}

fn key(validate: bool) -> Key {
    Key { name: "a".to_owned(), kind: Kind::A, validate }
}

fn held(lookups: &Lookups, key: &Key, at: Instant) -> bool {
    lookups.cache.borrow_mut().fresh(key, at).is_some()
}

#[test]
fn answers_are_kept_by_ttl_and_at_most_so_long() {
    let (lookups, now, key) = (lookups(), Instant::now(), key(false));
    let after = |seconds| now + Duration::from_secs(seconds);
    lookups.settle(&key, good(60), now).records.unwrap();
    assert!(held(&lookups, &key, after(59)) && !held(&lookups, &key, after(60)));
    lookups.settle(&key, good(10_000_000), now).records.unwrap();
    assert!(held(&lookups, &key, after(86_399)) && !held(&lookups, &key, after(86_400)));
    let absent = Reply { ttl: Duration::from_secs(10_000), ..Reply::trouble(Trouble::NoSuchName) };
    lookups.settle(&key, absent, now).records.unwrap_err();
    assert!(held(&lookups, &key, after(299)) && !held(&lookups, &key, after(300)));
    lookups.settle(&key, Reply::timed_out("a"), now).records.unwrap_err();
    assert!(held(&lookups, &key, after(4)) && !held(&lookups, &key, after(5)));
}

#[test]
fn trouble_is_answered_from_what_was_known_for_an_hour() {
    let (lookups, now, key) = (lookups(), Instant::now(), key(false));
    let after = |seconds| now + Duration::from_secs(seconds);
    assert_eq!(lookups.settle(&key, good(60), now).fresh_until, after(60));
    let stale = lookups.settle(&key, Reply::timed_out("a"), after(100));
    assert!(stale.records.is_ok() && stale.fresh_until == after(60));
    assert!(held(&lookups, &key, after(104)) && !held(&lookups, &key, after(105)));
    assert!(lookups.settle(&key, Reply::timed_out("a"), after(3659)).records.is_ok());
    assert!(matches!(lookups.settle(&key, Reply::timed_out("a"), after(3661)).records, Err(Trouble::Temporary(_))));
}

#[test]
fn an_absence_is_no_trouble_and_replaces_what_was_known() {
    let (lookups, now, key) = (lookups(), Instant::now(), key(false));
    lookups.settle(&key, good(0), now).records.unwrap();
    assert_eq!(lookups.settle(&key, Reply::trouble(Trouble::NoSuchName), now).records, Err(Trouble::NoSuchName));
}

#[test]
fn validated_answers_stand_apart_and_are_never_stale() {
    let (lookups, now) = (lookups(), Instant::now());
    let after = |seconds| now + Duration::from_secs(seconds);
    assert!(lookups.settle(&key(true), good(60), now).secure);
    assert!(held(&lookups, &key(true), after(59)) && !held(&lookups, &key(false), now));
    let forged = lookups.settle(&key(true), Reply::timed_out("a"), after(100));
    assert!(matches!(forged, Found { records: Err(Trouble::Temporary(_)), secure: false, .. }));
}
