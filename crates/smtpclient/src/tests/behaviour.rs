//! Destinations, several addresses, reuse, size, drain.
use super::agent::{Agent, client, resolver};
use super::server::{play, serve};
use ipc::agents::Handed;
use ipc::dns::{Answer, MailHost, MailHosts, Question, Trouble};
use nexthop::Ourselves;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::Duration;

const OPEN: &str = "S: 220 mx\nC: EHLO\nS: 250-mx\\r\\n250 PIPELINING\n";
const MESSAGE: &str = "C: MAIL\nC: RCPT\nC: DATA\nS: 250 a\\r\\n250 b\\r\\n354 c\ncontent\nS: 250 2.0.0 taken\n";

fn port(host: &str) -> u16 {
    host.rsplit(':').next().unwrap().parse().unwrap()
}

fn exchangers(hosts: Vec<MailHost>) -> Answer {
    Answer::MailHosts(MailHosts { hosts, secure: false })
}

fn mx(preference: u16, name: &str, ips: &[&str]) -> MailHost {
    MailHost { preference, name: name.into(), addresses: ips.iter().map(|ip| ip.parse().unwrap()).collect(), secure: false }
}

#[test]
fn two_messages_over_one_session_and_quit_at_drain() {
    let (host, server) = serve(vec![format!("{OPEN}{MESSAGE}{MESSAGE}C: QUIT\nS: 221 bye")]);
    let mut agent = Agent::start(client());
    for (job, content) in [(1, "one\n"), (2, "two\n")] {
        agent.send(job, "smtp", &host, &["a@x"], content.as_bytes());
        assert_eq!(agent.result(job), ("Delivered 2.0.0".into(), "250 2.0.0 taken".into()));
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    assert!(server.join().unwrap()[0].ends_with("two\r\n.\r\nQUIT\r\n"));
}

#[test]
fn credits_come_back() {
    let (host, _server) = serve(vec![format!("{OPEN}{}", MESSAGE.repeat(20))]);
    let mut agent = Agent::start(client());
    for job in 0..20 {
        agent.send(job, "smtp", &host, &["a@x"], b"x\n");
        agent.result(job);
    }
    // All but an eighth, which waits for company.
    assert!(agent.credits >= 38, "{}", agent.credits);
}

#[test]
fn a_session_that_died_idle_is_replaced_without_a_deferral() {
    let (host, server) =
        serve(vec![format!("{OPEN}{MESSAGE}S: 421 idle\nclose"), format!("{OPEN}{MESSAGE}"), format!("{OPEN}C: MAIL\nclose")]);
    let mut agent = Agent::start(client());
    for job in [1, 2] {
        agent.send(job, "smtp", &host, &["a@x"], b"x\n");
        assert_eq!(agent.result(job).0, "Delivered 2.0.0");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    drop(server);
}

#[test]
fn messages_per_session_is_kept() {
    let script = format!("{OPEN}{MESSAGE}C: QUIT\nS: 221 bye");
    let (host, server) = serve(vec![script.clone(), script]);
    let mut agent = Agent::start(settings::Client { messages_per_session: 1, ..client() });
    for job in [1, 2] {
        agent.send(job, "smtp", &host, &["a@x"], b"x\n");
        assert_eq!(agent.result(job).0, "Delivered 2.0.0");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    assert_eq!(server.join().unwrap().len(), 2);
}

/// Jobs ahead: one session, however many jobs are here; and as many messages in it as the job says.
#[test]
fn jobs_beyond_the_sessions_of_a_site_wait_for_one() {
    let script = format!("{OPEN}{}C: QUIT\nS: 221 bye", MESSAGE.repeat(3));
    let (host, server) = serve(vec![script.clone(), script]);
    let mut agent = Agent::start(client());
    agent.sharing = ipc::agents::Sharing { site: 7, sessions: 1, messages: 3 };
    for job in 0..6 {
        agent.send(job, "smtp", &host, &["a@x"], b"x\n");
    }
    for job in 0..6 {
        assert_eq!(agent.result(job).0, "Delivered 2.0.0");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    assert_eq!(server.join().unwrap().len(), 2);
}

/// A server that cannot be reached is not tried for each job that waits for it.
#[test]
fn what_waits_for_a_dead_server_shares_the_reason() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut agent = Agent::start(client());
    agent.sharing = ipc::agents::Sharing { site: 7, sessions: 1, messages: 0 };
    for job in 0..4 {
        agent.send(job, "smtp", &host, &["a@x"], b"x\n");
    }
    for job in 0..4 {
        assert_eq!(agent.result(job).0, "Deferred 4.4.1");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
}

#[test]
fn exchangers_are_tried_in_order_and_refusals_pass_over() {
    let (refusing, first) = serve(vec!["S: 421 busy".into()]);
    let target = port(&refusing);
    let listener = TcpListener::bind(("127.0.0.2", target)).unwrap();
    let second = std::thread::spawn(move || play(&format!("{OPEN}{MESSAGE}"), listener.accept().unwrap().0));
    // 127.0.0.3 has no listener, 127.0.0.1 greets with 421, 127.0.0.2 takes it.
    let answer = move |_: &Question| Ok(exchangers(vec![mx(5, "no", &["127.0.0.3", "127.0.0.1"]), mx(10, "yes", &["127.0.0.2"])]));
    let mut agent = Agent::with(client(), Ourselves::default(), Some(resolver(answer)));
    agent.send(1, "smtp", &format!("x.example:{target}"), &["a@x"], b"x\n");
    let result = agent.results(1, 1).remove(0);
    assert_eq!((result.text.as_str(), result.remote), ("250 2.0.0 taken", format!("yes [127.0.0.2]:{target}")));
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    first.join().unwrap();
    second.join().unwrap();
}

#[test]
fn lookups_that_end_badly() {
    let (host, _server) = serve(vec![]);
    let own = host.parse().unwrap();
    let ourselves = Ourselves { names: vec!["me.example".into()], listeners: vec![own], addresses: vec![] };
    let answer = move |question: &Question| match question {
        Question::MailHosts { domain, .. } if domain == "null.example" => Err(Trouble::NullMx),
        Question::MailHosts { domain, .. } if domain == "no.example" => Err(Trouble::NoSuchName),
        Question::MailHosts { domain, .. } if domain == "slow.example" => Err(Trouble::Temporary("SERVFAIL".into())),
        Question::MailHosts { domain, .. } if domain == "loop.example" => {
            Ok(exchangers(vec![mx(10, "other", &["::ffff:127.0.0.1"]), mx(10, "b", &["127.0.0.2"])]))
        }
        _ => Ok(exchangers(vec![mx(10, "me.example", &["127.0.0.2"])])),
    };
    let mut agent = Agent::with(settings::Client { port: own.port(), ..client() }, ourselves, Some(resolver(answer)));
    for (job, host, expected) in [
        (1, "null.example", "Failed 5.1.10"),
        (2, "no.example", "Failed 5.1.2"),
        (3, "slow.example", "Deferred 4.4.3"),
        (4, "loop.example", "Failed 5.4.6"),
        (5, "named.example", "Failed 5.4.6"),
        (6, &host, "Failed 5.4.6"),
        (7, "a b", "Failed 5.1.2"),
        (8, "127.0.0.9", "Deferred 4.4.1"),
    ] {
        agent.send(job, "smtp", host, &["a@x"], b"x\n");
        assert_eq!(agent.result(job).0, expected, "{host}");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
}

#[test]
fn without_resolver_a_domain_is_deferred() {
    let mut agent = Agent::start(client());
    agent.send(1, "smtp", "x.example", &["a@x"], b"x\n");
    assert_eq!(agent.result(1).0, "Deferred 4.4.3");
}

#[test]
fn lmtp_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let listener = UnixListener::bind(&path).unwrap();
    let script = "S: 220 mx\nC: LHLO me.example\nS: 250-mx\\r\\n250 PIPELINING\nC: MAIL\nC: RCPT\nC: RCPT\nC: DATA
        S: 250 a\\r\\n250 b\\r\\n250 b\\r\\n354 c\ncontent\nS: 250 2.1.5 one\\r\\n452 4.2.2 two";
    let server = std::thread::spawn(move || play(script, listener.accept().unwrap().0));
    let mut agent = Agent::start(client());
    agent.send(1, "lmtp", &format!("unix:{}", path.display()), &["a@x", "b@x"], b"x\n");
    let results = agent.results(1, 2);
    assert_eq!(results.iter().map(|r| r.status.to_string()).collect::<Vec<_>>(), ["2.1.5", "4.2.2"]);
    assert_eq!(results[0].remote, path.display().to_string());
    assert_eq!(results[0].handed, Handed::Delivered);
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    server.join().unwrap();
}

#[test]
fn who_reports_further_goes_by_what_the_server_offers() {
    for (offer, handed) in [("250-mx\\r\\n250-DSN\\r\\n250 PIPELINING", Handed::Passed), ("250-mx\\r\\n250 PIPELINING", Handed::Relayed)] {
        let (host, _server) = serve(vec![format!("S: 220 mx\nC: EHLO\nS: {offer}\n{MESSAGE}")]);
        let mut agent = Agent::start(client());
        agent.send(1, "smtp", &host, &["a@x"], b"x\n");
        assert_eq!(agent.results(1, 1)[0].handed, handed);
        agent.drain();
    }
}

#[test]
fn a_large_message_arrives_whole() {
    let content = ".line of the message\n".repeat(100_000);
    let (host, server) = serve(vec![format!("{OPEN}{MESSAGE}")]);
    let mut agent = Agent::start(client());
    agent.send(1, "smtp", &host, &["a@x"], content.as_bytes());
    assert_eq!(agent.result(1).0, "Delivered 2.0.0");
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    let heard = server.join().unwrap().remove(0);
    let wire = format!("DATA\r\n{}.\r\nQUIT\r\n", content.replace("\n", "\r\n").replace(".line", "..line"));
    assert!(heard.ends_with(&wire));
}

#[test]
fn messages_that_the_disk_must_be_asked_for_arrive_whole() {
    let large = "a line of the message\n".repeat(10_000);
    let (host, server) = serve(vec![format!("{OPEN}{MESSAGE}{MESSAGE}")]);
    let mut agent = Agent::start(client());
    agent.cold = true;
    for (job, content) in [(1, "small\n"), (2, large.as_str())] {
        agent.send(job, "smtp", &host, &["a@x"], content.as_bytes());
        assert_eq!(agent.result(job).0, "Delivered 2.0.0");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    assert!(server.join().unwrap()[0].contains(&format!("DATA\r\n{}.\r\n", large.replace("\n", "\r\n"))));
}

#[test]
fn a_trickling_server_meets_the_overall_deadline() {
    let (host, server) = serve(vec!["flood 1000000 2\nstall".into(), format!("{OPEN}C: MAIL\nstall")]);
    let short = Duration::from_millis(100);
    let mut agent = Agent::start(settings::Client { reply_deadline: short, ..client() });
    agent.send(1, "smtp", &host, &["a@x"], b"x\n");
    assert_eq!(agent.result(1).0, "Deferred 4.4.2");
    agent.send(2, "smtp", &host, &["a@x"], b"x\n");
    let (status, text) = agent.result(2);
    assert!(status == "Deferred 4.4.2" && text.contains("timed out"), "{text}");
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    server.join().unwrap();
}

#[test]
fn an_agent_without_scheduler_ends() {
    assert_eq!(Agent::start(client()).orphan(), ExitCode::SUCCESS);
}

#[test]
fn what_sessions_learn_is_reported() {
    let open = "S: 220 mx\nC: EHLO\nS: 250-mx\\r\\n250-LIMITS MAILMAX=2 RCPTMAX=50\\r\\n250 PIPELINING\n";
    let (host, server) =
        serve(vec![format!("{open}{MESSAGE}{MESSAGE}C: QUIT\nS: 221 bye"), "S: 421 4.7.0 too many connections\nclose".into()]);
    let mut agent = Agent::start(client());
    let mut learned = Vec::new();
    for job in [1, 2, 3] {
        agent.send(job, "smtp", &host, &["a@x"], b"x\n");
        learned.push(agent.learned(job));
    }
    assert_eq!((learned[0].mail_max, learned[0].rcpt_max, learned[0].greeted, learned[0].reused), (Some(2), Some(50), true, false));
    assert!(learned[1].reused && !learned[1].crowded);
    assert!(learned[2].crowded && !learned[2].greeted);
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    // Two messages are this server's limit: the session ended by itself.
    assert!(server.join().unwrap()[0].ends_with("QUIT\r\n"));
}

#[test]
fn another_domain_of_the_same_exchanger_takes_the_session_that_is_there() {
    let (host, server) = serve(vec![format!("{OPEN}{MESSAGE}{MESSAGE}C: QUIT\nS: 221 bye")]);
    let port = port(&host);
    let mut settings = client();
    settings.port = port;
    let answer = |_: &Question| Ok(exchangers(vec![mx(10, "mx.big", &["127.0.0.1"])]));
    let mut agent = Agent::with(settings, Ourselves::default(), Some(resolver(answer)));
    for (job, domain) in [(1, "a.example"), (2, "b.example")] {
        agent.send(job, "smtp", domain, &["a@x"], b"x\n");
        assert_eq!(agent.result(job).0, "Delivered 2.0.0");
    }
    assert_eq!(agent.drain(), ExitCode::SUCCESS);
    assert!(server.join().unwrap()[0].ends_with("QUIT\r\n"));
}

#[test]
fn a_proxy_that_refuses_is_known_at_once() {
    use std::io::{Read, Write};
    for answer in [&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0][..], &[]] {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let more = format!(
            "[[source]]\npool = \"p\"\naddress = \"192.0.2.1\"\nproxy = \"socks5://{}\"\n[[channel]]\nsource = \"p\"\n",
            proxy.local_addr().unwrap()
        );
        std::thread::spawn(move || {
            let mut stream = proxy.accept().unwrap().0;
            stream.read_exact(&mut [0; 3]).unwrap();
            stream.write_all(&[5, 0]).unwrap();
            stream.read_exact(&mut [0; 10]).unwrap();
            stream.write_all(answer).unwrap();
        });
        let mut agent = Agent::secured(client(), Ourselves::default(), None, None, &more);
        agent.send(1, "smtp", "198.51.100.7", &["a@x"], b"x\n");
        // Every timeout of the client is longer than the test's patience.
        let (result, text) = agent.result(1);
        assert!(result == "Deferred 4.4.1" && text.contains("the proxy"), "{result} {text}");
    }
}
