//! The whole process on a thread: the test plays the master and an agent, over a real postoffice in a scratch folder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod repeats;

use super::*;
use address::{Address, Path};
use envelope::{BodyType, Control, ControlRecipient, Envelope, EnvelopeRecipient, IdSource, Quad, RecipientDsn, RecipientState};
use ipc::Channel;
use ipc::agents::{Job, RecipientResult, Report, ToAgent, ToScheduler};
use ipc::control::Reply;
use ipc::control::{Action as Change, Request, Selection};
use ipc::master::Peer;
use status::{Enhanced, Outcome, Phase};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

struct House {
    folder: tempfile::TempDir,
    spool: Arc<spool::Spool>,
    ids: IdSource,
}

/// A running scheduler and what the test holds of it.
struct Running {
    master: Channel<ToChild, ToMaster>,
    thread: JoinHandle<()>,
    notices: UnixDatagram,
    agents: std::path::PathBuf,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        spool::Spool::create(&folder.path().join("post"), &spool::Owners::default()).unwrap();
        let spool = Arc::new(spool::Spool::open(&folder.path().join("post")).unwrap());
        std::fs::create_dir_all(folder.path().join("run/notify")).unwrap();
        Self { folder, spool, ids: IdSource::new(77) }
    }

    /// A message as a router leaves it.
    fn mail(&mut self, channel: &str, host: &str, recipients: u32) -> MessageId {
        let id = self.ids.next(daemon::clock::unix_micros());
        let sender = Address::parse("sender@example.org").unwrap();
        let rcpt = Address::parse("u0@a.example").unwrap();
        let envelope = Envelope {
            from: Some(Path::Mailbox(sender.clone())),
            recipients: vec![EnvelopeRecipient::new(rcpt, RecipientDsn::default())],
            ..Envelope::default()
        };
        // Without the sync of a real submission: these tests ask nothing of the disk.
        let mut file = Vec::new();
        envelope::write_envelope(&envelope, &mut file);
        file.extend_from_slice(b"Subject: hello\n\nbody\n");
        std::fs::write(self.folder.path().join("post/router").join(id.as_str()), &file).unwrap();
        let quad = |n: u32| Quad { channel: channel.into(), host: host.into(), user: format!("u{n}@a.example"), attributes: "-".into() };
        let recipient = |n| ControlRecipient {
            offset: 0,
            state: RecipientState::Queued,
            quad: quad(n),
            original: None,
            via: None,
            dsn: RecipientDsn::default(),
            form: 0,
        };
        let size = file.len() as u64;
        let control = Control {
            id,
            body_offset: size - 21,
            size: 21,
            arrived: daemon::clock::unix_millis(),
            sender: Path::Mailbox(sender),
            edits: Vec::new(),
            forms: Vec::new(),
            bodytype: BodyType::SevenBit,
            smtputf8: false,
            envid: None,
            ret: None,
            terms: Default::default(),
            message_id: None,
            recipients: (0..recipients).map(recipient).collect(),
        };
        let mut bytes = Vec::new();
        envelope::write_control(&control, &mut bytes);
        self.spool.enqueue(id.as_str(), id, &bytes).unwrap();
        id
    }

    fn exists(&self, id: MessageId) -> bool {
        !matches!(self.spool.load(id), Err(spool::LoadError::Gone))
    }

    fn settings(&self) -> Arc<settings::Settings> {
        let root = self.folder.path().display();
        let text = format!("[paths]\npostoffice = \"{root}/post\"\nrun = \"{root}/run\"\n[identity]\nhostname = \"mta.example\"\n");
        Arc::new(settings::parse(&text, "test").unwrap())
    }

    /// What the master gives a scheduler, and the master's end of their conversation.
    fn start(&self) -> (OwnedFd, Started) {
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let notify = self.folder.path().join("run/notify/scheduler");
        let agents = self.folder.path().join("run/agents");
        let _ = (std::fs::remove_file(&notify), std::fs::remove_file(&agents));
        let bound = UnixDatagram::bind(&notify).unwrap();
        let contacts = daemon::Contacts::of(vec![("notify".into(), bound.into()), ("agents".into(), listener(&agents))]);
        let counters = daemon::Counters::detached("scheduler").unwrap();
        let started = Started::detached("scheduler", self.settings(), theirs, counters).unwrap();
        (ours, Started { contacts, ..started })
    }

    fn run(&self) -> Running {
        let (ours, started) = self.start();
        let thread = std::thread::spawn(move || {
            let _ = super::run(started);
        });
        let notices = UnixDatagram::unbound().unwrap();
        notices.connect(self.folder.path().join("run/notify/scheduler")).unwrap();
        let agents = self.folder.path().join("run/agents");
        let mut running = Running { master: Channel::new(ours).unwrap(), thread, notices, agents };
        assert!(matches!(running.said(), ToMaster::Ready));
        running
    }
}

fn listener(path: &std::path::Path) -> OwnedFd {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
    use std::os::fd::AsRawFd;
    let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(end.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&end, Backlog::new(8).unwrap()).unwrap();
    end
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

impl Running {
    fn said(&mut self) -> ToMaster {
        self.master.recv_by(soon()).unwrap().0
    }

    /// Gives the agent that the scheduler asks for.
    fn hire(&mut self, wanted: &str) -> Hired {
        let ToMaster::WantAgent { ticket, channel } = self.said() else { panic!() };
        assert_eq!(channel, wanted);
        let (ours, theirs) = ipc::channel::pair().unwrap();
        self.master.send_with(&ToChild::Agent { ticket, channel, pid: 1 }, vec![theirs]).unwrap();
        Hired::new(ours)
    }

    fn notice(&self, text: &str) {
        self.notices.send(text.as_bytes()).unwrap();
    }

    /// A command's answer.
    fn ask(&mut self, request: Request) -> Vec<Reply> {
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let peer = Peer::Local { uid: 0, gid: 0, pid: 1 };
        self.master.send_with(&ToChild::Command { request, peer }, vec![theirs]).unwrap();
        let mut client = Channel::<Request, Reply>::new(ours).unwrap();
        let mut replies = Vec::new();
        loop {
            match client.recv_by(soon()).unwrap().0 {
                Reply::End => return replies,
                reply => replies.push(reply),
            }
        }
    }

    fn drain(mut self) {
        self.master.send(&ToChild::Drain).unwrap();
        self.thread.join().unwrap();
    }
}

struct Hired {
    channel: Channel<ToScheduler, ToAgent>,
    waiting: VecDeque<(Job, OwnedFd)>,
}

impl Hired {
    fn new(end: OwnedFd) -> Self {
        let mut channel = Channel::<ToScheduler, ToAgent>::new(end).unwrap();
        channel.send(&ToScheduler::Credit(100)).unwrap();
        Self { channel, waiting: VecDeque::new() }
    }

    fn job(&mut self) -> (Job, OwnedFd) {
        while self.waiting.is_empty() {
            let (ToAgent::Jobs(jobs), files) = self.channel.recv_by(soon()).unwrap() else { panic!("drained") };
            assert_eq!(jobs.len(), files.len());
            self.waiting.extend(jobs.into_iter().zip(files));
        }
        self.waiting.pop_front().unwrap()
    }

    fn answer(&mut self, job: &Job, outcome: Outcome) {
        let status = if outcome == Outcome::Deferred { Enhanced::transient(2, 0) } else { Enhanced::success(0, 0) };
        let result = |index| RecipientResult::new(index, outcome, status, "-", "said");
        let results = job.recipients.iter().map(|recipient| result(recipient.index)).collect();
        let report = Report::new(job.number, Phase::Transaction, results);
        self.channel.send(&ToScheduler::Reports(vec![report])).unwrap();
    }
}

/// Waits for what another thread does to the disk.
fn until(mut done: impl FnMut() -> bool) {
    let deadline = soon();
    while !done() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_noticed_message_is_delivered_with_its_content_and_removed() {
    let mut house = House::new();
    let mut running = house.run();
    let id = house.mail("smtp", "a.example", 2);
    for junk in ["", "junk", "NEW ../../etc/passwd", "NEW 0000000000000000", "NEW no-id-at-all"] {
        running.notice(junk);
    }
    running.notice(&format!("NEW {id}"));
    running.notice(&format!("NEW {id}"));
    let mut agent = running.hire("smtp");
    let (job, file) = agent.job();
    assert_eq!((job.message.as_str(), job.recipients.len(), job.host.as_str()), (id.as_str(), 2, "a.example"));
    let mut content = String::new();
    std::fs::File::from(file).read_to_string(&mut content).unwrap();
    assert_eq!(&content[usize::try_from(job.body_offset).unwrap()..], "Subject: hello\n\nbody\n");
    agent.answer(&job, Outcome::Delivered);
    until(|| !house.exists(id));
    running.drain();
}

#[test]
fn the_scan_finds_what_waits_and_a_deferral_outlives_the_scheduler() {
    let mut house = House::new();
    let ids: Vec<MessageId> = (0..200).map(|n| house.mail("smtp", &format!("h{n}.example"), 1)).collect();
    let mut running = house.run();
    let mut agent = running.hire("smtp");
    for n in 0..200 {
        let (job, _) = agent.job();
        agent.answer(&job, if n % 2 == 0 { Outcome::Delivered } else { Outcome::Deferred });
        agent.channel.send(&ToScheduler::Credit(1)).unwrap();
    }
    running.drain();
    assert_eq!(ids.iter().filter(|id| house.exists(**id)).count(), 100);
    let mut running = house.run();
    let mut found = Vec::new();
    until(|| {
        found = running.ask(Request::Queue(Selection { state: Some("deferred".into()), ..Selection::default() }));
        found.len() == 100
    });
    let Reply::Message(message) = &found[0] else { panic!() };
    let recipient = &message.recipients[0];
    assert_eq!((recipient.attempts, recipient.last.as_str()), (1, "4.2.0 said"));
    running.drain();
}

#[test]
fn an_agent_from_outside_registers_and_a_dead_one_gives_its_job_back() {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd;
    let mut house = House::new();
    let mut running = house.run();
    let knock = |path: &std::path::Path| {
        let end = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        connect(end.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        let mut channel = Channel::<ToScheduler, ToAgent>::new(end).unwrap();
        channel.send(&ToScheduler::Register { channel: "fax".into() }).unwrap();
        Hired::new(channel.into_end())
    };
    let mut first = knock(&running.agents);
    let id = house.mail("fax", "-", 1);
    running.notice(&format!("NEW {id}"));
    let (job, _) = first.job();
    drop(first);
    let mut second = knock(&running.agents);
    let (again, _) = second.job();
    assert_eq!((&again.message, again.number > job.number), (&job.message, true));
    second.answer(&again, Outcome::Delivered);
    until(|| !house.exists(id));
    let _ = running.ask(Request::Destinations);
    running.drain();
}

#[test]
fn commands_take_effect_at_once_and_last() {
    let mut house = House::new();
    let ids: Vec<MessageId> = (0..300).map(|_| house.mail("smtp", "a.example", 1)).collect();
    let mut running = house.run();
    running.master.send(&ToChild::Freeze(true)).unwrap();
    let all = || Request::Queue(Selection::default());
    until(|| running.ask(all()).len() == 300);
    let hold = Request::Change { action: Change::Hold, selection: Selection::default(), dry_run: false };
    assert_eq!(running.ask(hold).len(), 300);
    let on_disk = |id: &MessageId| house.spool.load(*id).unwrap().parsed.control.recipients[0].state;
    assert!(ids.iter().all(|id| on_disk(id) == RecipientState::Held), "written before it was answered");
    running.drain();

    let mut running = house.run();
    let held = || Request::Queue(Selection { state: Some("held".into()), ..Selection::default() });
    // All: the first scan may still be at work, and what it has not met cannot be deleted.
    until(|| running.ask(held()).len() == 300);
    let delete = Request::Change { action: Change::Delete, selection: Selection::default(), dry_run: false };
    assert_eq!(running.ask(delete).len(), 300);
    assert!(ids.iter().all(|id| !house.exists(*id)), "removed before it was answered");
    assert!(running.ask(all()).is_empty());
    running.drain();
}

#[test]
fn a_second_scheduler_waits_and_goes_when_told() {
    let house = House::new();
    let running = house.run();
    assert!(lock::take(&house.settings().paths.postoffice).unwrap().is_none());
    running.drain();
    assert!(lock::take(&house.settings().paths.postoffice).unwrap().is_some());
}

/// Run by hand: `cargo test --release -p scheduler -- --ignored --nocapture`. Prints how long 100,000 waiting messages
/// take to be known, and when the first job begins.
#[test]
#[ignore = "measures"]
fn how_fast_100_000_messages_are_known() {
    let mut house = House::new();
    for n in 0..100_000 {
        house.mail("smtp", &format!("h{}.example", n % 500), 1);
    }
    let begin = Instant::now();
    let mut running = house.run();
    let mut agent = running.hire("smtp");
    let (job, _) = agent.job();
    println!("first job after {:?}", begin.elapsed());
    until(|| {
        let total: u64 =
            running.ask(Request::Destinations).iter().map(|r| if let Reply::Destination(d) = r { d.queued + d.active } else { 0 }).sum();
        std::thread::sleep(Duration::from_millis(50));
        total == 100_000
    });
    println!("all known after {:?}", begin.elapsed());
    let listed = Instant::now();
    assert_eq!(running.ask(Request::Queue(Selection::default())).len(), 100_000);
    println!("listed in {:?}", listed.elapsed());
    // Gives back what it holds, so that the drain has nothing to wait for.
    running.master.send(&ToChild::Freeze(true)).unwrap();
    drop((job, agent));
    running.drain();
}
