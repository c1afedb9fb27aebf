use super::*;
use proptest::prelude::*;
use status::Outcome;

fn terms() -> impl Strategy<Value = TlsTerms> {
    prop_oneof![Just(TlsTerms::Usual), Just(TlsTerms::Required), Just(TlsTerms::Optional)]
}

fn demand() -> impl Strategy<Value = Demand> {
    use TlsPolicy::{Dane, Encrypt, May, None, Sts, Verify};
    let policy = prop_oneof![Just(None), Just(May), Just(Encrypt), Just(Verify), Just(Dane), Just(Sts)];
    (policy, terms()).prop_map(|(policy, terms)| Demand { policy, terms })
}

fn record(usage: u8) -> Record {
    Record { usage, selector: 1, matching: 1, data: vec![7; 32] }
}

fn dane() -> impl Strategy<Value = Dane> {
    prop_oneof![
        Just(Dane::Absent),
        Just(Dane::Unknown("servfail".into())),
        Just(Dane::Records(vec![record(3)])),
        Just(Dane::Records(vec![record(0)])),
    ]
}

fn sts(mode: StsMode, host: &str) -> StsPolicy {
    StsPolicy { id: "1".into(), mode, hosts: vec![host.into()], max_age: 86_400 }
}

fn sts_policy() -> impl Strategy<Value = Option<StsPolicy>> {
    let mode = prop_oneof![Just(StsMode::Enforce), Just(StsMode::Testing), Just(StsMode::None)];
    let host = prop_oneof![Just("*.example.org"), Just("other.example.net")];
    prop_oneof![Just(None), (mode, host).prop_map(|(mode, host)| Some(sts(mode, host)))]
}

fn facts<'a>(dane: &'a Dane, sts: Option<&'a StsPolicy>) -> Facts<'a> {
    Facts { host: "mx.example.org", domain: Some("example.org"), dane, sts, names: &[] }
}

/// The session that comes about with a server that offers TLS or not, and whose certificate is good or not.
fn made(demand: Demand, facts: &Facts<'_>, offers: bool, good: bool) -> Option<Reached> {
    let assurance = assure(demand, facts).ok()?;
    let proves = matches!(assurance.requirement, Requirement::Nothing { .. }) || good;
    match assurance.starttls {
        StartTls::Never => Some(Reached { demand, encrypted: false, proof: Proof::None }),
        StartTls::WhenOffered if !offers => Some(Reached { demand, encrypted: false, proof: Proof::None }),
        _ if offers && proves => Some(Reached { demand, encrypted: true, proof: assurance.proof }),
        _ => None,
    }
}

/// What a job may never do without, said in another way than `satisfies` says it: by what the domain has published.
fn allowed(demand: Demand, facts: &Facts<'_>, reached: Reached) -> bool {
    let dane = matches!(facts.dane, Dane::Records(records) if any_usable(records));
    let tlsa = matches!(facts.dane, Dane::Records(_));
    let enforce = facts.sts.is_some_and(|policy| policy.mode == StsMode::Enforce);
    let vouched = reached.encrypted && reached.proof > Proof::None;
    let policy = match demand.policy {
        TlsPolicy::None | TlsPolicy::May => true,
        TlsPolicy::Encrypt => reached.encrypted,
        TlsPolicy::Verify => reached.encrypted && reached.proof == Proof::Names,
        TlsPolicy::Dane | TlsPolicy::Sts if matches!(facts.dane, Dane::Unknown(_)) => false,
        TlsPolicy::Dane | TlsPolicy::Sts if dane => reached.encrypted && reached.proof == Proof::Dane,
        TlsPolicy::Dane | TlsPolicy::Sts if tlsa => reached.encrypted,
        TlsPolicy::Dane => true,
        TlsPolicy::Sts => !enforce || (reached.encrypted && reached.proof == Proof::Sts),
    };
    match demand.terms {
        TlsTerms::Usual => policy,
        TlsTerms::Required => vouched,
        TlsTerms::Optional => true,
    }
}

proptest! {
    /// Attack 48: whatever a session was made for, no job goes over it that would not have been let over one of its own.
    #[test]
    fn a_session_never_carries_a_stricter_job(
        first in demand(), second in terms(), dane in dane(), sts in sts_policy(), offers: bool, good: bool
    ) {
        // One destination has one policy; what differs is what senders ask for.
        let second = Demand { policy: first.policy, terms: second };
        let facts = facts(&dane, sts.as_ref());
        if let Some(reached) = made(first, &facts, offers, good) {
            prop_assert!(allowed(first, &facts, reached));
            if reached.satisfies(second) {
                prop_assert!(allowed(second, &facts, reached), "{:?} over {:?}", second, reached);
            }
        }
    }

    /// The same where clauses about exchangers give one destination several policies in time.
    #[test]
    fn nor_one_of_another_policy(first in demand(), second in demand(), dane in dane(), offers: bool, good: bool) {
        let facts = facts(&dane, None);
        if let Some(reached) = made(first, &facts, offers, good) && reached.satisfies(second) && dane != Dane::Unknown("servfail".into()) {
            prop_assert!(allowed(second, &facts, reached), "{:?} over {:?}", second, reached);
        }
    }
}

fn demanded(policy: TlsPolicy, terms: TlsTerms) -> Demand {
    Demand { policy, terms }
}

#[test]
fn dane_before_sts_before_may() {
    let enforce = sts(StsMode::Enforce, "*.example.org");
    let usable = Dane::Records(vec![record(3)]);
    let of = |policy, dane: &Dane, sts: Option<&StsPolicy>| {
        let a = assure(demanded(policy, TlsTerms::Usual), &facts(dane, sts)).unwrap();
        (a.rule, a.starttls, a.proof)
    };
    assert_eq!(of(TlsPolicy::Sts, &usable, Some(&enforce)), ("dane", StartTls::Required, Proof::Dane));
    assert_eq!(of(TlsPolicy::Sts, &Dane::Absent, Some(&enforce)), ("sts", StartTls::Required, Proof::Sts));
    assert_eq!(of(TlsPolicy::Dane, &Dane::Absent, None), ("may", StartTls::WhenOffered, Proof::None));
    // Records that nobody can use: TLS, without proof, and MTA-STS has no say.
    assert_eq!(of(TlsPolicy::Sts, &Dane::Records(vec![record(1)]), Some(&enforce)), ("dane", StartTls::Required, Proof::None));
    let testing = sts(StsMode::Testing, "*.example.org");
    assert_eq!(of(TlsPolicy::Sts, &Dane::Absent, Some(&testing)), ("sts-testing", StartTls::WhenOffered, Proof::None));
    assert_eq!(of(TlsPolicy::Encrypt, &usable, None), ("encrypt", StartTls::Required, Proof::None));
}

#[test]
fn whose_fault_it_is() {
    let other = sts(StsMode::Enforce, "mx.other.example");
    let mismatch = assure(demanded(TlsPolicy::Sts, TlsTerms::Usual), &facts(&Dane::Absent, Some(&other))).unwrap_err();
    assert_eq!((mismatch.outcome, mismatch.status.to_string().as_str()), (Outcome::Deferred, "4.7.5"));
    assert!(mismatch.text.contains("example.org's MTA-STS policy does not allow it"), "{}", mismatch.text);
    let bogus = Dane::Unknown("bogus".into());
    assert!(assure(demanded(TlsPolicy::Dane, TlsTerms::Usual), &facts(&bogus, None)).unwrap_err().text.contains("bogus"));
    // TLS-Required: No goes on all the same.
    for (dane, sts) in [(&bogus, None), (&Dane::Absent, Some(&other))] {
        assert_eq!(assure(demanded(TlsPolicy::Sts, TlsTerms::Optional), &facts(dane, sts)).unwrap().rule, "may");
    }
    for policy in [TlsPolicy::None, TlsPolicy::May, TlsPolicy::Encrypt, TlsPolicy::Dane, TlsPolicy::Sts] {
        let verdict = assure(demanded(policy, TlsTerms::Required), &facts(&Dane::Absent, None)).unwrap_err();
        assert_eq!((verdict.outcome, verdict.status.to_string().as_str()), (Outcome::Failed, "5.7.30"), "{policy:?}");
    }
    assert_eq!(assure(demanded(TlsPolicy::Verify, TlsTerms::Required), &facts(&Dane::Absent, None)).unwrap().proof, Proof::Names);
}
