//! The configuration from outside: texts in, settings or faults out.

use crate::*;
use proptest::prelude::*;
use std::time::Duration;

/// The smallest configuration of the manual.
const EXAMPLE: &str = r#"
[paths]
postoffice = "/var/spool/zpost"     # the spool root
run        = "/run/zpost"

[identity]
hostname = "mta.example.org"

[[listener]]
kind = "smtp"
bind = "127.0.0.1:2525"

[[listener]]
kind = "lmtp"
bind = "unix:/run/zpost/lmtp"

[relay]
networks = ["127.0.0.0/8", "::1"]

[[route]]
domain  = "sink.example"
channel = "smtp"
host    = "127.0.0.1:2526"

[[route]]
domain  = ".Example.COM"
channel = "error"
host    = "5.1.2 we left"

[local]
domains  = ["local.example"]
delivery = "maildir"
maildir  = "/var/mail/%u/Maildir"
users    = "any"

[dns]
servers = ["127.0.0.1:5353", "::1"]
"#;

/// Everything that must be given.
const LEAST: &str = "paths.postoffice = \"/p\"\nidentity.hostname = \"h.example\"\n";

fn faults(text: &str) -> Vec<String> {
    match parse(text, "zpost.toml") {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(|f| f.display("f")).collect(),
    }
}

/// The single fault of [`LEAST`] and `text`, which starts in line 3.
fn fault(text: &str) -> String {
    let all = faults(&format!("{LEAST}{text}"));
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all[0].clone()
}

#[test]
fn the_manuals_example_means_what_it_says() {
    let s = parse(EXAMPLE, "zpost.toml").unwrap();
    assert_eq!(s.paths.run.to_str(), Some("/run/zpost"));
    assert_eq!(s.paths.log.to_str(), Some("/var/spool/zpost/log"));
    assert_eq!(s.identity.postmaster, "postmaster@mta.example.org");
    assert_eq!(s.listeners[0].bind, Bind::Tcp("127.0.0.1:2525".parse().unwrap()));
    assert_eq!((s.listeners[1].kind, &s.listeners[1].bind), (ListenerKind::Lmtp, &Bind::Unix("/run/zpost/lmtp".into())));
    assert!(s.relay_permits("127.1.2.3".parse().unwrap()) && s.relay_permits("::1".parse().unwrap()));
    assert!(!s.relay_permits("192.0.2.1".parse().unwrap()));
    assert_eq!(s.dns.servers, ["127.0.0.1:5353".parse().unwrap(), "[::1]:53".parse().unwrap()]);
    assert_eq!(s.local.users, UserSource::Any);
    assert_eq!(s.client.hello, "mta.example.org");
}

#[test]
fn routes_and_local_domains_answer() {
    let s = parse(EXAMPLE, "zpost.toml").unwrap();
    assert!(s.is_local_domain("local.example") && !s.is_local_domain("mta.example.org"));
    let route = s.route_for("sink.example").unwrap();
    assert_eq!((route.channel.as_str(), route.host.as_str(), route.line), ("smtp", "127.0.0.1:2526", 20));
    assert_eq!(s.route_for("a.example.com").unwrap().host, "5.1.2 we left");
    assert!(s.route_for("example.com").is_none() && s.route_for("other.example").is_none());
}

#[test]
fn defaults_are_the_documented_ones() {
    let s = parse(LEAST, "zpost.toml").unwrap();
    assert_eq!(s.server.max_message_size, 50 << 20);
    assert_eq!(s.server.command_timeout, Duration::from_secs(300));
    assert_eq!((s.connections.total, s.connections.per_address, s.connections.per_network), (20_000, 100, 1000));
    assert_eq!(s.rates.messages_per_address, None);
    assert_eq!(s.rates.exempt.len(), 2);
    assert_eq!(s.queue.expiry, Duration::from_secs(5 * 86_400));
    assert_eq!(s.local.domains, ["h.example"]);
    assert!(s.processes.smtpserver_max >= 2 && s.processes.routers >= 1);
    assert!(s.relay.networks.is_empty() && s.listeners.is_empty());
    assert_eq!(s.local.detail, "+");
    assert_eq!((s.user_of("router"), s.user_of("ta-mailbox")), ("zpost", "root"));
}

#[test]
fn who_delivers_local_mail() {
    let user = |local: &str, users: &str| {
        let s = parse(&format!("{LEAST}[local]\n{local}\n[users]\n{users}\n"), "f").unwrap();
        s.user_of("ta-mailbox").to_owned()
    };
    assert_eq!(user("", "ta-mailbox = \"vmail\""), "root");
    assert_eq!(user("users = \"any\"\nuser = \"boxes\"", "ta-mailbox = \"vmail\""), "boxes");
    assert_eq!(user("users = \"any\"", "ta-mailbox = \"vmail\""), "vmail");
    assert_eq!(user("users = \"any\"", ""), "zpost");
    assert_eq!(user("delivery = \"lmtp\"\nlmtp = \"unix:/l\"", ""), "zpost");
}

#[test]
fn the_domain_of_users_is_one_that_comes_back_here() {
    let domain = |more: &str| parse(&format!("{LEAST}{more}"), "f").unwrap().users_domain().to_owned();
    assert_eq!(domain(""), "h.example");
    assert_eq!(domain("[local]\ndomains = [\"a.example\", \"h.example\"]\n"), "h.example");
    assert_eq!(domain("[local]\ndomains = [\".b.example\", \"a.example\"]\n"), "a.example");
    assert_eq!(domain("[local]\ndomains = [\".b.example\"]\n"), "h.example");
}

#[test]
fn every_default_of_the_table_is_of_its_kind() {
    for p in table::parameters() {
        assert!(table::SECTIONS.iter().any(|s| s.name == p.section), "{}", p.section);
        assert!(p.doc.ends_with('.'), "{}.{}", p.section, p.key);
        if let Some(default) = p.default {
            value::from_default(p.kind, default).unwrap_or_else(|e| panic!("{}.{}: {e}", p.section, p.key));
        }
    }
}

#[test]
fn values_in_all_their_forms() {
    let s = parse(
        &format!("{LEAST}[queue]\nretry_first = 60\nretry_factor = 2\nexpiry = \"1d 12h\"\n[server]\nmax_message_size = 0x100000\n[bounce]\ndouble_to_postmaster = true\n[users]\nsmtpserver = \"mailin\"\n[processes.environment]\nTZ = \"UTC\"\n[rates]\nmessages_per_address = 1_000"),
        "f",
    )
    .unwrap();
    assert_eq!((s.queue.retry_first, s.queue.expiry), (Duration::from_secs(60), Duration::from_secs(36 * 3600)));
    assert_eq!((s.server.max_message_size, s.rates.messages_per_address), (1 << 20, Some(1000)));
    assert_eq!(s.processes.environment["TZ"], "UTC");
    assert!(s.bounce.double_to_postmaster);
    assert_eq!(s.user_of("smtpserver"), "mailin");
}

#[test]
fn each_fault_says_where_and_what() {
    for (text, expected) in [
        ("[identity]\n", "f:3:2: not TOML: duplicate key"),
        ("[sever]\n", "f:3:2: unknown section `sever`; did you mean [server]?"),
        ("[zebra]\n", "f:3:2: unknown section `zebra`"),
        ("[relay]\nnetwork = []\n", "f:4:1: unknown key `network` in [relay]; did you mean `networks`?"),
        ("[relay]\nexpiry = 1\n", "f:4:1: unknown key `expiry` in [relay]; `expiry` belongs into section [queue]"),
        ("[server]\nbanner = 5\n", "f:4:10: server.banner: expected a text, found integer"),
        ("[queue]\nexpiry = \"5 moons\"\n", "f:4:10: queue.expiry: `5 moons` is no duration"),
        ("[queue]\nio_threads = 0\n", "f:4:14: queue.io_threads: 0 is out of range: 1 to 256"),
        ("[queue]\nio_threads = -1\n", "f:4:14: queue.io_threads: -1 is out of range"),
        ("[queue]\nretry_jitter = nan\n", "f:4:16: queue.retry_jitter: nan is out of range"),
        ("[queue]\nretry_first = \"1d\"\n", "f:4:15: queue.retry_first is greater than queue.retry_longest"),
        ("[relay]\nnetworks = [\"10.0.0.1/8\"]\n", "f:4:12: relay.networks: `10.0.0.1/8` has bits set"),
        ("[relay]\nnetworks = [1]\n", "f:4:12: relay.networks: every element is a text"),
        ("[listener]\n", "f:3:1: listener is written with two brackets"),
        ("[[relay]]\n", "f:3:1: [relay] is a section"),
        ("[[listener]]\nbind = \"localhost:25\"\n", "f:4:8: listener.bind: `localhost:25` is not address:port"),
        ("[[listener]]\nbind = \"127.0.0.1:0\"\n", "f:4:8: listener.bind: port 0"),
        ("[[listener]]\n", "f:3:1: [listener] bind must be given"),
        ("[[listener]]\nkind = \"submissions\"\nbind = \"127.0.0.1:465\"\n", "f:4:8: listener.kind: submissions needs a [[certificate]]"),
        (
            "[[listener]]\nbind = \"127.0.0.1:25\"\nclient_certificates = \"ask\"\n",
            "f:5:23: listener.client_certificates: TLS needs a [[certificate]]",
        ),
        ("[[listener]]\nbind = \"127.0.0.1:25\"\nclient_ca = \"/ca.pem\"\n", "f:5:13: listener.client_ca: has no effect"),
        (
            "[[certificate]]\nchain = \"/c\"\nkey = \"/k\"\n[[listener]]\nbind = \"127.0.0.1:25\"\nclient_certificates = \"require\"\n",
            "f:8:23: listener.client_certificates: no certificate could be known",
        ),
        ("[[client_certificate]]\nfingerprint = \"sha256:00\"\nuser = \"u\"\n", "f:4:15: client_certificate.fingerprint: no SHA-256"),
        (
            "[[client_certificate]]\nfingerprint = \"0000000000000000000000000000000000000000000000000000000000000000\"\nuser = \"\"\n",
            "f:5:8: client_certificate.user: a name is wanted",
        ),
        ("[[listener]]\nbind = \"[::1]:25\"\n[[listener]]\nbind = \"[::1]:25\"\n", "f:6:8: listener.bind: the listener of line 4 has"),
        ("[[route]]\ndomain = \"*\"\n", "f:3:1: [route] channel must be given"),
        ("[[route]]\ndomain = \"*\"\nchannel = \"pipe\"\n", "f:3:1: route.host: there is no [[pipe]] with name `-`"),
        (
            "[[route]]\ndomain = \"*\"\nchannel = \"hold\"\nhost = \"now\"\n",
            "f:6:8: route.host: `now` is none of -, admin, until:SECONDS, retry, retry:REASON",
        ),
        (
            "[users]\nsubmit_group = \"mail\"\nrouter = \"other\"\n",
            "f:5:10: users.router must be users.default where users.submit_group is set: only the owner of router/ may move others' files",
        ),
        ("[[route]]\ndomain = \"*\"\nchannel = \"smpt\"\n", "f:5:11: route.channel: unknown channel `smpt`; did you mean `smtp`?"),
        (
            "[[table]]\nname = \"x\"\nkind = \"sqlit\"\n",
            "f:5:8: table.kind: `sqlit` is not one of inline, text, sorted, aliases, cdb, lmdb, sqlite, regexp, cidr, passwd, group, dns, socketmap, tcp, ldap, postgresql, mysql, chain; did you mean `sqlite`?",
        ),
        ("[[route]]\ndomain = \"*\"\nchannel = \"lmtp\"\n", "f:3:1: route.host must be given for channel lmtp"),
        ("[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nhost = \"a b\"\n", "f:6:8: route.host: `a b` is no next hop"),
        ("[[route]]\ndomain = \"a b\"\nchannel = \"smtp\"\n", "f:4:10: route.domain: `a b` is no domain"),
        ("[local]\ndelivery = \"lmtp\"\n", "f:4:12: local.lmtp must be given"),
        ("[local]\nmaildir = \"/m/%x\"\n", "f:4:11: local.maildir: after % comes"),
        ("[local]\nusers = \"everybody\"\n", "f:4:9: local.users: `everybody` is not `passwd`"),
        ("[log]\nlevel = \"loud\"\n", "f:4:9: log.level: `loud` is not one of error, warning, info, debug"),
        ("[queue]\nchannels = [\"SMS\"]\n", "f:4:12: queue.channels: `SMS`"),
    ] {
        let got = fault(text);
        assert!(got.starts_with(expected), "{text}\n got: {got}\nwant: {expected}");
    }
}

#[test]
fn what_must_be_given_is_missed() {
    assert_eq!(faults("").len(), 2);
    let relative = faults("paths.postoffice = \"spool\"\nidentity.hostname = \"a..b\"\n");
    assert!(relative[0].starts_with("f:1:20: paths.postoffice: `spool` is no absolute path"), "{relative:?}");
    assert!(relative[1].starts_with("f:2:21: identity.hostname: `a..b` is no domain"), "{relative:?}");
}

#[test]
fn all_faults_come_at_once_and_in_order() {
    let all = faults("[[route]]\nchannel = \"nope\"\n[queue]\nio_threads = 1000\nbogus = 1\n");
    let lines: Vec<&str> = all.iter().map(|f| f.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines.len(), 6, "{all:?}");
    assert_eq!(lines[2..], ["1", "2", "4", "5"]);
}

#[test]
fn next_hops_in_all_their_forms() {
    for host in [
        "mx.example",
        "mx.example:2525",
        "[mx.example]",
        "[10.0.0.1]:2526",
        "10.0.0.1",
        "10.0.0.1:25",
        "[::1]",
        "[IPv6:::1]:26",
        "::1",
        "-",
    ] {
        assert_eq!(
            faults(&format!("{LEAST}[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nhost = \"{host}\"\n")),
            Vec::<String>::new(),
            "{host}"
        );
    }
    for host in ["mx.example:0", "mx.example:x", "[10.0.0.1", "[10.0.0.1]x", "unix:/s", ":25", "[]"] {
        fault(&format!("[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nhost = \"{host}\"\n"));
    }
}

#[test]
fn own_channels_may_be_routed_to() {
    assert!(faults(&format!("{LEAST}[queue]\nchannels = [\"sms\"]\n[[route]]\ndomain = \"*\"\nchannel = \"sms\"\n")).is_empty());
}

#[test]
fn the_effective_values_are_a_configuration_of_the_same_meaning() {
    let all = effective(EXAMPLE).unwrap();
    let mut text = String::new();
    let mut last = None;
    for e in all {
        if last != Some((e.section, e.index)) {
            text.push_str(&if e.repeated { format!("[[{}]]\n", e.section) } else { format!("[{}]\n", e.section) });
        }
        last = Some((e.section, e.index));
        text.push_str(&format!("{} = {}\n", e.key, e.value));
    }
    let (mut a, mut b) = (parse(EXAMPLE, "a").unwrap(), parse(&text, "b").unwrap());
    a.routes.iter_mut().chain(&mut b.routes).for_each(|r| r.line = 0);
    // Policies remember lines too; what they say is what counts.
    let place = Place { channel: "smtp", host: "a.example", exchangers: &[] };
    assert_eq!(a.policies.of(&place), b.policies.of(&place));
    (a.policies, b.policies) = Default::default();
    assert_eq!(a, b);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = parse(&text, "f");
    }

    #[test]
    fn no_value_makes_it_panic(which in 0_usize..200, value in "([0-9_.eE+-]{0,12}|\"[^\"\n]{0,24}\"|\\[[^\n]{0,16}\\]|true|\\{a=1\\})") {
        let all: Vec<_> = table::parameters().collect();
        let p = all[which % all.len()];
        let repeated = table::SECTIONS.iter().any(|s| s.name == p.section && s.repeated);
        let head = if repeated { format!("[[{}]]", p.section) } else { format!("[{}]", p.section) };
        let _ = parse(&format!("{head}\n{} = {value}\n", p.key), "f");
    }

    #[test]
    fn damage_anywhere_is_a_fault_and_no_panic(at in 0_usize..700, byte in "[\\x00-\\x7f]") {
        let mut text = EXAMPLE.to_owned();
        if at < text.len() { text.replace_range(at..=at, &byte); }
        let _ = parse(&text, "f");
    }
}

#[test]
fn a_faulty_configuration_still_says_where_the_suite_is() {
    let text = |more: &str| format!("[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mta.example\"\n{more}");
    let (settings, faults) = parse_leniently(&text("[server]\nmax_recipient = 3\nmax_recipients = \"many\"\n[nonsense]\n"));
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!(settings.unwrap().paths.run, std::path::Path::new("/p/run"));
    // Where it lives is not guessed.
    for faulty in ["[paths]\npostoffice = 3\n[identity]\nhostname = \"mta.example\"\n", "paths = 3\n", "not TOML", &text("[[paths]]\n")] {
        let (settings, faults) = parse_leniently(faulty);
        assert!(settings.is_none() && !faults.is_empty(), "{faulty}: {faults:?}");
    }
}

#[test]
fn volumes_have_names_and_folders_of_their_own() {
    let text = |name: &str, path: &str| {
        format!("{LEAST}[[volume]]\nname = \"d2\"\npath = \"/d2\"\nweight = 3\n[[volume]]\nname = \"{name}\"\npath = \"{path}\"\n")
    };
    let good = parse(&text("d3", "/d3"), "f").unwrap();
    assert_eq!(good.volume_weights().collect::<Vec<_>>(), [1, 3, 1]);
    assert_eq!(good.volume_roots().map(|(name, _)| name).collect::<Vec<_>>(), ["d2", "d3"]);
    for (name, path) in [("d2", "/d3"), ("router", "/d3"), ("D3", "/d3"), ("d3", "/d2"), ("d3", "/p")] {
        assert_eq!(faults(&text(name, path)).len(), 1, "{name} {path}");
    }
}

/// What a process that answers for tables could only find out at the first question.
#[test]
fn servers_maps_and_records_of_tables() {
    let table = |more: &str| faults(&format!("{EXAMPLE}\n[[table]]\nname = \"t\"\n{more}\n"));
    for server in ["127.0.0.1:10001", "[::1]:10001", "map.example:25", "unix:/run/map"] {
        assert_eq!(table(&format!("kind = \"tcp\"\nservers = [\"{server}\"]")), Vec::<String>::new());
    }
    for server in ["127.0.0.1", "map.example:", "map.example:0", "map.example:70000", ":25", "unix:map", "::1:25", "inet:a:b:25"] {
        let said = table(&format!("kind = \"tcp\"\nservers = [\"{server}\"]"));
        assert!(said.len() == 1 && said[0].contains("unix:/path"), "{server}: {said:?}");
    }
    let sql = "database = \"m\"\nuser = \"u\"\nquery = \"SELECT %k\"";
    let ldap = "base = \"o=x\"\nfilter = \"(a=%k)\"\nattributes = [\"a\"]";
    for (kind, more, good, bad) in [
        ("mysql", sql, &["db", "db.example:1", "::1", "[::1]:1", "unix:/run/x"][..], &["db:", "db:x", "a b", "mysql://db", "unix:x"][..]),
        ("postgresql", sql, &["127.0.0.1", "unix:/run/postgresql"], &["", "host=db", "db/mail"]),
        (
            "ldap",
            ldap,
            &["ldap://l", "ldaps://l.example:1/", "ldap://[::1]:1", "ldapi:///run/l", "ldapi://%2Frun%2Fl"],
            &["l:389", "ldap://", "http://l", "ldap://l/o=x", "ldapi://l"],
        ),
    ] {
        let faults_of = |server: &str| table(&format!("kind = \"{kind}\"\nservers = [\"{server}\"]\n{more}"));
        for server in good {
            assert_eq!(faults_of(server), Vec::<String>::new(), "{kind} {server}");
        }
        for server in bad {
            let said = faults_of(server);
            assert!(said.len() == 1 && said[0].contains("is none of"), "{kind} {server}: {said:?}");
        }
    }
    let said = table("kind = \"socketmap\"\nmap = \"a b\"\nservers = [\"unix:/run/map\"]");
    assert!(said.len() == 1 && said[0].contains("no spaces"), "{said:?}");
    let said = table("kind = \"dns\"\nrecord = \"mxx\"");
    assert!(said.len() == 1 && said[0].contains("did you mean \"mx\""), "{said:?}");
}
