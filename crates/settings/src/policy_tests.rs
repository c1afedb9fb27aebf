use super::*;

const TEXT: &str = r#"
[paths]
postoffice = "/p"
[identity]
hostname = "mta.example.org"
[queue]
expiry = "3d"
[[channel]]
name = "smtp"
concurrency_most = 20
agents = 4
[[channel]]
name = "smtp/*.slow.example"
concurrency_most = 2
[[destination]]
domain = [".edu", "big.example"]
retry_first = "1m"
ring_most = 7
[[destination]]
mx = ["*.google.com"]
site = "google"
message_rate = "100/1m"
priority = "-3"
[[destination]]
channel = "{smtp,lmtp}"
host = ["mx.partner.example"]
tls = "verify"
hours = "22:00-06:00"
retries = "1 1 2"
"#;

fn policies() -> Policies {
    crate::parse(TEXT, "x").unwrap().policies
}

fn of(channel: &str, host: &str, exchangers: &[&str]) -> Policy {
    let exchangers: Vec<String> = exchangers.iter().map(|name| (*name).to_owned()).collect();
    policies().of(&Place { channel, host, exchangers: &exchangers })
}

#[test]
fn later_clauses_win_key_by_key() {
    let plain = of("smtp", "a.example", &[]);
    assert_eq!((plain.concurrency_most, plain.agents, plain.expiry), (20, 4, Duration::from_secs(3 * 86_400)));
    assert_eq!((of("local", "-", &[]).concurrency_most, of("local", "-", &[]).agents), (50, 2));
    let slow = of("smtp", "a.slow.example", &[]);
    assert_eq!((slow.concurrency_most, slow.agents), (2, 4));
    let edu = of("smtp", "cs.uni.edu", &[]);
    assert_eq!((edu.retry_first, edu.ring.unwrap().1), (Duration::from_secs(60), 7));
    assert_eq!(of("smtp", "big.example", &[]).ring, edu.ring);
    assert_eq!(of("smtp", "edu", &[]).ring, None);
    let partner = of("lmtp", "mx.partner.example", &[]);
    assert_eq!((partner.tls, partner.retries.as_slice()), (TlsPolicy::Verify, &[1.0, 1.0, 2.0][..]));
    assert!(!partner.hours.is_always() && of("x", "mx.partner.example", &[]).hours.is_always());
}

#[test]
fn exchangers_match_only_when_all_do() {
    assert!(policies().look_at_exchangers());
    let rolled = of("smtp", "hosted.example", &["aspmx.l.google.com", "alt1.l.google.com"]);
    assert_eq!((rolled.site.as_str(), rolled.priority, rolled.message_rate.unwrap().count), ("google", -3, 100));
    assert_eq!(of("smtp", "hosted.example", &["aspmx.l.google.com", "other.example"]).site, "");
    assert_eq!(of("smtp", "hosted.example", &[]).site, "");
}

#[test]
fn every_value_says_where_it_came_from() {
    let all = policies().explain(&Place { channel: "smtp", host: "a.slow.example", exchangers: &[] });
    let of = |key: &str| all.iter().find(|e| e.key == key).map(|e| (e.value.as_str(), e.section, e.line)).unwrap();
    assert_eq!(of("concurrency_most"), ("2", Some("channel"), 12));
    assert_eq!(of("agents"), ("4", Some("channel"), 8));
    assert_eq!(of("expiry"), ("\"3d\"", Some("queue"), 7));
    assert_eq!(of("retry_first"), ("\"5m\"", None, 0));
    assert_eq!(of("tls"), ("\"sts\"", None, 0));
    for parameter in DESTINATION {
        assert!(all.iter().any(|e| e.key == parameter.key), "{}", parameter.key);
    }
}

#[test]
fn faults_are_found() {
    for (clause, says) in [
        ("[[destination]]\nhost = [\"{a\"]", "braces"),
        ("[[channel]]\nname = \"smtp/{x\"", "braces"),
        ("[[destination]]\nmessage_rate = \"fast\"", "rate"),
        ("[[destination]]\nhours = \"8-9\"", "hours"),
        ("[[destination]]\npriority = \"11\"", "priority"),
        ("[[destination]]\nretries = \"1 x\"", "factors"),
        ("[[destination]]\ntls = \"always\"", "not one of"),
        ("[[destination]]\nagents = 3", "unknown key"),
    ] {
        let text = format!("[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"m.example\"\n{clause}\n");
        let faults = crate::parse(&text, "x").unwrap_err();
        assert!(faults.iter().any(|fault| fault.text.contains(says)), "{clause}: {faults:?}");
    }
}

#[test]
fn clauses_name_what_exists() {
    let least = "paths.postoffice = \"/p\"\nidentity.hostname = \"h.example\"\n";
    let egress = "[[credentials]]\nname = \"smart\"\nuser = \"me\"\npassword_file = \"/s\"\n\
                  [[source]]\npool = \"a\"\naddress = \"192.0.2.1\"\nweight = 3\nproxy = \"haproxy://192.0.2.9:25\"\n";
    let clause = "[[destination]]\nhost = [\"x\"]\ncredentials = \"smart\"\nsource = \"a\"\n";
    let settings = crate::parse(&format!("{least}{egress}{clause}"), "f").unwrap();
    assert_eq!((settings.credentials.len(), settings.sources.len()), (1, 1));
    assert_eq!(settings.sources[0].proxy, Some(crate::Proxy::HaProxy { address: "192.0.2.9:25".parse().unwrap(), version: 2 }));
    let place = crate::Place { channel: "smtp", host: "x", exchangers: &[] };
    assert_eq!(settings.policies.of(&place).credentials, "smart");
    for (from, to, fault) in [
        ("credentials = \"smart\"", "credentials = \"smarte\"", "did you mean `smart`?"),
        ("source = \"a\"", "source = \"b\"", "no [[source]] has pool"),
        ("address = \"192.0.2.1\"", "address = \"h\"", "is no IP address"),
        ("haproxy://", "http://", "is no proxy"),
        ("password_file = \"/s\"", "password_file = \"s\"", "no absolute path"),
    ] {
        let faults = crate::parse(&format!("{least}{egress}{clause}").replace(from, to), "f").unwrap_err();
        assert!(faults.iter().any(|f| f.text.contains(fault)), "{to}: {faults:?}");
    }
    let route = "[[route]]\ndomain = \"*\"\nchannel = \"smtp\"\nsender = \"";
    assert_eq!(crate::parse(&format!("{least}{route}A@B.example\"\n"), "f").unwrap().routes[0].sender, "a@b.example");
    assert!(crate::parse(&format!("{least}{route}@x\"\n"), "f").is_err());
}

#[test]
fn the_word_about_tls_alone_is_the_same() {
    let policies = policies();
    for (channel, host) in [("lmtp", "mx.partner.example"), ("local", "mx.partner.example"), ("smtp", "a.slow.example"), ("smtp", "x")] {
        let place = Place { channel, host, exchangers: &[] };
        assert_eq!(policies.tls(&place), policies.of(&place).tls, "{channel} {host}");
    }
    let text = format!("{TEXT}\n[[destination]]\nhost = [\"mx.partner.example\"]\ntls_names = [\"a.example\", \"b.example\"]\n");
    let policies = crate::parse(&text, "x").unwrap().policies;
    let policy = policies.of(&Place { channel: "smtp", host: "mx.partner.example", exchangers: &[] });
    assert_eq!((policy.tls, policy.tls_names), (TlsPolicy::Verify, vec!["a.example".to_owned(), "b.example".to_owned()]));
    assert!(of("smtp", "x", &[]).tls_names.is_empty());
}
