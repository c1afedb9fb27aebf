//! A folder of dialogues at a suite, or at a Postfix: all files, cut in all ways, and what was delivered in the end.

use super::Cut;
use super::run::{Difference, play};
use super::script::{Outcome, Script};
use crate::{LONG, Postfix, Sink, Suite, free_port, tls};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Dialogues that send more are not cut into single bytes.
const LARGE: usize = 16 * 1024;
/// Players at a time.
const PLAYERS: usize = 6;

/// Where the dialogues are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dialogues")
}

/// A dialogue's text before it is given a name for its run.
struct Source {
    name: String,
    text: String,
    number: usize,
}

impl Source {
    /// With its bytes cut so, or `None` where that is not for it.
    fn run(&self, cut: Cut) -> Option<(String, Script)> {
        let run = format!("d{:03}{}", self.number, cut.letter());
        let script = Script::parse(&self.name, &self.text, &run).unwrap_or_else(|fault| panic!("{fault}"));
        let fit = cut == Cut::Whole || (!script.whole && (cut != Cut::Bytes || script.size() <= LARGE));
        fit.then_some((run, script))
    }
}

/// The dialogues of a folder, those that `ZPOST_DIALOGUE` names a part of when it is set.
fn sources(folder: &str) -> Vec<Source> {
    let wanted = std::env::var("ZPOST_DIALOGUE").unwrap_or_default();
    let path = root().join(folder);
    let names = crate::files(&path).into_iter().filter(|name| name.ends_with(".smtp")).enumerate();
    names
        .map(|(number, file)| Source { name: format!("{folder}/{file}"), text: fs::read_to_string(path.join(&file)).unwrap(), number })
        .filter(|source| source.name.contains(&wanted))
        .collect()
}

/// What dialogues can want of a suite; those that want the same share one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    config: String,
    listener: Option<String>,
    stranger: bool,
}

/// The suite, and the port to speak to.
fn suite(wish: &Wish, sink: u16) -> (Suite, u16) {
    let keys = tempfile::tempdir().unwrap();
    tls::self_signed(keys.path(), "server");
    let port = free_port();
    let mut builder = Suite::builder().with_maildirs().relaying_to(sink).with(&wish.config).with("CERTIFICATE");
    if let Some(body) = &wish.listener {
        builder = builder.listening(&body.replace("PORT", &port.to_string()));
    }
    // The suite's own folder exists once it is prepared.
    let mut suite = builder.prepare();
    for file in ["server.pem", "server.key"] {
        fs::copy(keys.path().join(file), suite.path(file)).unwrap();
    }
    let file = |name: &str| suite.path(name).display().to_string();
    let section = format!("[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n", file("server.pem"), file("server.key"));
    let mut text = fs::read_to_string(suite.config()).unwrap().replace("CERTIFICATE", &section);
    if wish.stranger {
        text = text.replace("\"127.0.0.0/8\", \"::1\"", "\"10.9.9.9\"");
    }
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    let port = if wish.listener.is_some() { port } else { suite.port };
    (suite, port)
}

/// Plays every dialogue of `folder` at a suite of ours in every cut; panics with all that went wrong.
pub fn at_suite(folder: &str) {
    let mut by_wish: BTreeMap<Wish, Vec<Source>> = BTreeMap::new();
    for source in sources(folder) {
        let script = Script::parse(&source.name, &source.text, "").unwrap_or_else(|fault| panic!("{fault}"));
        let wish = Wish { config: script.config, listener: script.listener, stranger: script.stranger };
        by_wish.entry(wish).or_default().push(source);
    }
    let mut faults = Vec::new();
    for (wish, sources) in &by_wish {
        let sink = Sink::start();
        let (suite, port) = suite(wish, sink.port);
        let runs: Vec<(Cut, String, Script)> = sources
            .iter()
            .flat_map(|s| Cut::ALL.into_iter().filter_map(|cut| s.run(cut).map(|(run, script)| (cut, run, script))))
            .collect();
        for difference in play_all(&runs, port, true) {
            faults.push(difference.to_string());
        }
        suite.wait_drained(LONG);
        let (delivered, log) = (delivered(&suite, &sink), suite.log());
        for (cut, run, script) in &runs {
            faults
                .extend(judge(script, &delivered, Some(&log), run).into_iter().map(|fault| format!("{} ({cut:?}): {fault}", script.name)));
        }
        // Here, so that the suite's log comes with the panic.
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    }
}

/// All runs, several at a time.
fn play_all(runs: &[(Cut, String, Script)], port: u16, strict: bool) -> Vec<Difference> {
    let (next, differences) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS.min(runs.len()) {
            scope.spawn(|| {
                while let Some((cut, _, script)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = play(script, port, *cut, strict);
                    differences.lock().unwrap().extend(played.differences);
                }
            });
        }
    });
    let mut all = differences.into_inner().unwrap();
    all.sort_by(|a, b| (&a.name, a.line).cmp(&(&b.name, b.line)));
    all
}

/// Every message that arrived: whom it was for, and itself.
fn delivered(suite: &Suite, sink: &Sink) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for user in crate::files(&suite.path("mail")) {
        let new = suite.path("mail").join(&user).join("new");
        all.extend(crate::files(&new).iter().map(|name| (user.clone(), fs::read(new.join(name)).unwrap())));
    }
    for message in sink.messages() {
        let text = String::from_utf8_lossy(&message).into_owned();
        let to: Vec<&str> = text.lines().filter(|line| line.starts_with("X-Rcpt-Args:")).collect();
        all.push((to.join(" "), message));
    }
    all
}

/// What is wrong with what arrived and was logged.
fn judge(script: &Script, delivered: &[(String, Vec<u8>)], log: Option<&str>, run: &str) -> Vec<String> {
    let ours: Vec<&[u8]> = delivered.iter().filter(|(to, _)| to.contains(run)).map(|(_, bytes)| bytes.as_slice()).collect();
    let mut faults = Vec::new();
    for (line, outcome) in &script.outcomes {
        let (right, wanted) = match outcome {
            Outcome::Messages { count, .. } => (ours.len() == *count, format!("{count} messages, not {}", ours.len())),
            Outcome::Content { bytes, present } => {
                let found = ours.iter().any(|message| contains(message, bytes));
                let word = if *present { "content" } else { "content!" };
                (found == *present, format!("{word} {} in {:?}", bytes.escape_ascii(), ours.first().map(|m| String::from_utf8_lossy(m))))
            }
            Outcome::Log { text, present } => {
                let word = if *present { "log" } else { "log!" };
                (log.is_none_or(|log| log.contains(text) == *present), format!("{word} {text}"))
            }
        };
        if !right {
            faults.push(format!("line {line}: {wanted}"));
        }
    }
    faults
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// main.cf of the Postfix that is compared with: as strict as its manual's advice for a server on the open internet.
const MAIN: &str = "virtual_mailbox_domains = local.example\nvirtual_mailbox_maps = inline:{ {users} }\nvirtual_mailbox_base = {at}/mail\n\
    virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_mailbox_limit = 0\ndefault_transport = discard:\n\
    smtpd_forbid_bare_newline = reject\nsmtpd_forbid_bare_newline_exclusions =\nsmtpd_forbid_unauth_pipelining = yes\nsmtpd_error_sleep_time = 0\nsmtpd_hard_error_limit = 1000\n\
    smtpd_client_connection_count_limit = 0\n";

/// A dialogue and what differed.
pub type Row = (String, Vec<Difference>);

/// Plays every dialogue that needs no configuration of ours at a Postfix.
pub fn at_postfix() -> Vec<Row> {
    let mut all: Vec<Source> = crate::files(&root()).iter().flat_map(|folder| sources(folder)).collect();
    let mut users = String::new();
    for (number, source) in all.iter_mut().enumerate() {
        source.number = number;
        for more in ["", "victim", "late"] {
            users.push_str(&format!("{{ d{number:03}w{more}@local.example = d{number:03}w{more}/ }} "));
        }
    }
    let postfix = Postfix::start(&MAIN.replace("{users}", &users), &[""]);
    let mut rows = Vec::new();
    for source in all {
        let Some((run, script)) = source.run(Cut::Whole) else { continue };
        if script.ours || !script.config.is_empty() || script.listener.is_some() || script.stranger {
            continue;
        }
        let mut differences = play(&script, postfix.ports[0], Cut::Whole, false).differences;
        differences.extend(arrived_there(&script, &postfix, &run));
        rows.push((format!("{}: {}", script.name, script.title), differences));
    }
    rows
}

/// Whether as many messages arrived at Postfix as the dialogue says.
fn arrived_there(script: &Script, postfix: &Postfix, run: &str) -> Option<Difference> {
    let (line, count, foreseen) = script.outcomes.iter().find_map(|(line, outcome)| match outcome {
        Outcome::Messages { count, postfix } => Some((*line, *count, *postfix)),
        _ => None,
    })?;
    let arrived = || {
        let users = crate::files(&postfix.folder.path().join("mail"));
        users.iter().filter(|user| user.contains(run)).map(|user| postfix.mailbox(user).len()).sum::<usize>()
    };
    let queue = postfix.folder.path().join("queue");
    let waiting = || ["maildrop", "incoming", "active"].iter().map(|name| crate::files(&queue.join(name)).len()).sum::<usize>();
    crate::wait_until("Postfix delivers", LONG, || waiting() == 0);
    let (got, name) = (arrived(), script.name.clone());
    (got != count).then(|| Difference {
        name,
        line,
        cut: Cut::Whole,
        sent: String::new(),
        expected: format!("{count} messages"),
        got: format!("{got} messages"),
        foreseen: foreseen == Some(got),
    })
}
