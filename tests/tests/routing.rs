//! Where mail goes, in a running suite: virtual domains, canonical forms, tables of routes, smart hosts, the order of steps;
//! tables that answer late, and tables that do not.

use end_to_end::late::Late;
use end_to_end::sink::Sink;
use end_to_end::wire::Wire;
use end_to_end::{LONG, Suite, files, free_port, wait_until};
use std::fs;

const CONTENT: &str = "Subject: routing\r\n\r\nbody";

/// Mailboxes `mail/DOMAIN/USER`; these sections and inline tables (name, key, value).
fn suite(sections: &str, tables: &[(&str, &[(&str, &str)])]) -> Suite {
    suite_for("\"127.0.0.0/8\", \"::1\"", sections, tables)
}

fn suite_for(networks: &str, sections: &str, tables: &[(&str, &[(&str, &str)])]) -> Suite {
    let builder = Suite::builder();
    let mail = builder.folder().join("mail").display().to_string();
    let mut all = format!(
        "[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"{mail}/%d/%u\"\nusers = \"{mail}/../users\"\n"
    );
    all = all.replace("/mail/../", "/");
    for (name, entries) in tables {
        all.push_str(&format!("[[table]]\nname = \"{name}\"\nkind = \"inline\"\n[table.entries]\n"));
        for (key, value) in *entries {
            all.push_str(&format!("\"{key}\" = \"{value}\"\n"));
        }
    }
    let builder = builder.with(&all).with(&sections.replace("FOLDER", &mail));
    let mut suite = builder.prepare();
    fs::write(suite.path("users"), "joe\nmax\n").unwrap();
    fs::create_dir(suite.path("mail/second")).unwrap();
    let text = fs::read_to_string(suite.config()).unwrap().replace("\"127.0.0.0/8\", \"::1\"", networks);
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    suite
}

/// Messages in a mailbox.
fn delivered(suite: &Suite, mailbox: &str) -> usize {
    files(&suite.path("mail").join(mailbox).join("new")).len()
}

fn send(suite: &Suite, from: &str, to: &str) {
    Wire::hello(suite.port).message(&format!("<{from}>"), &format!("<{to}>"), CONTENT);
}

/// `channel host user` of each place, or the refusal.
fn route(suite: &Suite, from: &str, to: &str) -> String {
    let output = suite.zpost(&["route", to, "--sender", from, "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    if let Some(refused) = answer["refused"].as_str() {
        return refused.to_owned();
    }
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let places = answer["routes"].as_array().unwrap().iter();
    places.map(|q| format!("{} {} {}", text(&q["channel"]), text(&q["host"]), text(&q["user"]))).collect::<Vec<_>>().join("; ")
}

const VIRTUAL: &str =
    "[virtual]\nalias_domains = [\"v.example\"]\naliases = [\"valias\"]\nmailbox_domains = [\"boxes.example\"]\nmailboxes = [\"vbox\"]\n";

#[test]
fn virtual_domains_are_delivered_and_the_unknown_refused() {
    let home = "home=/nowhere";
    let tables: &[(&str, &[(&str, &str)])] = &[
        ("valias", &[("info@v.example", "joe, one@boxes.example"), ("list@boxes.example", "one@boxes.example, two@boxes.example")]),
        ("vbox", &[("one@boxes.example", ""), ("two@boxes.example", home)]),
    ];
    // A stranger: these domains are ours without being in [local] domains.
    let suite = suite_for("\"10.9.9.9\"", VIRTUAL, tables);
    let mut wire = Wire::hello(suite.port);
    wire.say("MAIL FROM:<s@far.example>", "250");
    wire.say("RCPT TO:<nobody@v.example>", "550 5.1.1");
    wire.say("RCPT TO:<nobody@boxes.example>", "550 5.1.1");
    wire.say("RCPT TO:<joe@elsewhere.example>", "550 5.7.1");
    wire.say("RCPT TO:<one%elsewhere.example@boxes.example>", "550 5.1.1");
    wire.say("RSET", "250");
    wire.message("<s@far.example>", "<Info+detail@V.example>", CONTENT);
    wire.message("<s@far.example>", "<list@boxes.example>", CONTENT);
    wire.message("<s@far.example>", "<postmaster@v.example>", CONTENT);
    suite.wait_drained(LONG);
    assert_eq!(delivered(&suite, "local.example/joe"), 1);
    assert_eq!(delivered(&suite, "boxes.example/one"), 2);
    assert_eq!(delivered(&suite, "boxes.example/two"), 1);
    assert_eq!(delivered(&suite, "mta.test.example/postmaster"), 1);
}

#[test]
fn forms_of_addresses_and_ways_by_table_and_sender() {
    let sink = Sink::start();
    let way = format!("smtp!127.0.0.1:{}", sink.port);
    let of_boss = format!("127.0.0.1:{}", sink.port);
    let tables: &[(&str, &[(&str, &str)])] = &[
        ("canon", &[("j.doe@old.example", "joe@local.example")]),
        ("scanon", &[("joe@local.example", "joe.doe@public.example")]),
        ("fqdn", &[("boss@else.example", "max@local.example, boss@else.example")]),
        (
            "ways",
            &[
                ("else.example", &way),
                (".up.example", "error!5.7.27 closed"),
                ("held.example", "hold!admin"),
                ("later.example", "delay!1h"),
                ("plain.example", "max@local.example"),
                ("usual.example", "smtp!"),
                ("named.example", "local!-!joe"),
            ],
        ),
        // By the form that the sender has by then.
        ("smart", &[("joe.doe@public.example", &of_boss)]),
    ];
    let sections = "[routing]\ncanonical = [\"canon\"]\nsender_canonical = [\"scanon\"]\nfqdn_aliases = [\"fqdn\"]\nroutes = [\"ways\"]\n\
                    sender_smart_hosts = [\"smart\"]\nsmart_host = \"[192.0.2.1]\"\n";
    let suite = suite(sections, tables);
    for (from, to, expected) in [
        ("a@b.example", "x@else.example", format!("smtp 127.0.0.1:{} x@else.example", sink.port)),
        ("a@b.example", "x@a.up.example", "550 5.7.27 closed".to_owned()),
        ("a@b.example", "x@held.example", "hold admin x@held.example".to_owned()),
        ("a@b.example", "x@later.example", "hold age:3600s x@later.example".to_owned()),
        ("a@b.example", "x@plain.example", "local - max@local.example".to_owned()),
        ("a@b.example", "x@usual.example", "smtp usual.example x@usual.example".to_owned()),
        ("a@b.example", "x@named.example", "local - joe@named.example".to_owned()),
        ("a@b.example", "x@other.example", "smtp [192.0.2.1] x@other.example".to_owned()),
        ("joe@local.example", "x@other.example", format!("smtp {of_boss} x@other.example")),
        ("a@b.example", "j.doe@old.example", "local - joe@local.example".to_owned()),
    ] {
        assert_eq!(route(&suite, from, to), expected, "{from} {to}");
    }
    send(&suite, "joe@local.example", "boss@else.example");
    send(&suite, "s@far.example", "J.Doe@old.example");
    send(&suite, "s@far.example", "x@plain.example");
    suite.wait_drained(LONG);
    assert_eq!((delivered(&suite, "local.example/joe"), delivered(&suite, "local.example/max")), (1, 2));
    wait_until("the sink has it", LONG, || !sink.messages().is_empty());
    assert_eq!(sink.headers("X-Mail-Args"), ["<joe.doe@public.example>"].map(str::to_owned), "the sender's other form");
    let explained = String::from_utf8(suite.zpost(&["route", "x@plain.example", "--explain"]).stdout).unwrap();
    assert!(explained.contains("routes: plain.example in ways"), "{explained}");
}

#[test]
fn steps_may_be_left_out_and_what_is_left_is_unresolvable() {
    let suite = suite("[routing]\norder = [\"local\", \"this_host\"]\nunresolvable = \"error!5.4.4 not from here\"\n", &[]);
    assert_eq!(route(&suite, "", "x@far.example"), "550 5.4.4 not from here");
    assert_eq!(route(&suite, "", "joe@local.example"), "local - joe@local.example");
    let output = suite.zpost(&["config", "check"]);
    assert!(output.status.success());
    let wrong = fs::read_to_string(suite.config()).unwrap().replace("\"this_host\"", "\"this_hots\"");
    fs::write(suite.path("wrong.toml"), wrong).unwrap();
    let output = suite.zpost(&["--config", suite.path("wrong.toml").to_str().unwrap(), "config", "check"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("this_host"), "{output:?}");
}

fn table_at(port: u16) -> String {
    format!(
        "[[table]]\nname = \"late\"\nkind = \"socketmap\"\nservers = [\"127.0.0.1:{port}\"]\nmap = \"v\"\ntimeout = \"60s\"\n\
         [virtual]\nalias_domains = [\"v.example\"]\naliases = [\"late\"]\n"
    )
}

#[test]
fn mail_that_waits_for_a_table_keeps_no_other_waiting() {
    late("");
}

/// A thread for each volume, and tables of its own.
#[test]
fn nor_does_it_with_several_volumes() {
    late("[[volume]]\nname = \"second\"\npath = \"FOLDER/second\"\n");
}

fn late(volume: &str) {
    let slow = Late::start("OK joe@local.example");
    // Nothing of this is to end because the machine is slow.
    let patient = "[routing]\ndeadline = \"70s\"\nanswer_timeout = \"80s\"\n[server]\nhelper_timeout = \"90s\"\n";
    let suite = suite(&format!("{patient}{}{volume}", table_at(slow.port)), &[]);
    // A file, for which nobody waits, and a question.
    for n in 0..40 {
        let text = "from <s@far.example>\nto <a@v.example>\nenv-end\nSubject: x\n\nbody\n";
        fs::write(suite.postoffice("public").join(format!("late{n}")), text).unwrap();
        fs::rename(suite.postoffice("public").join(format!("late{n}")), suite.postoffice("router").join(format!("late{n}"))).unwrap();
    }
    wait_until("all are parked", LONG, || suite.counter("router", "parked_now") == 40);
    let mut asking = Wire::hello(suite.port);
    asking.say("MAIL FROM:<s@far.example>", "250");
    asking.send("RCPT TO:<b@v.example>\r\n");
    wait_until("the question waits too", LONG, || suite.counter("router", "parked_now") == 41);
    send(&suite, "s@far.example", "max@local.example");
    wait_until("others are delivered", LONG, || delivered(&suite, "local.example/max") == 1);
    assert_eq!(delivered(&suite, "local.example/joe"), 0);
    slow.open();
    asking.hear("250");
    suite.wait_drained(LONG);
    assert_eq!(delivered(&suite, "local.example/joe"), 40);
    assert_eq!(suite.counter("router", "parked_now"), 0);
}

#[test]
fn a_table_that_is_away_holds_mail_and_bounces_none() {
    unanswered(free_port(), || {});
}

/// Its own patience is longer than that of decisions.
#[test]
fn a_table_that_says_nothing_holds_mail_and_bounces_none() {
    let late = Late::start("OK joe@local.example");
    unanswered(late.port, || late.open());
}

/// `end`: before the suite stops.
fn unanswered(port: u16, end: impl FnOnce()) {
    let mut suite = suite(&format!("[routing]\ndeadline = \"2s\"\n{}", table_at(port)), &[]);
    let mut wire = Wire::hello(suite.port);
    wire.say("MAIL FROM:<joe@local.example>", "250");
    wire.say("RCPT TO:<a@v.example>", "451");
    // An open session would keep the suite from stopping.
    drop(wire);
    let text = "from <joe@local.example>\nto <a@v.example>\nenv-end\nSubject: x\n\nbody\n";
    fs::write(suite.postoffice("public/m"), text).unwrap();
    fs::rename(suite.postoffice("public/m"), suite.postoffice("router/m")).unwrap();
    let held = || suite.json(&["queue", "--channel", "hold"]).as_array().is_some_and(|list| list.len() == 1);
    wait_until("it is held", LONG, held);
    let queue = suite.json(&["queue"]).to_string();
    assert!(queue.contains("table:late/"), "the condition names the table: {queue}");
    assert_eq!(delivered(&suite, "local.example/joe"), 0, "nothing has bounced");
    end();
    assert_eq!(suite.stop(), Some(0));
}

#[test]
fn a_router_that_dies_with_parked_mail_loses_none() {
    let slow = Late::start("OK joe@local.example");
    let suite = suite(&format!("[routing]\ndeadline = \"70s\"\n{}", table_at(slow.port)), &[]);
    for n in 0..5 {
        let text = "from <s@far.example>\nto <a@v.example>\nenv-end\nSubject: x\n\nbody\n";
        fs::write(suite.postoffice("public").join(format!("late{n}")), text).unwrap();
        fs::rename(suite.postoffice("public").join(format!("late{n}")), suite.postoffice("router").join(format!("late{n}"))).unwrap();
    }
    wait_until("all are parked", LONG, || suite.counter("router", "parked_now") == 5);
    for (service, pid) in suite.pids() {
        if service == "router" {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }
    slow.open();
    suite.wait_drained(LONG);
    assert_eq!(delivered(&suite, "local.example/joe"), 5);
}

/// Domains that only tables know: a stranger reaches them, and nothing else.
#[test]
fn a_stranger_reaches_domains_of_tables_and_no_others() {
    let tables: &[(&str, &[(&str, &str)])] = &[
        ("locals", &[("table.example", "yes")]),
        ("relays", &[("passed.example", "yes")]),
        ("vdomains", &[("w.example", "")]),
        ("valias", &[("a@w.example", "max")]),
    ];
    let sections = "[routing]\nlocal_domains = [\"locals\"]\nrelay_domains = [\"relays\"]\n[virtual]\nalias_domain_tables = [\"vdomains\"]\naliases = [\"valias\"]\n";
    let suite = suite_for("\"10.9.9.9\"", sections, tables);
    let mut wire = Wire::hello(suite.port);
    wire.say("MAIL FROM:<s@far.example>", "250");
    for (to, reply) in [
        ("joe@table.example", "250"),
        ("nobody@table.example", "550 5.1.1"),
        ("anybody@passed.example", "250"),
        ("a@w.example", "250"),
        ("b@w.example", "550 5.1.1"),
        ("joe@elsewhere.example", "550 5.7.1"),
        ("joe@x.table.example", "550 5.7.1"),
        ("joe%elsewhere.example@table.example", "550 5.1.1"),
        ("elsewhere.example!joe@table.example", "550 5.1.1"),
        ("joe@[203.0.113.1]", "550 5.7.1"),
    ] {
        wire.say(&format!("RCPT TO:<{to}>"), reply);
    }
    let away = suite_for(
        "\"10.9.9.9\"",
        "[routing]\nlocal_domains = [\"gone\"]\n[[table]]\nname = \"gone\"\nkind = \"text\"\nfile = \"FOLDER/never\"\n",
        &[],
    );
    let mut wire = Wire::hello(away.port);
    wire.say("MAIL FROM:<s@far.example>", "250");
    wire.say("RCPT TO:<joe@elsewhere.example>", "451");
    wire.say("RCPT TO:<joe@local.example>", "250");
}

/// Attack 42: lists that name themselves, and lists within lists without end.
#[test]
fn aliases_without_end_are_refused() {
    let suite = suite("[lists]\nmax_recipients = 1000\n", &[]);
    let folder = suite.path("lists");
    fs::create_dir(&folder).unwrap();
    for n in 0..10_000 {
        fs::write(folder.join(format!("{n}")), format!(":include:{}/{}\n", folder.display(), n + 1)).unwrap();
    }
    fs::write(folder.join("itself"), format!(":include:{}/itself\n", folder.display())).unwrap();
    fs::write(folder.join("huge"), (0..1001).map(|n| format!("u{n}@far.example\n")).collect::<String>()).unwrap();
    let aliases = suite.path("aliases");
    let text = format!(
        "self: self\nring: gnir\ngnir: ring\ndeep: :include:{0}/0\nloop: :include:{0}/itself\nhuge: :include:{0}/huge\n{1}",
        folder.display(),
        (0..10_000).map(|n| format!("n{n}: n{}\n", n + 1)).collect::<String>()
    );
    fs::write(&aliases, text).unwrap();
    let config = fs::read_to_string(suite.config()).unwrap();
    let line = format!("aliases = [\"{}\"]\nusers = ", aliases.display());
    fs::write(suite.config(), config.replacen("users = ", &line, 1)).unwrap();
    suite.give_away();
    assert!(suite.zpost(&["reload"]).status.success());
    for (name, code) in [
        ("self", "550 5.4.6"),
        ("ring", "550 5.4.6"),
        ("deep", "550 5.4.6"),
        ("loop", "550 5.4.6"),
        ("n0", "550 5.4.6"),
        ("huge", "550 5.2.4"),
    ] {
        wait_until(&format!("{name} is refused"), LONG, || route(&suite, "", &format!("{name}@local.example")).starts_with(code));
    }
    send(&suite, "s@far.example", "joe@local.example");
    wait_until("the routers live", LONG, || delivered(&suite, "local.example/joe") == 1);
}
