//! DNSSEC, DANE and MTA-STS in a DNS world of our own: zones signed with ldns, served by nsd, validated by unbound for
//! those who trust its AD bit.

use end_to_end::zone::{Kind, World};
use end_to_end::{LONG, programs};
use ipc::dns::{Answer, Ask, MailHosts, Question, Told, Trouble};
use ipc::master::{Start, ToChild, ToMaster};
use ipc::{Caller, Channel};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The real resolver process; the test plays the master.
struct Resolver {
    master: Channel<ToChild, ToMaster>,
    questions: Channel<Ask, Told>,
    /// As the master does: without it the contact point would close.
    _caller: Caller,
    child: Child,
    number: u64,
}

impl Resolver {
    fn start(dns: &str) -> Self {
        let mut config = tempfile::tempfile().unwrap();
        write!(config, "[paths]\npostoffice = \"/nowhere\"\n[identity]\nhostname = \"mta.test.example\"\n[log]\nto = \"stderr\"\n{dns}")
            .unwrap();
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let (calling, serving) = ipc::channel::pair().unwrap();
        let child = Command::new(programs().join("resolver")).stdin(Stdio::from(theirs)).spawn().unwrap();
        let mut master: Channel<ToChild, ToMaster> = Channel::new(ours).unwrap();
        let start = Start {
            service: "resolver".into(),
            index: 0,
            generation: 0,
            counter_row: 0,
            config_path: "test.toml".into(),
            names: vec!["config".into(), "counters".into(), "serve".into()],
            channel: String::new(),
        };
        master.send_with(&ToChild::Start(start), vec![config.into(), daemon::Counters::create_table().unwrap(), serving]).unwrap();
        assert!(matches!(master.recv_by(Instant::now() + LONG).unwrap().0, ToMaster::Ready));
        let caller = Caller::new(calling).unwrap();
        Self { master, questions: caller.call().unwrap(), _caller: caller, child, number: 0 }
    }

    fn ask(&mut self, question: Question) -> Result<Answer, Trouble> {
        self.number += 1;
        self.questions.send(&Ask { number: self.number, question }).unwrap();
        self.questions.recv_by(Instant::now() + LONG).unwrap().0.answer
    }

    fn hosts(&mut self, domain: &str) -> Result<MailHosts, Trouble> {
        self.ask(Question::MailHosts { domain: domain.into(), validate: true }).map(|answer| match answer {
            Answer::MailHosts(hosts) => hosts,
            other => panic!("{other:?}"),
        })
    }

    /// Is the domain secure, and its first host?
    fn secure(&mut self, domain: &str) -> (bool, bool) {
        let hosts = self.hosts(domain).unwrap_or_else(|trouble| panic!("{domain}: {trouble:?}"));
        (hosts.secure, hosts.hosts[0].secure)
    }

    fn tlsa(&mut self, host: &str) -> Result<Vec<(u8, Vec<u8>)>, Trouble> {
        self.ask(Question::Tlsa { host: host.into(), port: 25 }).map(|answer| match answer {
            Answer::Tlsa(list) => list.into_iter().map(|record| (record.usage, record.data)).collect(),
            other => panic!("{other:?}"),
        })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.master.send(&ToChild::Drain);
        let _ = self.child.wait();
    }
}

fn world() -> World {
    let flood: String = (0..400).map(|n| format!("_25._tcp.flood IN TLSA 3 1 1 {n:064x}\n")).collect();
    World::new()
        .zone(
            "good.test",
            Kind::Signed,
            &format!(
                "@ IN MX 10 mx\n@ IN TXT \"hello\"\nmx IN A 127.0.0.1\n_25._tcp.mx IN TLSA 3 1 1 {digest}\n\
                 host IN A 127.0.0.1\nalias IN CNAME host\nloop1 IN CNAME loop2\nloop2 IN CNAME loop1\n\
                 out IN MX 10 mx.plain.test.\nto-plain IN CNAME www.plain.test.\nto-bad IN MX 10 mx.bad.test.\n\
                 _25._tcp.other IN CNAME _25._tcp.mx\nother IN A 127.0.0.1\nstrange IN MX 10 none\n_25._tcp.strange IN TLSA 3 1 1 00\n\
                 _25._tcp.long IN TLSA 255 255 0 {long}\nnull IN MX 0 .\n{flood}",
                digest = "ab".repeat(32),
                long = "cd".repeat(3000)
            ),
        )
        .zone("plain.test", Kind::Unsigned, "@ IN MX 10 mx\nmx IN A 127.0.0.2\n_25._tcp.mx IN TLSA 3 1 1 00ff\nwww IN A 127.0.0.3\n")
        .zone("bad.test", Kind::Broken, "@ IN MX 10 mx\nmx IN A 127.0.0.4\n_25._tcp.mx IN TLSA 3 1 1 00ff\nonly IN A 127.0.0.5\n")
        .serve()
}

/// What must hold whoever validates.
fn check(resolver: &mut Resolver) {
    assert_eq!(resolver.secure("good.test"), (true, true));
    assert_eq!(resolver.tlsa("mx.good.test").unwrap(), [(3, vec![0xab; 32])]);
    // No MX: the domain is its own host; by an alias too.
    assert_eq!(resolver.secure("host.good.test"), (true, true));
    assert_eq!(resolver.secure("alias.good.test"), (true, true));
    // One step that is not proven is enough.
    assert_eq!(resolver.secure("out.good.test"), (true, false));
    assert_eq!(resolver.secure("to-plain.good.test"), (false, false));
    assert_eq!(resolver.secure("plain.test"), (false, false));
    assert_eq!(resolver.tlsa("mx.plain.test"), Err(Trouble::NoRecords));
    // Forged, all of it or the part that counts.
    for domain in ["bad.test", "to-bad.good.test", "only.bad.test"] {
        let trouble = resolver.hosts(domain).map(|hosts| panic!("{domain}: {hosts:?}")).unwrap_err();
        assert!(matches!(trouble, Trouble::Temporary(_)), "{domain}: {trouble:?}");
    }
    assert!(matches!(resolver.tlsa("mx.bad.test"), Err(Trouble::Temporary(_))));
    // An alias of the record, and a proven absence.
    assert_eq!(resolver.tlsa("other.good.test").unwrap().len(), 1);
    assert!(matches!(resolver.tlsa("host.good.test"), Err(Trouble::NoRecords | Trouble::NoSuchName)));
    assert_eq!(resolver.hosts("nowhere.good.test"), Err(Trouble::NoSuchName));
    assert_eq!(resolver.hosts("null.good.test"), Err(Trouble::NullMx));
    // Hostile records.
    assert_eq!(resolver.tlsa("strange.good.test").unwrap(), [(3, vec![0])]);
    assert_eq!(resolver.tlsa("long.good.test").unwrap(), [(255, vec![0xcd; 3000])]);
    assert_eq!(resolver.tlsa("flood.good.test").unwrap().len(), 100);
    assert!(matches!(resolver.hosts("loop1.good.test"), Err(Trouble::Temporary(_) | Trouble::NoRecords)));
}

#[test]
fn the_resolver_validates() {
    if !World::possible() {
        return;
    }
    let world = world();
    let mut resolver = Resolver::start(&world.dns());
    check(&mut resolver);
    // A plain question asks for no proof.
    let plain = resolver.ask(Question::MailHosts { domain: "bad.test".into(), validate: false });
    assert!(matches!(plain, Ok(Answer::MailHosts(MailHosts { secure: false, .. }))), "{plain:?}");
}

#[test]
fn the_resolver_trusts_a_validating_server() {
    if !World::possible() {
        return;
    }
    let mut world = world();
    let port = world.validator();
    let mut resolver = Resolver::start(&format!("[dns]\nservers = [\"127.0.0.1:{port}\"]\nvalidation = \"trust_ad\"\n"));
    check(&mut resolver);
    // With servers that validate, a forged answer is an error for everybody.
    assert!(matches!(resolver.ask(Question::MailHosts { domain: "bad.test".into(), validate: false }), Err(Trouble::Temporary(_))));
}

#[test]
fn without_validation_nothing_is_secure() {
    if !World::possible() {
        return;
    }
    let world = world();
    let mut resolver = Resolver::start(&(world.dns() + "validation = \"off\"\n"));
    assert_eq!(resolver.secure("good.test"), (false, false));
    assert_eq!(resolver.secure("bad.test"), (false, false));
    assert_eq!(resolver.tlsa("mx.good.test"), Err(Trouble::NoRecords));
    // Servers whose root is not the one trusted prove nothing at all: mail goes on without DANE.
    let mut resolver = Resolver::start(&format!("[dns]\nservers = [\"127.0.0.1:{}\"]\n", world.port));
    assert_eq!(resolver.secure("good.test"), (false, false));
    assert_eq!(resolver.secure("bad.test"), (false, false));
    assert_eq!(resolver.tlsa("mx.good.test"), Err(Trouble::NoRecords));
}
