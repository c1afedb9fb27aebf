//! A running worker and everything around it.

use crate::worker::{Callers, Worker};
use daemon::{Counters, Started};
use ipc::filter::{Judge, Judged, Judgement};
use ipc::master::{Peer, Session, ToChild, ToMaster};
use ipc::rates::{ToTracker, Verdict};
use ipc::routing::{Answer, Kinship, Question, ToRoutermux, Told};
use ipc::{Caller, Channel, ContactPoint};
use settings::Settings;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Far above anything a healthy run needs: only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Site {
    pub folder: tempfile::TempDir,
    pub master: Channel<ToChild, ToMaster>,
    /// The worker's own row.
    pub counters: Counters,
    worker: Option<JoinHandle<i32>>,
    listener: TcpListener,
    next: u64,
    ended: Vec<u64>,
}

#[derive(Default)]
pub(super) struct Plan {
    pub change: Option<fn(&mut Settings)>,
    pub router: Option<Caller>,
    pub tracker: Option<Caller>,
    pub filter: Option<Caller>,
    pub resolver: Option<Caller>,
}

impl Site {
    pub fn new(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("postoffice");
        std::fs::create_dir(&root).unwrap();
        spool::Spool::create(&root, &spool::Owners::default()).unwrap();
        let text = format!(
            "[paths]\npostoffice = \"{0}\"\nrun = \"{0}/run\"\n[identity]\nhostname = \"mx.example\"\n\
             [[listener]]\nkind = \"smtp\"\nbind = \"127.0.0.1:2525\"\n[[listener]]\nkind = \"lmtp\"\nbind = \"127.0.0.1:2526\"\n\
             [relay]\nnetworks = [\"127.0.0.0/8\"]\n[local]\ndomains = [\"local.example\"]\ndelivery = \"maildir\"\nmaildir = \"/m/%u\"\nusers = \"any\"\n",
            root.display()
        );
        let mut settings = settings::parse(&text, "test").unwrap();
        settings.server.min_free_bytes = 0;
        if let Some(change) = plan.change {
            change(&mut settings);
        }
        let (ours, theirs) = ipc::channel::pair().unwrap();
        let callers =
            Callers { router: plan.router, tracker: plan.tracker, filter: plan.filter, resolver: plan.resolver, ..Callers::default() };
        let counters = Counters::detached("smtpserver").unwrap();
        let theirs_too = counters.clone();
        let worker = std::thread::spawn(move || {
            let started = Started::detached("smtpserver", Arc::new(settings), theirs, theirs_too).unwrap();
            Worker::with(started, callers).unwrap().run().unwrap()
        });
        let mut master = Channel::new(ours).unwrap();
        let (frame, _) = master.recv_by(Instant::now() + PATIENCE).unwrap();
        assert!(matches!(frame, ToMaster::Ready));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { folder, master, counters, worker: Some(worker), listener, next: 1, ended: Vec::new() }
    }

    /// A client whose connection the worker has.
    pub fn client(&mut self) -> Dialogue {
        self.client_with(0, None, b"")
    }

    pub fn client_with(&mut self, index: u16, refuse: Option<&str>, early: &[u8]) -> Dialogue {
        self.client_as(index, refuse, early, None)
    }

    /// `peer`: where the master says it comes from.
    pub fn client_as(&mut self, index: u16, refuse: Option<&str>, early: &[u8], peer: Option<SocketAddr>) -> Dialogue {
        let mut stream = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (end, address) = self.listener.accept().unwrap();
        stream.write_all(early).unwrap();
        if !early.is_empty() {
            end.peek(&mut [0]).unwrap();
        }
        self.pass(index, Peer::Network(peer.unwrap_or(address)), refuse, end.into());
        Dialogue::new(stream.try_clone().unwrap(), stream)
    }

    pub fn local_client(&mut self, uid: u32) -> Dialogue {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.pass(u16::MAX, Peer::Local { uid, gid: 100, pid: 1 }, None, theirs.into());
        Dialogue::new(ours.try_clone().unwrap(), ours)
    }

    fn pass(&mut self, listener: u16, peer: Peer, refuse: Option<&str>, end: OwnedFd) {
        let session = Session { number: self.next, listener, peer, refuse: refuse.map(str::to_owned) };
        self.next += 1;
        self.master.send_with(&ToChild::Session(session), vec![end]).unwrap();
    }

    /// Waits until this many sessions in all have been reported as ended.
    pub fn wait_for_ends(&mut self, count: usize) {
        while self.ended.len() < count {
            let (frame, _) = self.master.recv_by(Instant::now() + PATIENCE).unwrap();
            if let ToMaster::SessionsEnded(numbers) = frame {
                self.ended.extend(numbers);
            }
        }
    }

    /// Tells the worker to drain and waits for its end.
    pub fn drain(mut self) -> (i32, tempfile::TempDir) {
        // Gone already when it was told before and had nothing left.
        let _ = self.master.send(&ToChild::Drain);
        let code = self.worker.take().unwrap().join().unwrap();
        (code, std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()))
    }

    /// Goes away as a dying master does.
    pub fn orphan(mut self) -> i32 {
        let worker = self.worker.take().unwrap();
        drop(self);
        worker.join().unwrap()
    }

    pub fn files(&self, name: &str) -> Vec<String> {
        files(self.folder.path(), name)
    }

    /// The only message in `router/`: its envelope and content.
    pub fn message(&self) -> (envelope::Envelope, String) {
        let names = self.files("router");
        assert_eq!(names.len(), 1, "{names:?}");
        self.named("router", &names[0])
    }

    pub fn named(&self, place: &str, name: &str) -> (envelope::Envelope, String) {
        let bytes = std::fs::read(self.folder.path().join("postoffice").join(place).join(name)).unwrap();
        let (envelope, offset) = envelope::parse_envelope(&bytes).unwrap();
        assert_eq!(envelope.length, Some(bytes.len() as u64));
        (envelope, String::from_utf8(bytes[offset..].to_vec()).unwrap())
    }
}

pub(super) fn files(folder: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("postoffice").join(name)).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// A client's side.
pub(super) struct Dialogue {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Box<dyn Write + Send>,
}

impl Dialogue {
    fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        Self { reader: BufReader::new(Box::new(reader)), writer: Box::new(writer) }
    }

    /// The sending side, for another thread. Nothing can be said here any more.
    pub fn writer(&mut self) -> Box<dyn Write + Send> {
        std::mem::replace(&mut self.writer, Box::new(std::io::sink()))
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        self.writer.write_all(text.as_ref()).unwrap();
    }

    /// The last line of the next reply; empty when the server has closed.
    pub fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return String::new();
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Sends a command and takes its reply, which must begin with `expected`.
    pub fn say(&mut self, command: &str, expected: &str) -> String {
        self.send(format!("{command}\r\n"));
        self.hear(expected)
    }

    pub fn hear(&mut self, expected: &str) -> String {
        let reply = self.reply();
        assert!(reply.starts_with(expected), "{reply:?}, not {expected}");
        reply
    }

    pub fn hello(&mut self) {
        self.hear("220");
        self.say("EHLO client.example", "250");
    }

    /// Up to and including the 354.
    pub fn begin(&mut self, recipient: &str) {
        self.say("MAIL FROM:<a@b.example>", "250");
        self.say(&format!("RCPT TO:<{recipient}>"), "250");
        self.say("DATA", "354");
    }
}

/// A contact point and the calling end of it.
pub(super) fn contact() -> (Caller, ContactPoint) {
    let (caller, point) = ipc::channel::pair().unwrap();
    (Caller::new(caller).unwrap(), ContactPoint::new(point).unwrap())
}

/// Waits for the next caller. The contact point never blocks, so this looks again and again.
pub(super) fn accept<Out, In>(point: &ContactPoint) -> Channel<Out, In>
where
    Out: ipc::Frame + serde::Serialize,
    In: ipc::Frame + serde::de::DeserializeOwned,
{
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(channel) = point.accept().unwrap() {
            return channel;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody called");
}

/// A router farm that knows everybody but `nobody`, and says once of each domain that mail for it is relayed; it dies at the first question as often as `deaths` says.
pub(super) fn router(mut deaths: usize) -> Caller {
    let (caller, point) = contact();
    std::thread::spawn(move || {
        let mut domains = HashSet::new();
        loop {
            let mut channel: Channel<Told, ToRoutermux> = accept(&point);
            while let Ok((frame, _)) = channel.recv_by(Instant::now() + PATIENCE) {
                let ToRoutermux::Ask(ask) = frame else { continue };
                if deaths > 0 {
                    deaths -= 1;
                    break;
                }
                if let Question::Kinship { domain } = &ask.question {
                    // Only the first word on a domain is a good one.
                    let kinship = if domains.insert(domain.clone()) { Kinship::Relayed } else { Kinship::Foreign };
                    channel.send(&Told { number: ask.number, answer: Answer::Kinship(kinship) }).unwrap();
                    continue;
                }
                let (address, quads) = match ask.question {
                    Question::Verify { address, .. } => (address, Vec::new()),
                    Question::Expand { address } => (address, ["a@local.example", "b@far.example"].map(member).to_vec()),
                    Question::Explain { .. } | Question::Lookup { .. } | Question::Kinship { .. } => panic!("nobody asked why"),
                };
                let answer = if address.starts_with("nobody@") {
                    let reply = status::Reply::new(550, status::Enhanced::permanent(1, 1), "unknown user");
                    Answer::Refused { reply, steps: Vec::new() }
                } else {
                    Answer::Routed { quads, steps: Vec::new() }
                };
                channel.send(&Told { number: ask.number, answer }).unwrap();
            }
        }
    });
    caller
}

fn member(address: &str) -> envelope::Quad {
    envelope::Quad { channel: "-".into(), host: "-".into(), user: address.into(), attributes: "-".into() }
}

/// A filter that says what the content asks for: `reject`, `freeze`, `defer`; else it accepts.
pub(super) fn filter() -> Caller {
    let (caller, point) = contact();
    std::thread::spawn(move || {
        let mut channel: Channel<Judged, Judge> = accept(&point);
        while let Ok((judge, _)) = channel.recv_by(Instant::now() + PATIENCE) {
            let text = std::fs::read_to_string(&judge.path).unwrap();
            // A crash now must leave nothing that recovery takes for a whole message.
            assert_eq!(envelope::parse_envelope(text.as_bytes()).unwrap().0.length, Some(0));
            let verdict = match text.lines().last().unwrap() {
                "reject" => Judgement::Reject("not wanted".into()),
                "freeze" => Judgement::Freeze("looks odd".into()),
                "defer" => Judgement::Defer("cannot say".into()),
                _ => Judgement::Accept,
            };
            channel.send(&Judged { number: judge.number, verdict }).unwrap();
        }
    });
    caller
}

/// A tracker that knows everybody and has nothing against them.
pub(super) fn remembering_tracker() -> Caller {
    let (caller, point) = contact();
    std::thread::spawn(move || {
        let mut channel: Channel<Verdict, ToTracker> = accept(&point);
        while let Ok((frame, _)) = channel.recv_by(Instant::now() + PATIENCE) {
            if let ToTracker::Ask { number, .. } = frame {
                channel.send(&Verdict { number, refuse: None, known: true, wait: Duration::ZERO }).unwrap();
            }
        }
    });
    caller
}

/// A tracker that refuses every question but the first `allowed`.
pub(super) fn tracker(mut allowed: usize) -> Caller {
    let (caller, point) = contact();
    std::thread::spawn(move || {
        let mut channel: Channel<Verdict, ToTracker> = accept(&point);
        while let Ok((frame, _)) = channel.recv_by(Instant::now() + PATIENCE) {
            if let ToTracker::Ask { number, .. } = frame {
                let refuse = (allowed == 0).then(|| "too much from there".to_owned());
                allowed = allowed.saturating_sub(1);
                let refuse = refuse.map(|text| ipc::rates::Refusal { text, hard: false });
                channel.send(&Verdict { number, refuse, known: false, wait: Duration::ZERO }).unwrap();
            }
        }
    });
    caller
}
