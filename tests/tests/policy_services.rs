//! Policy services of others over Postfix's policy delegation protocol, unchanged: postgrey, and policyd-spf started for
//! each connection as Postfix's spawn(8) does; and next hops that are asked about recipients.

use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::services::{Running, folder, spawned};
use end_to_end::{LONG, Sink, Suite, free_port, wait_until};
use nix::unistd::Uid;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

const POSTGREY: &str = "/usr/sbin/postgrey";
const POLICYD_SPF: &str = "/usr/bin/policyd-spf";
const CONTENT: &[u8] = b"Subject: hello\r\n\r\nbody\r\n";
/// Not among the addresses that policyd-spf is told to pass over.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

fn service(name: &str, server: &str) -> String {
    format!(
        "[[policy_service]]\nname = \"{name}\"\nserver = \"{server}\"\n\
         [[access]]\nclient = [\"127.0.0.0/8\"]\npolicy_services = [\"{name}\"]\n"
    )
}

/// The reply to RCPT, or to the end of the message where RCPT was taken.
fn send(port: u16, sender: &str, recipient: &str) -> (u16, String) {
    let (mut session, greeting) = Session::open_from(CLIENT, port).unwrap();
    assert_eq!(greeting, 220);
    for command in ["EHLO client.example".to_owned(), format!("MAIL FROM:<{sender}>")] {
        let (code, text) = session.command(&command).unwrap();
        assert_eq!(code, 250, "{command} {text}");
    }
    let taken = session.command(&format!("RCPT TO:<{recipient}>")).unwrap();
    if taken.0 != 250 {
        return taken;
    }
    assert_eq!(session.command("DATA").unwrap().0, 354);
    session.send(&[CONTENT, b".\r\n"].concat()).unwrap();
    session.reply().unwrap()
}

fn postgrey(port: u16, folder: &Path) -> Running {
    let (user, group) = if Uid::effective().is_root() { ("nobody", "nogroup") } else { ("", "") };
    let mut command = Command::new(POSTGREY);
    command.arg(format!("--inet=127.0.0.1:{port}")).arg(format!("--dbdir={}", folder.display()));
    if !user.is_empty() {
        command.arg(format!("--user={user}")).arg(format!("--group={group}"));
    }
    command.args(["--delay=1", "--auto-whitelist-clients=0"]).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

#[test]
fn postgrey_defers_and_then_lets_pass_with_its_header() {
    if !Path::new(POSTGREY).exists() {
        return;
    }
    let (folder, port, sink) = (folder(), free_port(), Sink::start());
    let suite = Suite::builder().relaying_to(sink.port).with(&service("grey", &format!("127.0.0.1:{port}"))).start();
    // Nobody there yet: later, not accepted, and not refused for good.
    let (code, text) = send(suite.port, "a@example.net", "b@example.org");
    assert_eq!(code, 451, "{text}");
    let _postgrey = postgrey(port, folder.path());
    let mut said = (0, String::new());
    wait_until("postgrey to answer", LONG, || {
        said = send(suite.port, "a@example.net", "b@example.org");
        said.0 != 451
    });
    assert!(said.0 == 450 && said.1.contains("Greylisted"), "{said:?}");
    wait_until("the delay to be over", LONG, || {
        said = send(suite.port, "a@example.net", "b@example.org");
        said.0 == 250
    });
    wait_until("the message at the sink", LONG, || sink.messages().len() == 1);
    let headers = sink.headers("X-Greylist");
    assert!(headers.iter().any(|header| header.contains("delayed")), "{headers:?}");
    assert!(suite.counter("delegate", "answered") >= 2);
}

/// policyd-spf, which asks this name server.
fn policyd_spf(folder: &Path, name_server: u16) -> String {
    let settings = folder.join("policyd-spf.conf");
    fs::write(
        &settings,
        "debugLevel = 0\nTestOnly = 1\nHELO_reject = False\nMail_From_reject = Fail\nPermError_reject = False\nTempError_Defer = False\n\
         skip_addresses = ::1\n",
    )
    .unwrap();
    // The program is Debian's; only its DNS library (dnspython where it is installed, else pydns) is told where our name
    // server is, instead of resolv.conf.
    let libraries = format!(
        "try:\n    import dns.resolver\n    ours = dns.resolver.Resolver(configure=False)\n    ours.nameservers, ours.port = ['127.0.0.1'], {name_server}\n    \
         dns.resolver.default_resolver = ours\nexcept ImportError:\n    import DNS\n    DNS.DiscoverNameServers = lambda: None\n    \
         DNS.defaults['server'], DNS.defaults['port'] = ['127.0.0.1'], {name_server}\n"
    );
    fs::write(folder.join("sitecustomize.py"), libraries).unwrap();
    let path = folder.to_owned();
    spawned(folder, move || {
        let mut command = Command::new(POLICYD_SPF);
        command.arg(&settings).env("PYTHONPATH", &path);
        command
    })
}

#[test]
fn policyd_spf_refuses_and_marks() {
    if !Path::new(POLICYD_SPF).exists() {
        return;
    }
    let names = NameServer::start(|name| match name {
        "fails.example" => Some(vec![Record::Txt("v=spf1 ip4:192.0.2.1 -all".into())]),
        "passes.example" => Some(vec![Record::Txt(format!("v=spf1 ip4:{CLIENT} -all"))]),
        _ => None,
    });
    let (folder, sink) = (folder(), Sink::start());
    let server = policyd_spf(folder.path(), names.port);
    let suite = Suite::builder().relaying_to(sink.port).with(&service("spf", &server)).start();
    let (code, text) = send(suite.port, "a@fails.example", "b@example.org");
    assert!(code == 550 && text.contains("5.7.23"), "{code} {text}");
    let (code, text) = send(suite.port, "a@passes.example", "b@example.org");
    assert_eq!(code, 250, "{text}");
    wait_until("the message at the sink", LONG, || sink.messages().len() == 1);
    let headers = sink.headers("Received-SPF");
    assert!(headers.iter().any(|header| header.to_ascii_lowercase().contains("pass")), "{headers:?}");
}

/// `[call_ahead]`: whom the next hop refuses we refuse, with its words; a next hop that is away keeps nobody off.
#[test]
fn the_next_hop_is_asked_before_a_recipient_is_taken() {
    let (taking, refusing) = (Sink::start(), Sink::with(&["-f", "RCPT"]));
    let away = free_port();
    let route = |domain: &str, port: u16| format!("[[route]]\ndomain = \"{domain}\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{port}\"\n");
    let suite = Suite::builder()
        .with(&route("takes.example", taking.port))
        .with(&route("refuses.example", refusing.port))
        .with(&route("away.example", away))
        .with(&route("other.example", refusing.port))
        .with("[call_ahead]\ndomains = [\"takes.example\", \"refuses.example\", \"away.example\"]\ntimeout = \"5s\"\n")
        .start();
    for (domain, expected) in [("takes.example", 250), ("refuses.example", 550), ("away.example", 250), ("other.example", 250)] {
        for _ in 0..2 {
            let (code, text) = send(suite.port, "a@example.net", &format!("b@{domain}"));
            assert_eq!(code / 100, expected / 100, "{domain}: {code} {text}");
        }
    }
    // What is known is not asked again, and of other domains nothing is asked.
    assert_eq!((suite.counter("callahead", "questions"), suite.counter("callahead", "cache_hits")), (6, 3));
    wait_until("the messages at the sink", LONG, || taking.messages().len() == 2);
}

/// What a next hop has said is known after a restart, and after a kill what it said a moment before that.
#[test]
fn the_next_hop_is_not_asked_again_after_a_restart() {
    let refusing = Sink::with(&["-f", "RCPT"]);
    let mut suite = Suite::builder()
        .with(&format!("[[route]]\ndomain = \"refuses.example\"\nchannel = \"smtp\"\nhost = \"127.0.0.1:{}\"\n", refusing.port))
        .with("[call_ahead]\ndomains = [\"refuses.example\"]\ntimeout = \"5s\"\n[log]\nlevel = \"debug\"\n")
        .start();
    let (code, text) = send(suite.port, "a@example.net", "b@refuses.example");
    assert_eq!(code / 100, 5, "{text}");
    let answers = suite.postoffice("callahead/answers");
    wait_until("the answer is written", LONG, || fs::read_to_string(&answers).is_ok_and(|text| text.contains("b@refuses.example")));
    let callahead = |suite: &Suite| suite.pids().into_iter().find(|(name, _)| name == "callahead").map(|(_, pid)| pid);
    let old = callahead(&suite).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(old).unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("another callahead runs", LONG, || callahead(&suite).is_some_and(|pid| pid != old));
    // It may be asked before it answers: then the recipient counts as unknown, and is taken.
    let mut told = (0, String::new());
    wait_until("it says what it knows", LONG, || {
        told = send(suite.port, "a@example.net", "b@refuses.example");
        told.0 / 100 == 5
    });
    assert_eq!(told, (code, text.clone()));
    suite.stop();
    drop(refusing);
    suite.start();
    let again = send(suite.port, "a@example.net", "b@refuses.example");
    assert_eq!(again, (code, text), "the next hop is away: who knows its answer?");
    assert_eq!(suite.counter("callahead", "cache_hits"), 1);
}
