//! Every file in tests/dialogues: a server's script, and what the agent must report.
use super::agent::{Agent, client};
use super::server::serve;
use std::time::Duration;

/// `expect OUTCOME STATUS TEXT` for each recipient; `recipients a@x b@x` when there are others than `a@x`;
/// `policy WORD` for TLS; `timeout` when the script is about waiting; `config ...` a line of the configuration; `eight` for a message in
/// 8BITMIME; `===` between the scripts of two connections.
fn run(name: &str, text: &str) {
    let directive = |word: &str| text.lines().filter_map(|l| l.strip_prefix(word)).map(str::trim).collect::<Vec<_>>();
    let recipients = directive("recipients ").first().map_or(vec!["a@x"], |r| r.split(' ').collect());
    let script: String = text
        .lines()
        .filter(|l| !["expect ", "recipients ", "timeout", "policy ", "config ", "eight"].iter().any(|d| l.starts_with(d)))
        .map(|l| format!("{l}\n"))
        .collect();
    let mut settings = client();
    if text.lines().any(|l| l == "timeout") {
        let short = Duration::from_millis(100);
        settings.greeting_timeout = short;
        settings.mail_timeout = short;
        settings.final_timeout = short;
        settings.reply_deadline = short;
    }
    let (host, server) = serve(script.split("===\n").map(str::to_owned).collect());
    let clause = directive("policy ").first().map_or(String::new(), |word| format!("[[destination]]\ntls = \"{word}\"\n"));
    let mut agent = Agent::secured(settings, Default::default(), None, None, &format!("{clause}{}", directive("config ").join("\n")));
    let eight = text.lines().any(|l| l == "eight");
    if eight {
        agent.bodytype = envelope::BodyType::EightBit;
    }
    let content = if eight { "Subject: x\n\ngr\u{fc}n\n" } else { "Subject: x\n\n.hello\n" };
    agent.send(1, "smtp", &host, &recipients, content.as_bytes());
    let results = agent.results(1, recipients.len());
    for (result, expected) in results.iter().zip(directive("expect ")) {
        let mut words = expected.splitn(3, ' ');
        assert_eq!(format!("{:?}", result.outcome).to_lowercase(), words.next().unwrap(), "{name}: {}", result.text);
        assert_eq!(result.status.to_string(), words.next().unwrap(), "{name}: {}", result.text);
        let part = words.next().unwrap_or_default();
        assert!(result.text.contains(part), "{name}: {:?} lacks {part:?}", result.text);
        assert!(result.text.len() <= 512 && !result.text.chars().any(char::is_control), "{name}");
    }
    agent.drain();
    server.join().unwrap();
}

#[test]
fn every_dialogue() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogues");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        run(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        count += 1;
    }
    assert!(count >= 30, "{count} dialogues");
}
