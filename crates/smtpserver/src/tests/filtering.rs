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
