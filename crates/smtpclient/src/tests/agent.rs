//! The agent in a thread, and the scheduler's end of it.
use crate::egress::Egress;
use crate::process::Parts;
use ::agent::Link;
use daemon::{Counters, Signals};
use envelope::BodyType;
use ipc::agents::{Job, JobRecipient, RecipientResult, Sharing, ToAgent, ToScheduler};
use ipc::channel::pair;
use ipc::dns::{Answer, Ask, Question, Told, Trouble};
use ipc::master::{ToChild, ToMaster};
use ipc::{Caller, Channel, ContactPoint, RecvError};
use nexthop::Ourselves;
use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Agent {
    /// Messages are not in the page cache when the agent gets them.
    pub cold: bool,
    /// Of the jobs sent from here on.
    pub terms: envelope::Terms,
    pub sharing: Sharing,
    pub bodytype: BodyType,
    pub scheduler: Channel<ToAgent, ToScheduler>,
    _master: Channel<ToChild, ToMaster>,
    thread: std::thread::JoinHandle<ExitCode>,
    results: HashMap<u64, Vec<RecipientResult>>,
    learned: HashMap<u64, ipc::agents::Learned>,
    pub credits: u32,
}

pub fn client() -> settings::Client {
    let long = Duration::from_secs(60);
    settings::Client {
        port: 25,
        connect_timeout: long,
        greeting_timeout: long,
        hello_timeout: long,
        mail_timeout: long,
        rcpt_timeout: long,
        data_timeout: long,
        block_timeout: long,
        final_timeout: long,
        reply_deadline: long,
        idle: long,
        messages_per_session: 100,
        sessions: 20,
        hosts: 5,
        hello: "me.example".into(),
        chunking: true,
        convert: settings::Convert::Auto,
        connect_stagger: Duration::from_millis(250),
    }
}

/// A resolver that knows what the test says.
pub fn resolver(answer: impl Fn(&Question) -> Result<Answer, Trouble> + Send + 'static) -> Caller {
    let (call, serve) = pair().unwrap();
    std::thread::spawn(move || {
        let point = ContactPoint::new(serve).unwrap();
        let mut callers: Vec<Channel<Told, Ask>> = Vec::new();
        loop {
            let Ok(caller) = point.accept() else { return };
            callers.extend(caller);
            for caller in &mut callers {
                if let Ok((ask, _)) = caller.recv_by(Instant::now() + Duration::from_millis(2)) {
                    let _ = caller.send(&Told { number: ask.number, answer: answer(&ask.question) });
                }
            }
            if callers.is_empty() {
                std::thread::yield_now();
            }
        }
    });
    Caller::new(call).unwrap()
}

impl Agent {
    pub fn start(client: settings::Client) -> Self {
        Self::with(client, Ourselves::default(), None)
    }

    pub fn with(client: settings::Client, ourselves: Ourselves, resolver: Option<Caller>) -> Self {
        Self::secured(client, ourselves, resolver, None, "")
    }

    /// With a keeper of TLS policies, and sections of the configuration.
    pub fn secured(client: settings::Client, ourselves: Ourselves, resolver: Option<Caller>, keeper: Option<Caller>, more: &str) -> Self {
        let text = format!("[paths]\npostoffice = \"/x\"\n[identity]\nhostname = \"me.example\"\n{more}");
        let settings = settings::parse(&text, "x").unwrap();
        let passwords = settings.credentials.iter().map(|c| (c.password_file.display().to_string(), "secret".to_owned())).collect();
        let egress = Egress::new(&settings, &passwords);
        let (jobs, scheduler) = pair().unwrap();
        let (child, master) = pair().unwrap();
        let thread = std::thread::spawn(move || {
            let parts = Parts {
                client,
                ourselves,
                egress,
                patience: PATIENCE,
                jobs: Link::new(Channel::new(jobs).unwrap()),
                resolver,
                keeper,
                tls: settings.tls.clone(),
                policies: settings.policies.clone(),
                connector: crate::secured::connector(
                    &settings.tls,
                    None,
                    signing::Keyholder::new(None, Counters::detached("ta-smtp").unwrap()),
                )
                .unwrap(),
                master: Channel::<ToMaster, ToChild>::new(child).unwrap(),
                signals: Signals::block().unwrap(),
                counters: Counters::detached("ta-smtp").unwrap(),
            };
            parts.serve().unwrap()
        });
        let mut master = Channel::new(master).unwrap();
        assert!(matches!(master.recv_by(Instant::now() + PATIENCE).unwrap().0, ToMaster::Ready));
        Self {
            cold: false,
            terms: Default::default(),
            sharing: Default::default(),
            bodytype: BodyType::SevenBit,
            scheduler: Channel::new(scheduler).unwrap(),
            _master: master,
            thread,
            results: HashMap::new(),
            learned: HashMap::new(),
            credits: 0,
        }
    }

    /// Sends a job for `content` and its recipients; `number` is its number, recipient indexes are 0, 1...
    pub fn send(&mut self, number: u64, channel: &str, host: &str, recipients: &[&str], content: &[u8]) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"env-end\n").unwrap();
        file.write_all(content).unwrap();
        if self.cold {
            // Out of the page cache, so that the reader thread must read it.
            file.sync_all().unwrap();
            let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            nix::fcntl::posix_fadvise(&file, 0, 0, advice).unwrap();
        }
        let recipient = |(index, user): (usize, &&str)| JobRecipient {
            index: u32::try_from(index).unwrap(),
            user: (*user).into(),
            attributes: "-".into(),
            original: None,
            via: None,
            dsn: Default::default(),
            failure: None,
        };
        let job = Job {
            number,
            message: "0123456789abcdef".into(),
            channel: channel.into(),
            host: host.into(),
            sender: "s@a.example".into(),
            verp: false,
            edits: envelope::Edits::default(),
            body_offset: 8,
            size: content.len() as u64,
            arrived: 0,
            bodytype: self.bodytype,
            smtputf8: false,
            envid: None,
            ret: None,
            terms: self.terms,
            sharing: self.sharing,
            recipients: recipients.iter().enumerate().map(recipient).collect(),
        };
        self.scheduler.send_with(&ToAgent::Jobs(vec![job]), vec![file.into()]).unwrap();
    }

    fn turn(&mut self) -> Result<(), RecvError> {
        match self.scheduler.recv_by(Instant::now() + PATIENCE)?.0 {
            ToScheduler::Reports(reports) => {
                for report in reports {
                    self.learned.insert(report.job, report.learned);
                    self.results.entry(report.job).or_default().extend(report.results);
                }
            }
            ToScheduler::Credit(n) => self.credits += n,
            ToScheduler::Register { .. } => panic!("not asked to register"),
        }
        Ok(())
    }

    /// The results of a job once `count` recipients have one.
    pub fn results(&mut self, job: u64, count: usize) -> Vec<RecipientResult> {
        while self.results.get(&job).is_none_or(|results| results.len() < count) {
            self.turn().unwrap();
        }
        let mut results = self.results.remove(&job).unwrap();
        results.sort_by_key(|r| r.index);
        assert_eq!(results.len(), count);
        results
    }

    /// One recipient's result as `Outcome status`, and its text.
    pub fn result(&mut self, job: u64) -> (String, String) {
        let result = self.results(job, 1).remove(0);
        (format!("{:?} {}", result.outcome, result.status), result.text)
    }

    /// What a job taught, once it has a result.
    pub fn learned(&mut self, job: u64) -> ipc::agents::Learned {
        self.results(job, 1);
        self.learned[&job]
    }

    /// Drains the agent and waits for its end.
    pub fn drain(mut self) -> ExitCode {
        self.scheduler.send(&ToAgent::Drain).unwrap();
        while self.turn().is_ok() {}
        self.thread.join().unwrap()
    }

    /// The scheduler dies.
    pub fn orphan(self) -> ExitCode {
        drop(self.scheduler);
        self.thread.join().unwrap()
    }
}
