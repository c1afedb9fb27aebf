//! Everything on at once, and every kind of process killed: nothing acknowledged is lost, everything ends, repeats are few.
//!
//! Clients and the next hop speak TLS, the mail lies on two volumes, the processes are in their sandboxes; each message has
//! a recipient at the next hop and a second one: a Maildir (some with a report of success), a program, a recipient that the
//! router fails or one that the next hop refuses.

use end_to_end::dns::{NameServer, Record};
use end_to_end::load::Session;
use end_to_end::tls_sink::{TlsSink, certificate};
use end_to_end::{LONG, Suite, files, tls, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Short back-off, scans and waits: a test restarts things far more often than life does.
const QUICK: &str = "[processes]\nrestart_first = \"20ms\"\nrestart_longest = \"200ms\"\nsandbox = \"try\"\n\
    [queue]\nrouter_scan = \"1s\"\ntransport_scan = \"1s\"\nretry_first = \"1s\"\nretry_longest = \"2s\"\n[bounce]\ngather = \"1s\"\n";

/// Every service whose processes must have died.
const VICTIMS: [&str; 11] = [
    "smtpserver",
    "routermux",
    "router",
    "scheduler",
    "resolver",
    "ratetracker",
    "tlspolicy",
    "ta-smtp",
    "ta-mailbox",
    "ta-pipe",
    "ta-errormail",
];

/// What is to become of one message beside its delivery to the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum End {
    Relayed,
    Stored,
    Piped,
    /// A report to the sender.
    ToldDelivered,
    ToldFailed,
}

/// The ends of the message with this number.
fn ends(number: usize) -> Vec<End> {
    let second = match number % 4 {
        0 if number.is_multiple_of(8) => vec![End::Stored, End::ToldDelivered],
        0 => vec![End::Stored],
        1 => vec![End::Piped],
        _ => vec![End::ToldFailed],
    };
    [vec![End::Relayed], second].concat()
}

fn recipients(number: usize) -> Vec<String> {
    let second = match number % 4 {
        0 => format!("<box{}@local.example>{}", number % 7, if number.is_multiple_of(8) { " NOTIFY=SUCCESS" } else { "" }),
        1 => "<notes@pipe.example>".to_owned(),
        2 => "<nobody@bad.example>".to_owned(),
        _ => format!("<refused{number}@far{}.example>", number % 3),
    };
    vec![format!("<rcpt@far{}.example>", number % 3), second]
}

struct Site {
    suite: Suite,
    sink: TlsSink,
    _dns: NameServer,
}

fn site() -> Site {
    let sink = TlsSink::start();
    let dns = NameServer::start(|name| match name {
        "mx.sink.example" => Some(vec![Record::A(Ipv4Addr::LOCALHOST)]),
        "sender.example" | "far0.example" | "far1.example" | "far2.example" => Some(vec![Record::Mx(10, "mx.sink.example".into())]),
        _ => None,
    });
    let mut suite = Suite::builder().with_maildirs().with_volume("disk2").with(QUICK).with(&dns.section()).prepare();
    let (chain, key) = certificate(suite.folder.path(), "mta.test.example");
    let note = suite.path("note");
    fs::write(&note, "#!/bin/sh\nexec sed -n 's/^X-Number: //p' >> \"$1\"\n").unwrap();
    fs::set_permissions(&note, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(suite.path("piped"), "").unwrap();
    let text = fs::read_to_string(suite.config()).unwrap()
        + &format!(
            "[client]\nport = {}\n[[certificate]]\nchain = \"{}\"\nkey = \"{}\"\n\
             [[route]]\ndomain = \"bad.example\"\nchannel = \"error\"\nhost = \"5.1.1:nobody\"\n\
             [[route]]\ndomain = \"pipe.example\"\nchannel = \"pipe\"\nhost = \"notes\"\n\
             [[pipe]]\nname = \"notes\"\nprogram = [\"{}\", \"{}\"]\n",
            sink.port,
            chain.display(),
            key.display(),
            note.display(),
            suite.path("piped").display()
        );
    fs::write(suite.config(), text).unwrap();
    suite.give_away();
    suite.start();
    Site { suite, sink, _dns: dns }
}

/// Sends over TLS until `total` are acknowledged; what got no 250 is sent again under a new number.
fn send_all(port: u16, total: usize, acknowledged: &Mutex<BTreeSet<usize>>, next: &AtomicUsize) {
    let config = tls::client();
    while acknowledged.lock().unwrap().len() < total {
        let Ok(mut session) = Session::open_secure(port, &config) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        for _ in 0..20 {
            if acknowledged.lock().unwrap().len() >= total {
                break;
            }
            let number = next.fetch_add(1, Relaxed);
            let content = format!("X-Number: {number}\r\nSubject: storm\r\n\r\n{}\r\n", "x".repeat(500));
            match session.transaction("<load@sender.example> RET=HDRS", &recipients(number), content.as_bytes()) {
                Ok((250, _)) => drop(acknowledged.lock().unwrap().insert(number)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

/// Kills one process of the service that has lost fewest so far; the clock's low bits say which. Its service.
fn strike(suite: &Suite, victims: &BTreeMap<String, usize>) -> Option<String> {
    let pids: Vec<_> = suite.pids().into_iter().skip(1).filter(|(name, _)| VICTIMS.contains(&name.as_str())).collect();
    let of = |name: &str| victims.get(name).copied().unwrap_or(0);
    let fewest = pids.iter().map(|(name, _)| of(name)).min()?;
    let weakest: Vec<_> = pids.into_iter().filter(|(name, _)| of(name) == fewest).collect();
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos() as usize;
    let (name, pid) = &weakest[(nanos / 64) % weakest.len()];
    kill(Pid::from_raw(i32::try_from(*pid).unwrap()), Signal::SIGKILL).ok().map(|()| name.clone())
}

/// How often each message met each of its ends.
fn ended(site: &Site) -> HashMap<(usize, End), usize> {
    let mut met: HashMap<(usize, End), usize> = HashMap::new();
    let mut count = |number: &str, end, times| *met.entry((number.trim().parse().unwrap(), end)).or_default() += times;
    for (message, times) in site.sink.taken() {
        assert!(message.secure, "the next hop offers TLS and gets nothing without: {message:?}");
        let report = message.from == "<>";
        let end = match message.values("Action").next() {
            None if !report => End::Relayed,
            Some("delivered") if report => End::ToldDelivered,
            Some("failed") if report => End::ToldFailed,
            _ => panic!("{message:?}"),
        };
        message.values("X-Number").for_each(|number| count(number, end, times));
    }
    for user in files(&site.suite.path("mail")) {
        let new = site.suite.path("mail").join(user).join("new");
        for name in files(&new) {
            let text = fs::read_to_string(new.join(name)).unwrap();
            let number = text.lines().find_map(|line| line.strip_prefix("X-Number: ")).expect("whole");
            assert!(text.ends_with(&format!("{}\n", "x".repeat(500))), "whole: {text}");
            count(number, End::Stored, 1);
        }
    }
    fs::read_to_string(site.suite.path("piped")).unwrap().lines().for_each(|number| count(number, End::Piped, 1));
    met
}

#[test]
fn everything_on_survives_kills_of_every_kind() {
    let long = std::env::var_os("ZPOST_TEST_LONG").is_some();
    let (total, kills) = if long { (20_000, 220) } else { (1_500, 44) };
    let mut site = site();
    let port = site.suite.port;
    let (acknowledged, next) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    let mut victims: BTreeMap<String, usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| send_all(port, total, &acknowledged, &next))).collect();
        let mut killed = 0;
        while killed < kills {
            let share = acknowledged.lock().unwrap().len() * kills / total;
            if share < killed && !workers.iter().all(|w| w.is_finished()) {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            if killed % 20 == 19 {
                site.suite.kill();
                site.suite.start();
                *victims.entry("zpost-master".to_owned()).or_default() += 1;
                killed += 1;
            } else if let Some(name) = strike(&site.suite, &victims) {
                *victims.entry(name).or_default() += 1;
                killed += 1;
            }
        }
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let expected: BTreeSet<(usize, End)> = acknowledged.iter().flat_map(|n| ends(*n).into_iter().map(|end| (*n, end))).collect();
    wait_until("every acknowledged message meets all of its ends", Duration::from_secs(600), || {
        let met = ended(&site);
        expected.iter().all(|end| met.contains_key(end)) || {
            std::thread::sleep(Duration::from_millis(500));
            false
        }
    });
    wait_until("nothing is left in the spool", LONG, || {
        let queue = site.suite.path("disk2/queue");
        let beside: usize = files(&queue).iter().map(|xx| files(&queue.join(xx)).len()).sum();
        site.suite.spooled() + beside + files(&site.suite.path("disk2/router")).len() == 0
    });
    let met = ended(&site);
    let mut repeats: BTreeMap<End, usize> = BTreeMap::new();
    met.iter().for_each(|((_, end), times)| *repeats.entry(*end).or_default() += times - 1);
    let unasked: BTreeSet<usize> = met.keys().map(|(number, _)| *number).filter(|n| !acknowledged.contains(n)).collect();
    eprintln!("killed: {victims:?}");
    eprintln!(
        "acknowledged {}, ends met {}, repeats {repeats:?}, arrived without 250 seen {}",
        acknowledged.len(),
        met.len(),
        unasked.len()
    );
    for (number, end) in met.keys() {
        assert!(ends(*number).contains(end), "{number} was not to be {end:?}");
    }
    for service in VICTIMS {
        assert!(victims.contains_key(service), "no {service} was killed: {victims:?}");
    }
    let log = site.suite.log();
    let used = log.lines().filter(|line| line.contains(" accepted ") && line.contains("volume=disk2")).count();
    assert!(used > total / 10, "the second volume took its share: {used}");
    // What was in flight at one kill: the jobs of the agents and what the scheduler had not yet marked of them.
    let all: usize = repeats.values().sum();
    assert!(all <= kills * 100, "{repeats:?}");
    assert!(unasked.len() <= kills * 8, "{} arrived without 250 seen", unasked.len());
    assert!(site.sink.secure_sessions() > 0);
}
