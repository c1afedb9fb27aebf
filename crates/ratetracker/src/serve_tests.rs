use crate::serve::Server;
use daemon::Counters;
use ipc::control::{RateQuery, Reply};
use ipc::rates::{Event, Kind, ToTracker, Triplet, Verdict};
use settings::Settings;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

fn settings(postoffice: &Path, more: &str) -> Settings {
    let text = format!("[paths]\npostoffice = \"{}\"\n[identity]\nhostname = \"mta.example\"\n{more}", postoffice.display());
    settings::parse(&text, "t").unwrap()
}

fn server(folder: &Path) -> Server {
    std::fs::create_dir_all(folder.join("ratetracker")).unwrap();
    let limits = "[rates]\nmessages_per_address = 3\n[greylist]\ndelay = \"0s\"\n";
    Server::new(&settings(folder, limits), Counters::detached("ratetracker").unwrap())
}

fn address() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn ask(server: &mut Server) -> Verdict {
    server.take(ToTracker::Ask { number: 7, event: Event::of(address(), Kind::Message, 1), limits: Vec::new() }, Instant::now()).unwrap()
}

fn query(subject: Option<&str>) -> RateQuery {
    RateQuery { subject: subject.map(str::to_owned), kind: None, most: 100 }
}

#[test]
fn a_successor_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = server(folder.path());
    (0..3).for_each(|_| assert_eq!(ask(&mut first).refuse, None));
    first.take(ToTracker::Passed { address: address() }, Instant::now());
    let triplet = Triplet { address: address(), sender: String::new(), recipient: "b@y.example".to_owned() };
    let verdict = first.take(ToTracker::Grey { number: 8, triplet }, Instant::now()).unwrap();
    assert!(verdict.known, "no delay, no wait");
    first.finish();
    let mut second = server(folder.path());
    assert!(ask(&mut second).refuse.is_some());
    let event = Event::of(address(), Kind::Connection, 1);
    assert!(second.take(ToTracker::Ask { number: 9, event, limits: Vec::new() }, Instant::now()).unwrap().known);
    assert!(second.show(&query(None)).iter().any(|row| matches!(row, Reply::Rate(row) if row.kind == "grey")));
}

#[test]
fn a_file_of_rubbish_is_no_reason_to_stay_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("ratetracker")).unwrap();
    std::fs::write(folder.path().join("ratetracker/state"), [0xff; 5000]).unwrap();
    std::fs::create_dir_all(folder.path().join("ratetracker/grey")).unwrap();
    let mut server = server(folder.path());
    assert_eq!(ask(&mut server).refuse, None);
    server.finish();
}

#[test]
fn what_is_cleared_stays_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = server(folder.path());
    (0..5).for_each(|_| drop(ask(&mut first)));
    assert!(matches!(first.clear(&query(Some("192.0.2.1"))).first(), Some(Reply::Done(text)) if text == "1 forgotten"));
    assert_eq!(ask(&mut first).refuse, None);
    first.finish();
    assert_eq!(ask(&mut server(folder.path())).refuse, None);
}

#[test]
fn nothing_new_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = server(folder.path());
    first.finish();
    assert!(!folder.path().join("ratetracker/state").exists());
}

/// Shows what a full table costs; run by hand with --nocapture --release.
#[test]
#[ignore = "a measurement"]
fn measure_a_full_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = server(folder.path());
    let count = |server: &mut Server, n: u32, times: u32| {
        let at = |kind| Event::of(IpAddr::from((n.wrapping_mul(2_654_435_761)).to_be_bytes()), kind, times);
        let events = [Kind::Connection, Kind::Message, Kind::Recipient].map(at).to_vec();
        server.take(ToTracker::Count(events), Instant::now());
    };
    for (what, range) in [("filling", 0..50_000), ("sweeping", 50_000..250_000)] {
        let begin = Instant::now();
        let number = range.len();
        range.for_each(|n| count(&mut server, n, 1));
        println!("{what}: {} ns an event", begin.elapsed().as_nanos() / number as u128 / 3);
    }
    let begin = Instant::now();
    server.finish();
    let size = std::fs::metadata(folder.path().join("ratetracker/state")).unwrap().len();
    println!("writing {size} bytes: {:?}", begin.elapsed());
    let begin = Instant::now();
    let _again = Server::new(&settings(folder.path(), ""), Counters::detached("ratetracker").unwrap());
    println!("reading: {:?}", begin.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmRSS")).unwrap());
    std::thread::sleep(Duration::ZERO);
}
