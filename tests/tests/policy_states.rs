//! Policy services at every state of a session: postfwd as it is, and one that writes down what it is asked; and what our own
//! evaluation of SPF leaves in the message.

use end_to_end::clients::{run_with, usable};
use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::services::{Question, Scripted, folder, spawned};
use end_to_end::wire::Wire;
use end_to_end::{LONG, Sink, Suite, free_port, wait_until};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

const POSTFWD: &str = "/usr/sbin/postfwd1";
const ALL: &str = "states = [\"connect\", \"helo\", \"mail\", \"rcpt\", \"data\", \"end-of-message\"]\n";

fn service(server: &str, states: &str) -> String {
    format!(
        "[[policy_service]]\nname = \"all\"\nserver = \"{server}\"\n{states}[[access]]\nclient = [\"127.0.0.0/8\"]\npolicy_services = [\"all\"]\n"
    )
}

/// The first reply that refuses, or the last one.
fn send(suite: &Suite, last: u8, hello: &str, recipients: &[&str], body: &str) -> String {
    let (mut session, code) = Session::open_from(Ipv4Addr::new(127, 0, 0, last), suite.port).unwrap();
    if code != 220 {
        return code.to_string();
    }
    let mut lines = vec![format!("EHLO {hello}"), "MAIL FROM:<a@far.example>".to_owned()];
    lines.extend(recipients.iter().map(|to| format!("RCPT TO:<{to}@sink.example>")));
    lines.push("DATA".to_owned());
    lines.push(format!("Subject: x\r\n\r\n{body}\r\n."));
    let mut said = String::new();
    for line in lines {
        let (code, text) = session.command(&line).unwrap();
        said = text.lines().last().unwrap_or_default().to_owned();
        if code >= 400 {
            break;
        }
    }
    said
}

#[test]
fn postfwd_decides_at_each_state() {
    if !Path::new(POSTFWD).exists() {
        eprintln!("SKIPPED: no {POSTFWD} (postfwd)");
        return;
    }
    let (folder, sink) = (folder(), Sink::start());
    let rules = folder.path().join("rules");
    fs::write(
        &rules,
        "id=C; protocol_state==CONNECT; client_address==127.0.0.9; action=521 5.7.1 not from there\n\
         id=H; protocol_state=~(EHLO|HELO); helo_name==bad.example; action=554 5.7.1 no such name\n\
         id=D; protocol_state==DATA; recipient_count=>2; action=450 4.7.1 one at a time\n\
         id=E; protocol_state==END-OF-MESSAGE; size=>1000; action=554 5.7.1 too much for $$recipient_count\n",
    )
    .unwrap();
    let server = spawned(folder.path(), move || {
        let mut command = Command::new(POSTFWD);
        command.arg("-f").arg(&rules).arg("-n");
        command
    });
    let suite = Suite::builder().relaying_to(sink.port).with(&service(&server, ALL)).start();
    assert_eq!(send(&suite, 9, "c.example", &["a"], "x"), "521");
    assert_eq!(send(&suite, 2, "bad.example", &["a"], "x"), "554 5.7.1 no such name");
    assert_eq!(send(&suite, 2, "c.example", &["a", "b"], "x"), "450 4.7.1 one at a time");
    for large in [5_000, 600_000] {
        let body = "0123456789\r\n".repeat(large / 12);
        assert_eq!(send(&suite, 2, "c.example", &["a"], &body), "554 5.7.1 too much for 1");
    }
    let said = send(&suite, 2, "c.example", &["a"], "x");
    assert!(said.starts_with("250 2.0.0 ok queued as "), "{said}");
    wait_until("the message at the sink", LONG, || sink.messages().len() == 1);
    suite.wait_drained(LONG);
    assert_eq!((sink.messages().len(), suite.counter("smtpserver", "messages")), (1, 1));
}

fn of<'q>(question: &'q Question, name: &str) -> &'q str {
    question.get(name).map_or("none", String::as_str)
}

#[test]
fn a_service_is_told_what_is_known_at_each_state() {
    let service_of_ours = Scripted::start(|question| match of(question, "protocol_state") {
        "DATA" => "PREPEND X-Seen: at data".into(),
        "END-OF-MESSAGE" if of(question, "sender") == "held@far.example" => "HOLD look at it".into(),
        _ => "DUNNO".into(),
    });
    let sink = Sink::start();
    let server = format!("127.0.0.1:{}", service_of_ours.port);
    let suite = Suite::builder().relaying_to(sink.port).with(&service(&server, ALL)).start();
    let mut client = Wire::hello(suite.port);
    client.say("MAIL FROM:<a@far.example> SIZE=77", "250");
    for to in ["one", "two"] {
        client.say(&format!("RCPT TO:<{to}@sink.example>"), "250");
    }
    client.chunk(b"Subject: x\r\n\r\n0123456789\r\n", true);
    client.hear("250 2.0.0 ok queued as ");
    let id = client.message("<held@far.example>", "<three@sink.example>", "Subject: y\r\n\r\nx");
    client.say("QUIT", "221");
    let asked = service_of_ours.asked();
    let told = |names: &[&str]| -> Vec<String> {
        asked.iter().map(|question| names.iter().map(|name| of(question, name)).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(
        told(&["protocol_state", "helo_name", "sender", "recipient", "recipient_count", "size"]),
        [
            "CONNECT    0 0",
            "EHLO client.example   0 0",
            "MAIL client.example a@far.example  0 77",
            "RCPT client.example a@far.example one@sink.example 0 77",
            "RCPT client.example a@far.example two@sink.example 0 77",
            "DATA client.example a@far.example  2 77",
            "END-OF-MESSAGE client.example a@far.example  2 23",
            "MAIL client.example held@far.example  0 0",
            "RCPT client.example held@far.example three@sink.example 0 0",
            "DATA client.example held@far.example three@sink.example 1 0",
            "END-OF-MESSAGE client.example held@far.example three@sink.example 1 14",
        ]
    );
    let ends = told(&["client_address", "server_address", "server_port", "encryption_protocol", "encryption_keysize"]);
    assert!(ends.iter().all(|said| *said == format!("127.0.0.1 127.0.0.1 {}  0", suite.port)), "{ends:?}");
    assert!(told(&["client_port"]).iter().all(|port| port.parse::<u16>().is_ok()), "{:?}", told(&["client_port"]));
    // One message, one instance; the id of the last is the one the client was told.
    let instances = told(&["instance"]);
    assert!(instances[2..7].iter().all(|instance| *instance == instances[2]) && instances[7] != instances[2], "{instances:?}");
    assert_eq!(told(&["queue_id"])[10], id);
    wait_until("the message at the sink", LONG, || sink.messages().len() == 1);
    assert_eq!(sink.headers("X-Seen"), ["at data"]);
    assert!(suite.postoffice(&format!("freezer/{id}")).exists(), "held");
}

#[test]
fn tls_is_told_as_postfix_tells_it() {
    if !usable(&["swaks"]) {
        return;
    }
    let (watching, sink) = (Scripted::start(|_| "DUNNO".into()), Sink::start());
    let server = format!("127.0.0.1:{}", watching.port);
    let rules = service(&server, "states = [\"mail\"]\n");
    let suite = Suite::builder().with_certificate("one", &["localhost"]).relaying_to(sink.port).with(&rules).start();
    let mut swaks = Command::new("swaks");
    swaks.args(["--server", "127.0.0.1", "--port", &suite.port.to_string(), "--tls", "--from", "a@far.example", "--to", "b@sink.example"]);
    let (good, text) = run_with(&mut swaks, b"");
    assert!(good, "{text}");
    let asked = watching.asked();
    let said = ["encryption_protocol", "encryption_cipher", "encryption_keysize"].map(|name| of(&asked[0], name).to_owned());
    assert!(said[0] == "TLSv1.3" && said[1].starts_with("TLS_") && ["128", "256"].contains(&said[2].as_str()), "{said:?}");
}

/// What is away defers where it is asked, and nowhere else.
#[test]
fn a_service_that_is_away_defers_at_its_states() {
    let sink = Sink::start();
    for (state, expected) in [("connect", "451"), ("helo", "451 4.3.5 "), ("data", "451 4.3.5 "), ("end-of-message", "451 4.3.5 ")] {
        let server = format!("127.0.0.1:{}", free_port());
        let suite = Suite::builder().relaying_to(sink.port).with(&service(&server, &format!("states = [\"{state}\"]\n"))).start();
        let said = send(&suite, 2, "c.example", &["a"], "x");
        assert!(said.starts_with(expected), "{state}: {said}");
        assert_eq!(suite.counter("smtpserver", "messages"), 0);
    }
}

/// A result is at the top, in our words only, and nothing that a client says gets out of its quotes.
#[test]
fn results_of_spf_are_recorded() {
    let names = NameServer::start(|name| match name {
        "passes.example" => Some(vec![Record::Txt("v=spf1 ip4:127.0.0.2 -all".into())]),
        _ => None,
    });
    let sink = Sink::start();
    let rules = "[[access]]\n[access.spf]\nfail = \"refuse\"\n";
    let sections = format!("[first_contact]\nexempt = []\n{}{rules}", names.section());
    let mut suite = Suite::builder().relaying_to(sink.port).with(&sections).prepare();
    let text = fs::read_to_string(suite.config()).unwrap();
    let text = text.replace("[\"127.0.0.0/8\", \"::1\"]", "[\"127.0.0.99\"]\ndomains = [\"sink.example\"]");
    fs::write(suite.config(), text).unwrap();
    suite.start();
    let mut said = Vec::new();
    for (last, sender) in
        [(2, "\"x\\\"; identity=helo\"@passes.example"), (3, "a@passes.example"), (99, "a@passes.example"), (3, "a@none.example")]
    {
        let (mut session, _) = Session::open_from(Ipv4Addr::new(127, 0, 0, last), suite.port).unwrap();
        session.command("EHLO [127.0.0.2]").unwrap();
        let theirs = b"Received-SPF: pass\r\n\tidentity=forged\r\nSubject: x\r\n\r\nx\r\n";
        said.push(session.message(sender, &["u@sink.example"], theirs).unwrap().0);
    }
    // Refused at RCPT: DATA has nobody.
    assert_eq!(said, [250, 554, 250, 250]);
    wait_until("the messages at the sink", LONG, || sink.messages().len() == 3);
    let mut ours = Vec::new();
    for message in sink.messages() {
        let text = String::from_utf8_lossy(&message).into_owned();
        let header = text.split("\n\n").next().unwrap_or_default().to_owned();
        let at = header.find("Received-SPF: ").unwrap();
        let received = header.find("Received: from [127.0.0.2] ").unwrap();
        assert!(header.contains("identity=forged"), "what a client writes stays: {header}");
        // Above our own trace, or only the client's, far below it.
        ours.push(if at < received { header[at..received].replace('\n', "").replace('\t', " ") } else { String::new() });
    }
    ours.sort();
    let expected = [
        "",
        "Received-SPF: none receiver=mta.test.example; client-ip=127.0.0.3; envelope-from=\"a@none.example\"; helo=\"[127.0.0.2]\"; identity=mailfrom",
        "Received-SPF: pass receiver=mta.test.example; client-ip=127.0.0.2; envelope-from=\"\\\"x\\\\\\\"; identity=helo\\\"@passes.example\"; \
         helo=\"[127.0.0.2]\"; identity=mailfrom",
    ];
    assert_eq!(ours, expected);
}
