//! The first second of a process: descriptor 0 is the conversation with the master; everything else comes over it.

use crate::{Counters, EX_CONFIG, EX_OSERR, EX_SOFTWARE, EX_USAGE, Signals, log};
use ipc::master::{Start, ToChild, ToMaster};
use ipc::{Caller, Channel, ContactPoint};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a child waits for its first frame.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A process that has started: everything it was given.
#[derive(Debug)]
pub struct Started {
    pub service: String,
    pub index: u16,
    pub generation: u32,
    /// For agents: the channel served.
    pub channel: String,
    pub settings: Arc<settings::Settings>,
    /// The conversation with the master. At `RecvError::Closed` exit at once (`EX_ORPHANED`).
    pub master: Channel<ToMaster, ToChild>,
    pub contacts: Contacts,
    pub counters: Counters,
    pub signals: Signals,
}

/// Why a process does not start: a sysexits code and a text for standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: u8,
    pub text: String,
}

impl Refusal {
    /// The system refused something (`EX_OSERR`).
    pub fn system(text: impl Into<String>) -> Self {
        Self { code: EX_OSERR, text: text.into() }
    }
    /// The master sent what it should not, or not what it should (`EX_SOFTWARE`).
    pub fn conversation(text: impl Into<String>) -> Self {
        Self { code: EX_SOFTWARE, text: text.into() }
    }
    /// Says it on standard error: the exit status of the process.
    pub fn say(&self) -> ExitCode {
        log::flush();
        eprintln!("{}", self.text);
        ExitCode::from(self.code)
    }
}

/// The descriptors that came with the start, by name.
#[derive(Debug, Default)]
pub struct Contacts(Vec<(String, OwnedFd)>);

impl Contacts {
    /// Descriptors by hand, for tests that play the master.
    pub const fn of(named: Vec<(String, OwnedFd)>) -> Self {
        Self(named)
    }
    /// Takes one by name, such as `notify` or `jobs`.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }
    /// The calling end of a subdaemon's contact point; `None` when the suite runs without that subdaemon.
    pub fn caller(&mut self, subdaemon: &str) -> Option<Caller> {
        Caller::new(self.take(&format!("contact:{subdaemon}"))?).ok()
    }
    /// The answering end of the own contact point.
    pub fn serve(&mut self) -> Option<ContactPoint> {
        ContactPoint::new(self.take("serve")?).ok()
    }
}

/// Starts a service: blocks signals, takes the first frame, opens log and counters.
/// The caller sends `ToMaster::Ready` once it is able to work.
pub fn start(service: &str) -> Result<Started, Refusal> {
    let signals = Signals::block().map_err(|e| Refusal::system(format!("{service}: cannot block signals: {e}")))?;
    let end = sys::take_standard_input().map_err(|e| Refusal::system(format!("{service}: cannot take descriptor 0: {e}")))?;
    let is_socket = nix::sys::socket::getsockopt(&end, nix::sys::socket::sockopt::SockType);
    if is_socket != Ok(nix::sys::socket::SockType::SeqPacket) {
        let text = format!(
            "{service}: descriptor 0 is not a conversation with zpost-master. This program is started by zpost-master; run `zpost start`."
        );
        return Err(Refusal { code: EX_USAGE, text });
    }
    let mut master = Channel::<ToMaster, ToChild>::new(end).map_err(|e| Refusal::system(format!("{service}: {e}")))?;
    let (start, descriptors) = first_frame(service, &mut master)?;
    let (settings, mut contacts) = open(&start, descriptors).map_err(|text| Refusal { code: EX_CONFIG, text })?;
    log::init(service, settings.log.format, settings.log.level, contacts.take("log").map(File::from));
    let table = contacts.take("counters").ok_or_else(|| Refusal::conversation(format!("{service}: the master sent no counters")))?;
    let counters = Counters::map(&table, start.counter_row, service).map_err(|e| Refusal::system(format!("{service}: counters: {e}")))?;
    let Start { service, index, generation, channel, .. } = start;
    Ok(Started { service, index, generation, channel, settings, master, contacts, counters, signals })
}

fn first_frame(service: &str, master: &mut Channel<ToMaster, ToChild>) -> Result<(Start, Vec<OwnedFd>), Refusal> {
    let received = master.recv_by(Instant::now() + START_DEADLINE);
    let (frame, descriptors) = received.map_err(|e| Refusal::conversation(format!("{service}: no start from the master: {e}")))?;
    match frame {
        ToChild::Start(start) if start.service == service => Ok((start, descriptors)),
        ToChild::Start(start) => Err(Refusal::conversation(format!("{service}: the master wants to start {}", start.service))),
        _ => Err(Refusal::conversation(format!("{service}: the master's first frame is not a start"))),
    }
}

impl Started {
    /// A process without a master, for tests that play him: `master` is the process's end of the conversation, and the
    /// counters may be read elsewhere.
    pub fn detached(service: &str, settings: Arc<settings::Settings>, master: OwnedFd, counters: Counters) -> io::Result<Self> {
        Ok(Self {
            service: service.to_owned(),
            index: 0,
            generation: 0,
            channel: String::new(),
            settings,
            master: Channel::new(master)?,
            contacts: Contacts::default(),
            counters,
            signals: Signals::block()?,
        })
    }

    /// What a `ToChild::Reload` brings: the new settings (also kept in `self`) and the descriptors beside them.
    pub fn reload(&mut self, start: &Start, descriptors: Vec<OwnedFd>) -> Result<Contacts, String> {
        let (settings, mut contacts) = open(start, descriptors)?;
        if let Some(file) = contacts.take("log") {
            log::reopen(Some(File::from(file)));
        }
        self.settings = settings;
        self.generation = start.generation;
        Ok(contacts)
    }
}

/// A configuration that the master sends beside the one at work.
pub fn settings_of(start: &Start, descriptors: Vec<OwnedFd>) -> Result<Arc<settings::Settings>, String> {
    open(start, descriptors).map(|(settings, _)| settings)
}

fn open(start: &Start, descriptors: Vec<OwnedFd>) -> Result<(Arc<settings::Settings>, Contacts), String> {
    if start.names.len() != descriptors.len() {
        return Err(format!("{}: {} names for {} descriptors", start.service, start.names.len(), descriptors.len()));
    }
    let mut contacts = Contacts(start.names.iter().cloned().zip(descriptors).collect());
    let config = contacts.take("config").ok_or_else(|| format!("{}: the master sent no configuration", start.service))?;
    let text = read_config(config).map_err(|e| format!("{}: configuration: {e}", start.service))?;
    let settings = settings::parse(&text, &start.config_path).map_err(|faults| {
        let first = faults.first().map_or("", |f| f.text.as_str());
        format!("{}: the master sent a wrong configuration: {first}", start.service)
    })?;
    Ok((Arc::new(settings), contacts))
}

fn read_config(config: OwnedFd) -> io::Result<String> {
    String::from_utf8(read_memory(config)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The whole of a memory file from the master. By position: its offset is shared with every other child that has it.
pub fn read_memory(memory: OwnedFd) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let file = File::from(memory);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
