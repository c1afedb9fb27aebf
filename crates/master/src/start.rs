//! Start-up: everything is checked before anything is started.

use crate::Failure;
use crate::arguments::Arguments;
use crate::configuration::{Configuration, render};
use crate::handover::Handover;
use crate::listeners::{self, Listener};
use crate::services::Service;
use crate::site::{self, Site};
use crate::sockets::{self, Shape};
use crate::supervise::{Beginning, Keepsakes, Master};
use daemon::{Counters, Signals};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::SockType;
use nix::sys::stat::{Mode, umask};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a master that was killed may take to be gone.
const DYING: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(5);

/// From the command line to the end of the suite.
pub fn begin() -> Result<ExitCode, Failure> {
    let Some(arguments) = Arguments::read()? else { return Ok(ExitCode::SUCCESS) };
    let readiness = arguments.readiness()?;
    // Before the first thread or child: they inherit the mask.
    let signals = Signals::block().map_err(|e| Failure::system(format!("zpost-master: cannot block signals: {e}")))?;
    let handover = Handover::receive().map_err(|e| Failure::system(format!("zpost-master: upgrade: {e}")))?;
    let path = std::path::absolute(&arguments.config).map_err(|e| Failure::config(format!("zpost-master: {e}")))?;
    let configuration = Configuration::read(&path)?;
    let roles = arguments.roles()?;
    let services = site::wanted(&configuration.settings, roles.as_deref());
    let mut site = Site::survey(&configuration, &services, &executable(handover.as_ref())?)?;
    let doubts = crate::doubts::doubts(&configuration);
    if arguments.check {
        doubts.iter().for_each(|doubt| eprintln!("{}", doubt.display(&path.display().to_string())));
        return Ok(ExitCode::SUCCESS);
    }
    raise_limits();
    umask(Mode::from_bits_truncate(0o027));
    if arguments.background && handover.is_none() {
        // Fails only for a group leader, which has its own session or terminal already.
        let _ = nix::unistd::setsid();
    }
    site::make_folders(&configuration, &mut site)?;
    let mut handover = handover;
    let log = open_log(&configuration)?;
    let (mut keepsakes, bound) = sockets_of(&configuration, &site, roles.as_deref(), handover.as_mut())?;
    add_contacts(&mut keepsakes.contacts, &services).map_err(|e| Failure::system(format!("zpost-master: contact points: {e}")))?;
    begin_log(&configuration, log.as_ref());
    site.say_volume_faults();
    for doubt in doubts {
        daemon::event!(Warning, "doubtful", line = doubt.line, reason = doubt.text);
    }
    let background = arguments.background;
    let beginning = Beginning { configuration, site, roles, signals, keepsakes, listeners: bound, log, background, readiness };
    let code = run(beginning, handover).map_err(|e| Failure::system(format!("zpost-master: {e}")))?;
    Ok(ExitCode::from(code))
}

/// All that is bound. The lock comes first: a second master says that one runs already, not that a port is in use. The
/// control socket comes last: who finds it finds a master that has got all it needs.
fn sockets_of(
    configuration: &Configuration,
    site: &Site,
    roles: Option<&[&'static Service]>,
    handover: Option<&mut Handover>,
) -> Result<(Keepsakes, Vec<Listener>), Failure> {
    let bind = |mut bound: Vec<Listener>| {
        let new = listeners::bind_new(configuration, |place| bound.iter().any(|l| l.place == *place));
        bound.extend(new.map_err(|faults| Failure::config(render(&configuration.path, &faults)))?);
        Ok(bound)
    };
    let Some(handover) = handover else {
        let lock = take_lock(&configuration.settings.paths.run.join(format!("master{}.lock", suffix(roles))))?;
        let bound = bind(Vec::new())?;
        return Ok((make_keepsakes(lock, configuration, site, roles)?, bound));
    };
    let keepsakes = handover.keepsakes().map_err(|e| Failure::system(format!("zpost-master: upgrade: {e}")))?;
    Ok((keepsakes, bind(handover.listeners())?))
}

fn run(beginning: Beginning, handover: Option<Handover>) -> io::Result<u8> {
    let mut master = Master::new(beginning)?;
    daemon::event!(Info, "started", version = env!("CARGO_PKG_VERSION"), config = master.configuration.path.display());
    if let Some(handover) = handover {
        master.take_over(handover)?;
    }
    let result = master.run();
    daemon::log::flush();
    result
}

/// Where this program was started from. Kept through upgrades: by then the kernel calls the replaced file deleted.
fn executable(handover: Option<&Handover>) -> Result<PathBuf, Failure> {
    match handover {
        Some(handover) => Ok(handover.executable()),
        None => std::env::current_exe().map_err(|e| Failure::system(format!("zpost-master: cannot find its own program: {e}"))),
    }
}

/// As many descriptors as we may have: every client passes through us, and workers inherit the limit.
/// Bytes that a process may lock in memory, where the master may raise that.
const LOCKABLE: u64 = 256 * 1024 * 1024;

fn raise_limits() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    // The keyholder keeps its memory out of the swap; the usual limit is less than a process is large.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, LOCKABLE, LOCKABLE);
}

fn begin_log(configuration: &Configuration, log: Option<&OwnedFd>) {
    let settings = &configuration.settings.log;
    let file = log.and_then(|log| log.try_clone().ok()).map(File::from);
    daemon::log::init("master", settings.format, settings.level, file);
}

/// Opens the log file; `None`: standard error.
pub fn open_log(configuration: &Configuration) -> Result<Option<OwnedFd>, Failure> {
    if !configuration.settings.log.to_file {
        return Ok(None);
    }
    let folder = &configuration.settings.paths.log;
    let path = folder.join("zpost.log");
    match File::options().append(true).create(true).mode(0o640).open(&path) {
        Ok(file) => Ok(Some(file.into())),
        Err(e) => {
            let fault = configuration.fault(&folder.to_string_lossy(), format!("cannot write the log {}: {e}", path.display()));
            Err(Failure::config(render(&configuration.path, &[fault])))
        }
    }
}

/// A master with a role has files of its own, so that several share a run folder.
fn suffix(roles: Option<&[&Service]>) -> String {
    roles.map_or_else(String::new, |roles| format!("-{}", roles.iter().map(|r| r.name).collect::<Vec<_>>().join("+")))
}

/// The control socket's name in the run folder.
pub fn control_name(roles: Option<&[&Service]>) -> String {
    format!("control{}", suffix(roles))
}

fn make_keepsakes(lock: File, configuration: &Configuration, site: &Site, roles: Option<&[&Service]>) -> Result<Keepsakes, Failure> {
    let run = &configuration.settings.paths.run;
    let has = |name: &str| roles.is_none_or(|roles| roles.iter().any(|r| r.name == name));
    let make = |name: &str, shape: Shape| {
        sockets::unix_under_lock(&run.join(name), shape, 64).map_err(|text| {
            let fault = configuration.fault(&run.to_string_lossy(), text);
            Failure::config(render(&configuration.path, &[fault]))
        })
    };
    let owners = site.owners;
    // Write-only, and only for those who may submit where the configuration names them.
    let notify = match owners.submit_gid {
        Some(gid) => Shape { kind: SockType::Datagram, mode: 0o220, uid: owners.uid, gid: Some(gid) },
        None => Shape { kind: SockType::Datagram, mode: 0o222, uid: owners.uid, gid: owners.gid },
    };
    let mut sockets = BTreeMap::new();
    for (service, name) in [("routermux", "router"), ("scheduler", "scheduler")] {
        if has(service) {
            sockets.insert(name.to_owned(), make(&format!("notify/{name}"), notify)?);
        }
    }
    // Agents of others come as users of their own; the scheduler asks the kernel who each is.
    let agents = Shape { kind: SockType::SeqPacket, mode: 0o666, uid: owners.uid, gid: owners.gid };
    let agents = if has("scheduler") { Some(make("agents", agents)?) } else { None };
    // Everybody may connect: the peer's credentials say what it may ask.
    let control = make(&control_name(roles), Shape { kind: SockType::SeqPacket, mode: 0o666, uid: None, gid: None })?;
    let counters = Counters::create_table().map_err(|e| Failure::system(format!("zpost-master: cannot make the counter table: {e}")))?;
    Ok(Keepsakes { lock, control, agents, notify: sockets, contacts: BTreeMap::new(), counters })
}

/// One master a run folder. The lock is the kernel's: it goes when the process does, however that ends. A process that was
/// killed this moment has it, and its sockets, for a while yet: the end is waited for.
fn take_lock(path: &Path) -> Result<File, Failure> {
    let name = path.display();
    let opened = File::options().read(true).write(true).create(true).truncate(false).mode(0o644).open(path);
    let mut file = opened.map_err(|e| Failure::config(format!("zpost-master: cannot open {name}: {e}")))?;
    let deadline = Instant::now() + DYING;
    let mut pid = String::new();
    loop {
        let locked = file.try_lock();
        pid.clear();
        let _ = file.rewind().and_then(|()| (&mut file).take(20).read_to_string(&mut pid));
        match locked {
            Ok(()) if is_ending(pid.trim()) && Instant::now() < deadline => {}
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::busy(format!("zpost-master: already running (process {}, lock {name})", pid.trim())));
            }
            Err(TryLockError::Error(e)) => return Err(Failure::system(format!("zpost-master: cannot lock {name}: {e}"))),
        }
        std::thread::sleep(GLANCE);
    }
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Is it a master, not us, that has lost its lock and still has other files open? The kernel closes them all before it makes
/// a zombie of a process.
fn is_ending(pid: &str) -> bool {
    if pid.parse() == Ok(std::process::id()) || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.split_once(" (zpost-master) ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// One contact point for each subdaemon that lacks one.
pub fn add_contacts(contacts: &mut BTreeMap<String, (OwnedFd, OwnedFd)>, services: &[&'static Service]) -> io::Result<()> {
    for service in services.iter().filter(|s| s.serves && !contacts.contains_key(s.name)).collect::<Vec<_>>() {
        contacts.insert(service.name.to_owned(), ipc::channel::pair()?);
    }
    Ok(())
}
