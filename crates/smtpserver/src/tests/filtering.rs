use super::site::{Plan, Site, filter};
use settings::FailMode;

fn filtered(settings: &mut settings::Settings) {
    settings.filter.program = vec!["/bin/judge".into()];
}

#[test]
fn the_filter_decides() {
    let mut site = Site::new(Plan { filter: Some(filter()), change: Some(filtered), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    let long = "x\r\n".repeat(200_000);
    for filler in ["", long.as_str()] {
        for (word, code) in
            [("reject", "550 5.7.1 not wanted"), ("defer", "451 4.7.1 cannot say"), ("freeze", "250 2.0.0"), ("fine", "250 2.0.0")]
        {
            client.begin("x@y.example");
            client.say(&format!("A: b\r\n\r\n{filler}{word}\r\n."), code);
        }
    }
    let frozen = site.files("freezer");
    assert_eq!(frozen.iter().filter(|n| n.ends_with(".reason")).count(), 2, "{frozen:?}");
    assert_eq!(frozen.len(), 4);
    for name in site.files("router") {
        assert!(site.named("router", &name).1.ends_with("fine\n"));
    }
    assert_eq!(site.files("router").len(), 2);
    client.say("QUIT", "221");
    let (code, folder) = site.drain();
    assert_eq!((code, super::site::files(folder.path(), "public").len()), (0, 0));
}

#[test]
fn without_filter_the_fail_mode_holds() {
    for (mode, code) in [(FailMode::Defer, "451 4.7.1"), (FailMode::Reject, "550 5.7.1"), (FailMode::Accept, "250 2.0.0")] {
        let change = match mode {
            FailMode::Defer => filtered,
            FailMode::Reject => |s: &mut settings::Settings| {
                filtered(s);
                s.filter.failure = FailMode::Reject;
            },
            FailMode::Accept => |s: &mut settings::Settings| {
                filtered(s);
                s.filter.failure = FailMode::Accept;
            },
        };
        let mut site = Site::new(Plan { change: Some(change), ..Plan::default() });
        let mut client = site.client();
        client.hello();
        client.begin("x@y.example");
        client.say("x\r\n.", code);
    }
}

/// As [`filtered`], with recipients that take everything.
fn exempting(settings: &mut settings::Settings) {
    let text = "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mx.example\"\n\
                [[access]]\nrecipient = [\"abuse@\", \"postmaster@\"]\nfilter = false\nverify_recipient = false\n\
                [[access]]\nverify_recipient = false\n";
    filtered(settings);
    settings.access = settings::parse(text, "t").unwrap().access;
}

fn recipients(site: &Site, name: &str) -> Vec<String> {
    site.named("router", name).0.recipients.iter().map(|r| r.address.to_string()).collect()
}

const LONG: usize = 200_000;

#[test]
fn with_prdr_the_filter_decides_for_each_recipient() {
    let mut site = Site::new(Plan { filter: Some(filter()), change: Some(exempting), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    let long = "x\r\n".repeat(LONG);
    for (word, filler, code) in [
        ("reject", "", "550 5.7.1 not wanted"),
        ("defer", &*long, "451 4.7.1 cannot say"),
        ("freeze", "", "452 4.5.3 for this"),
        ("reject", &long, "550 5.7.1 not wanted"),
    ] {
        client.say("MAIL FROM:<x@y.example> PRDR", "250 2.1.0");
        for to in ["a", "abuse", "b", "postmaster"] {
            client.say(&format!("RCPT TO:<{to}@local.example>"), "250 2.1.5");
        }
        client.say("DATA", "354");
        client.say(&format!("A: b\r\n\r\n{filler}{word}\r\n."), "353 ");
        for expected in [code, "250 2.0.0", code, "250 2.0.0", "250 2.0.0 ok for 2 of 4 recipients, queued as "] {
            client.hear(expected);
        }
    }
    assert_eq!(site.files("freezer"), [""; 0]);
    let names = site.files("router");
    assert_eq!(names.len(), 4);
    for name in names {
        assert_eq!(recipients(&site, &name), ["abuse@local.example", "postmaster@local.example"]);
    }
    // What the filter takes is for all of them, and what policy sets aside too.
    client.say("MAIL FROM:<x@y.example> PRDR", "250 2.1.0");
    for to in ["a", "abuse"] {
        client.say(&format!("RCPT TO:<{to}@local.example>"), "250 2.1.5");
    }
    client.say("DATA", "354");
    client.say("A: b\r\n\r\nfine\r\n.", "250 2.0.0 ok queued as ");
    let last = site.files("router").iter().map(|name| recipients(&site, name)).find(|to| to.contains(&"a@local.example".into()));
    assert_eq!(last.unwrap(), ["abuse@local.example", "a@local.example"]);
    assert_eq!(site.counters.read_row(0, "smtpserver").iter().find(|(name, _)| *name == "partly_accepted").unwrap().1, 4);
    client.say("QUIT", "221");
    let (code, folder) = site.drain();
    assert_eq!((code, super::site::files(folder.path(), "public").len()), (0, 0));
}

#[test]
fn lmtp_and_clients_without_prdr() {
    let mut site = Site::new(Plan { filter: Some(filter()), change: Some(exempting), ..Plan::default() });
    let mut client = site.client_with(1, None, b"");
    client.hear("220");
    client.say("LHLO c.example", "250");
    client.say("MAIL FROM:<x@y.example>", "250");
    for to in ["abuse", "a"] {
        client.say(&format!("RCPT TO:<{to}@local.example>"), "250");
    }
    client.say("DATA", "354");
    client.say("A: b\r\n\r\nreject\r\n.", "250 2.0.0 ok queued as ");
    client.hear("550 5.7.1 not wanted");
    let names = site.files("router");
    assert_eq!(names.len(), 1);
    assert_eq!(recipients(&site, &names[0]), ["abuse@local.example"]);
    let mut client = site.client();
    client.hello();
    for (first, second) in [("a", "abuse"), ("abuse", "a")] {
        client.say("MAIL FROM:<x@y.example>", "250");
        client.say(&format!("RCPT TO:<{first}@local.example>"), "250");
        client.say(&format!("RCPT TO:<{second}@local.example>"), "452 4.5.3 ");
        client.say("DATA", "354");
        client.say("A: b\r\n\r\nreject\r\n.", if first == "a" { "550 5.7.1" } else { "250 2.0.0" });
    }
    assert_eq!(site.files("router").len(), 2);
}

/// The filter that does not answer is as one that refuses: for those it has a say about.
#[test]
fn without_filter_some_have_their_mail() {
    let mut site = Site::new(Plan { change: Some(exempting), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.say("MAIL FROM:<x@y.example> PRDR", "250");
    for to in ["a", "abuse"] {
        client.say(&format!("RCPT TO:<{to}@local.example>"), "250");
    }
    client.say("DATA", "354");
    client.say("x\r\n.", "353");
    for expected in ["451 4.7.1", "250 2.0.0", "250 2.0.0 ok for 1 of 2"] {
        client.hear(expected);
    }
}
