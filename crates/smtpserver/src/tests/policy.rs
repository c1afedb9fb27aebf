//! Policy at a worker: questions on their way to stand-ins and back, and what holds when none answers.

use super::site::{Dialogue, Plan, Site, accept, contact, files, router};
use ipc::dns::{Answer, Ask, Listed, MailHosts, Question, Told, Trouble};
use ipc::{Caller, Channel};
use settings::Settings;
use std::time::{Duration, Instant};

/// A resolver for which everybody is listed by `bl.example`, and only `known.example` takes mail. `silent`: it never
/// answers.
fn resolver(silent: bool) -> Caller {
    let (caller, point) = contact();
    std::thread::spawn(move || {
        let mut channel: Channel<Told, Ask> = accept(&point);
        while let Ok((Ask { number, question }, _)) = channel.recv_by(Instant::now() + Duration::from_secs(20)) {
            let answer = match question {
                _ if silent => continue,
                Question::List { zone, .. } if zone == "bl.example" => {
                    Ok(Answer::Listed(Listed { codes: vec![[127, 0, 0, 2].into()], text: String::new() }))
                }
                Question::MailHosts { domain, .. } if domain == "known.example" => Ok(Answer::MailHosts(MailHosts::default())),
                _ => Err(Trouble::NoSuchName),
            };
            channel.send(&Told { number, answer }).unwrap();
        }
    });
    caller
}

/// The rules of this text, for a client that is a stranger.
fn rules(settings: &mut Settings, text: &str) {
    let head =
        "[paths]\npostoffice = \"/p\"\n[identity]\nhostname = \"mx.example\"\n[[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n";
    settings.access = settings::parse(&format!("{head}{text}"), "t").unwrap().access;
    settings.relay.networks.clear();
    settings.first_contact.exempt.clear();
}

fn site(change: fn(&mut Settings), silent: bool) -> Site {
    Site::new(Plan { change: Some(change), router: Some(router(0)), resolver: Some(resolver(silent)), ..Plan::default() })
}

fn to_rcpt(client: &mut Dialogue, sender: &str, expected: &str) -> String {
    client.say(&format!("MAIL FROM:<{sender}>"), "250");
    let said = client.say("RCPT TO:<known@local.example>", expected);
    client.say("RSET", "250");
    said
}

#[test]
fn a_listed_client_reaches_postmaster_only() {
    let mut site = site(|settings| rules(settings, "[[dns_list]]\nzone = \"bl.example\"\n"), false);
    let mut client = site.client();
    client.hello();
    assert!(to_rcpt(&mut client, "a@b.example", "550 5.7.1").contains("is listed by bl.example"));
    client.say("MAIL FROM:<a@b.example>", "250");
    client.say("RCPT TO:<postmaster@local.example>", "250");
}

#[test]
fn a_listed_client_is_not_greeted_where_lists_count_there() {
    let mut site = site(|settings| rules(settings, "[[dns_list]]\nzone = \"bl.example\"\n[dns_lists]\nat = \"connect\"\n"), false);
    let mut client = site.client();
    client.hear("550 5.7.1");
    assert_eq!(client.reply(), "");
}

#[test]
fn a_sender_domain_is_looked_up() {
    let mut site = site(|settings| rules(settings, "[[access]]\ncheck_sender_domain = true\n"), false);
    let mut client = site.client();
    client.hello();
    to_rcpt(&mut client, "a@known.example", "250");
    to_rcpt(&mut client, "a@unknown.example", "550 5.1.8");
    // Pipelined: the answers come one after the other, and nothing is lost.
    client.send("MAIL FROM:<a@unknown.example>\r\nRCPT TO:<known@local.example>\r\nRSET\r\nMAIL FROM:<a@known.example>\r\nRCPT TO:<known@local.example>\r\n");
    for code in ["250", "550", "250", "250", "250"] {
        client.hear(code);
    }
}

/// A list that says nothing refuses nobody; a sender's domain that nobody can look up waits.
#[test]
fn a_resolver_that_is_silent_or_away() {
    let change = |settings: &mut Settings| {
        rules(settings, "[[access]]\ncheck_sender_domain = true\n[[dns_list]]\nzone = \"bl.example\"\n");
    };
    let mut site = Site::new(Plan { change: Some(change), router: Some(router(0)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    to_rcpt(&mut client, "a@known.example", "451 4.1.8");
}

#[test]
fn a_client_that_leaves_while_lists_are_asked_leaves_nothing_behind() {
    let mut site = site(|settings| rules(settings, "[[dns_list]]\nzone = \"bl.example\"\n"), true);
    drop(site.client());
    site.wait_for_ends(1);
    drop(site.client());
    site.wait_for_ends(2);
}

#[test]
fn a_rule_freezes_limits_and_relays() {
    let change = |settings: &mut Settings| {
        let text = "[[access]]\nsender = [\"odd@b.example\"]\nfreeze = true\n[[access]]\nsender = [\"big@b.example\"]\nmax_size = 20\n\
                    [[access]]\nrecipient = [\"elsewhere.example\"]\nrelay = true\n";
        rules(settings, text);
    };
    let mut site = site(change, false);
    let mut client = site.client();
    client.hello();
    client.say("MAIL FROM:<odd@b.example>", "250");
    client.say("RCPT TO:<x@elsewhere.example>", "250");
    client.say("RCPT TO:<x@other.example>", "550 5.7.1 relaying denied");
    client.say("DATA", "354");
    client.say("Subject: x\r\n\r\nx\r\n.", "250");
    // The message and why.
    assert_eq!((site.files("freezer").len(), site.files("router").len()), (2, 0));
    client.say("MAIL FROM:<big@b.example> SIZE=21", "552 5.3.4");
    client.say("MAIL FROM:<big@b.example>", "250");
    client.say("RCPT TO:<known@local.example>", "250");
    client.say("DATA", "354");
    client.say("Subject: too large for that\r\n\r\nx\r\n.", "552 5.3.4");
    client.say("RCPT TO:<known@local.example>", "503");
    let (code, folder) = site.drain();
    assert_eq!((code, files(folder.path(), "router").len(), files(folder.path(), "public").len()), (0, 0, 0));
}

/// Strangers, and domains that only a table names.
fn told_by_tables(settings: &mut Settings) {
    settings.relay.networks.clear();
    settings.routing.relay_domains.push("table".to_owned());
    settings.routing.answer_ttl = Duration::from_secs(3600);
}

#[test]
fn whose_a_domain_is_is_asked_once_for_many_recipients() {
    let mut site = Site::new(Plan { change: Some(told_by_tables), router: Some(router(0)), ..Plan::default() });
    for _ in 0..2 {
        let mut client = site.client();
        client.hello();
        client.say("MAIL FROM:<a@b.example>", "250");
        for recipient in ["x@relayed.example", "y@Relayed.Example", "z@relayed.example"] {
            client.say(&format!("RCPT TO:<{recipient}>"), "250");
        }
    }
    let change = |settings: &mut Settings| {
        told_by_tables(settings);
        settings.routing.answer_ttl = Duration::ZERO;
    };
    let mut site = Site::new(Plan { change: Some(change), router: Some(router(0)), ..Plan::default() });
    let mut client = site.client();
    client.hello();
    client.say("MAIL FROM:<a@b.example>", "250");
    client.say("RCPT TO:<x@relayed.example>", "250");
    client.say("RCPT TO:<y@relayed.example>", "550 5.7.1");
}
