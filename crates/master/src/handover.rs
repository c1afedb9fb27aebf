//! Upgrade: the master becomes the new program in the same process. Every socket, the counter table, the lock and the
//! conversations with living children go over as descriptors in a socketpair whose reading end is the new program's
//! descriptor 0, in the same way as a child gets its own at start.

use crate::children::{Child, Rows, State};
use crate::clients::Client;
use crate::configuration::sealed;
use crate::limits::Counted;
use crate::listeners::{Listener, Place};
use crate::services;
use crate::supervise::{Keepsakes, Master};
use ipc::Channel;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Says to the new program that descriptor 0 is a hand-over.
const VARIABLE: &str = "ZPOST_HANDOVER";
/// Shape of [`Saved`]; a program that knows another one refuses.
const VERSION: u32 = 1;
/// How long the new program may take to check itself.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    executable: PathBuf,
    generation: u32,
    next_session: u64,
    uptime: Duration,
    rows: Vec<(String, u16, u32)>,
    places: BTreeMap<u32, Vec<Place>>,
    listeners: Vec<Place>,
    children: Vec<SavedChild>,
    /// What each descriptor after the first is.
    names: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedChild {
    service: String,
    index: u16,
    generation: u32,
    row: u32,
    pid: i32,
    draining: bool,
    sessions: Vec<(u64, Option<IpAddr>)>,
    served: u64,
    channel: String,
}

/// What an earlier image of this master left.
#[derive(Debug)]
pub struct Handover {
    saved: Saved,
    descriptors: HashMap<String, OwnedFd>,
}

impl Handover {
    /// Takes what descriptor 0 brings; `None`: this is an ordinary start.
    pub fn receive() -> io::Result<Option<Self>> {
        use nix::sys::socket::{SockType, getsockopt, sockopt};
        if std::env::var_os(VARIABLE).is_none() || getsockopt(&io::stdin(), sockopt::SockType) != Ok(SockType::SeqPacket) {
            return Ok(None);
        }
        let socket = UnixDatagram::from(sys::take_standard_input()?);
        let mut descriptors = Vec::new();
        loop {
            let (length, mut some) = sys::receive(&socket, &mut [0; 16])?;
            if length == 0 {
                break;
            }
            descriptors.append(&mut some);
        }
        let mut descriptors = descriptors.into_iter();
        let state = descriptors.next().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let saved = decode(&File::from(state))?;
        let descriptors = saved.names.iter().cloned().zip(descriptors).collect();
        Ok(Some(Self { saved, descriptors }))
    }

    pub fn executable(&self) -> PathBuf {
        self.saved.executable.clone()
    }

    fn take(&mut self, name: &str) -> io::Result<OwnedFd> {
        self.descriptors.remove(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no descriptor {name}")))
    }

    pub fn keepsakes(&mut self) -> io::Result<Keepsakes> {
        let (mut notify, mut contacts) = (BTreeMap::new(), BTreeMap::new());
        for name in self.saved.names.clone() {
            if let Some(socket) = name.strip_prefix("notify:") {
                notify.insert(socket.to_owned(), self.take(&name)?);
            } else if let Some(service) = name.strip_prefix("caller:") {
                let ends = (self.take(&name)?, self.take(&format!("server:{service}"))?);
                contacts.insert(service.to_owned(), ends);
            }
        }
        Ok(Keepsakes {
            lock: self.take("lock")?.into(),
            control: self.take("control")?,
            agents: self.take("agents").ok(),
            notify,
            contacts,
            counters: fitting(self.take("counters")?)?,
        })
    }

    pub fn listeners(&mut self) -> Vec<Listener> {
        let places = std::mem::take(&mut self.saved.listeners);
        let adopt = |(at, place): (usize, Place)| Some(Listener::adopt(place, self.take(&format!("listener:{at}")).ok()?));
        places.into_iter().enumerate().filter_map(adopt).collect()
    }
}

/// The counter table, or a new one where that of the earlier program has another shape: then the counts begin anew, and
/// children of the earlier program count where nobody looks.
fn fitting(table: OwnedFd) -> io::Result<OwnedFd> {
    if daemon::Counters::map(&table, 0, "master").is_ok() {
        return Ok(table);
    }
    daemon::event!(Warning, "counters_begin_anew", reason = "the earlier program's table has another shape");
    daemon::Counters::create_table()
}

fn decode(state: &File) -> io::Result<Saved> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(state.metadata()?.len()).map_err(io::Error::other)?];
    state.read_exact_at(&mut bytes, 0)?;
    let (saved, _): (Saved, usize) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).map_err(io::Error::other)?;
    if saved.version != VERSION {
        return Err(io::Error::other(format!("state of version {}, this program knows {VERSION}", saved.version)));
    }
    Ok(saved)
}

impl Master {
    /// Becomes the new program. Returns only when that could not be; then everything goes on as before.
    pub fn begin_upgrade(&mut self, client: Option<usize>) {
        if let Some(reason) = self.busy() {
            return self.answer_refusal(client, 75, reason);
        }
        daemon::event!(Info, "upgrading", program = self.site.executable.display());
        daemon::log::flush();
        if let Err(reason) = check(&self.site.executable, &self.configuration.path) {
            daemon::event!(Error, "upgrade_refused", reason = reason);
            return self.answer_refusal(client, 78, &format!("the new program does not work, the old one goes on: {reason}"));
        }
        self.readiness.reloading();
        let error = match self.save(client) {
            Ok(conversation) => self.become_new(conversation),
            Err(e) => e,
        };
        daemon::event!(Error, "upgrade_failed", error = error);
        self.announce_again();
        self.answer_refusal(client, 71, &format!("cannot become the new program, the old one goes on: {error}"));
    }

    fn become_new(&self, conversation: OwnedFd) -> io::Error {
        let mut command = Command::new(&self.site.executable);
        command.arg("--config").arg(&self.configuration.path);
        if let Some(roles) = &self.roles {
            command.arg("--role").arg(roles.iter().map(|r| r.name).collect::<Vec<_>>().join(","));
        }
        if self.background {
            command.arg("--background");
        }
        let error = command.env(VARIABLE, "1").stdin(Stdio::from(conversation)).exec();
        // exec has unblocked the signals and taken descriptor 0 before it failed.
        let _ = daemon::Signals::block();
        if let Ok(null) = File::open("/dev/null") {
            let _ = nix::unistd::dup2_stdin(&null);
        }
        error
    }

    /// Puts state and descriptors into a socketpair; gives the reading end.
    fn save(&self, client: Option<usize>) -> io::Result<OwnedFd> {
        let mut named: Vec<(String, OwnedFd)> = Vec::new();
        let keep = &self.keepsakes;
        named.push(("lock".into(), keep.lock.as_fd().try_clone_to_owned()?));
        named.push(("control".into(), keep.control.try_clone()?));
        named.push(("counters".into(), keep.counters.try_clone()?));
        if let Some(agents) = &keep.agents {
            named.push(("agents".into(), agents.try_clone()?));
        }
        for (name, socket) in &keep.notify {
            named.push((format!("notify:{name}"), socket.try_clone()?));
        }
        for (name, (caller, server)) in &keep.contacts {
            named.push((format!("caller:{name}"), caller.try_clone()?));
            named.push((format!("server:{name}"), server.try_clone()?));
        }
        for (at, listener) in self.listeners.values().enumerate() {
            named.push((format!("listener:{at}"), listener.duplicate()?));
        }
        for child in self.children.values() {
            if let Some(link) = &child.link {
                named.push((format!("child:{}", child.pid), link.as_fd().try_clone_to_owned()?));
            }
        }
        if let Some(client) = client.and_then(|key| self.clients.get(&key)) {
            named.push(("client".into(), client.link.as_fd().try_clone_to_owned()?));
        }
        let saved = self.saved(named.iter().map(|(name, _)| name.clone()).collect());
        let bytes = bincode::serde::encode_to_vec(&saved, bincode::config::standard()).map_err(io::Error::other)?;
        let (ours, theirs) = ipc::channel::pair()?;
        let ours = UnixDatagram::from(ours);
        sys::send(&ours, b"z", &[sealed(&bytes)?.as_fd()])?;
        for some in named.chunks(sys::MAX_DESCRIPTORS) {
            let descriptors: Vec<_> = some.iter().map(|(_, end)| end.as_fd()).collect();
            sys::send(&ours, b"z", &descriptors)?;
        }
        Ok(theirs)
    }

    fn saved(&self, names: Vec<String>) -> Saved {
        let children = self.children.values().map(|child| SavedChild {
            service: child.service.name.to_owned(),
            index: child.index,
            generation: child.generation,
            row: child.row,
            pid: child.pid.as_raw(),
            draining: child.state == State::Draining,
            sessions: child.sessions.iter().map(|(number, counted)| (*number, counted.address)).collect(),
            served: child.served,
            channel: child.channel.clone(),
        });
        Saved {
            version: VERSION,
            executable: self.site.executable.clone(),
            generation: self.generation,
            next_session: self.next_session,
            uptime: self.started.elapsed(),
            rows: self.rows.all().map(|(service, index, row)| (service.to_owned(), index, row)).collect(),
            places: self.places.clone(),
            listeners: self.listeners.values().map(|l| l.place.clone()).collect(),
            children: children.collect(),
            names,
        }
    }

    /// Goes on where the earlier image was: its children are the old generation. Old workers serve until new ones are
    /// ready; who owns files (scheduler, routermux) is drained first, and its successor waits for its end.
    pub fn take_over(&mut self, mut handover: Handover) -> io::Result<()> {
        self.rows = Rows::restore(std::mem::take(&mut handover.saved.rows));
        self.generation = handover.saved.generation.saturating_add(1);
        self.places = std::mem::take(&mut handover.saved.places);
        self.next_session = handover.saved.next_session;
        self.started = self.started.checked_sub(handover.saved.uptime).unwrap_or(self.started);
        self.announced = true;
        for saved in std::mem::take(&mut handover.saved.children) {
            let end = handover.take(&format!("child:{}", saved.pid)).ok();
            self.adopt_old(saved, end)?;
        }
        self.remember_places();
        self.close_unlisted();
        let client = handover.take("client").ok().and_then(|end| Channel::new(end).ok());
        let client = client.and_then(|link| self.add_client(Client::owed(link, Instant::now() + Duration::from_secs(60))));
        self.expect_new_generation(client);
        // Those that ended between the images sent a signal that nobody heard.
        self.reap();
        Ok(())
    }

    fn close_unlisted(&mut self) {
        let wanted = crate::listeners::places(&self.configuration);
        let registry = self.poll.registry();
        self.listeners.retain(|_, listener| {
            let keep = wanted.iter().any(|(place, _)| *place == listener.place);
            if !keep {
                listener.deregister(registry);
            }
            keep
        });
    }

    fn adopt_old(&mut self, saved: SavedChild, end: Option<OwnedFd>) -> io::Result<()> {
        let Some(service) = services::named(&saved.service) else { return Ok(()) };
        let agent = service.kind == services::Kind::Agent;
        let link = end.map(Channel::new).transpose()?;
        // Which listener each came from is not handed over: strangers are told by their address.
        let stranger = |address| self.configuration.settings.is_stranger(Some(settings::ListenerKind::Smtp), address);
        let sessions: HashMap<u64, Counted> =
            saved.sessions.into_iter().map(|(number, address)| (number, Counted { address, stranger: stranger(address) })).collect();
        for counted in sessions.values() {
            self.connections.add(*counted);
        }
        let strangers = u32::try_from(sessions.values().filter(|counted| counted.stranger).count()).unwrap_or(u32::MAX);
        let now = Instant::now();
        let deadline = now + self.configuration.settings.processes.drain;
        let unheard = saved.draining || link.is_none();
        let child = Child {
            service,
            index: saved.index,
            generation: saved.generation,
            row: saved.row,
            pid: Pid::from_raw(saved.pid),
            link,
            writing: false,
            state: if saved.draining { State::Draining } else { State::Ready },
            superseded: !agent,
            ready_at: Some(now),
            kill_at: unheard.then_some(deadline),
            sessions,
            strangers,
            served: saved.served,
            channel: saved.channel,
            mux_end: None,
            retire_by: None,
            failing: String::new(),
        };
        self.wake(deadline);
        let key = self.adopt(child)?;
        if service.exclusive {
            self.drain(key);
        }
        Ok(())
    }
}

/// Lets the new program say its version and check the configuration before anything is given up.
fn check(program: &Path, configuration: &Path) -> Result<(), String> {
    let config = configuration.as_os_str();
    for arguments in [vec!["--version".as_ref()], vec!["--check".as_ref(), "--config".as_ref(), config]] {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let said = child.stderr.take().map_or_else(|| Ok(String::new()), |stream| read_within(stream, CHECK_DEADLINE));
        if said.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|e| e.to_string())?;
        let said = said.map_err(|e| format!("{}: {e}", program.display()))?;
        if !status.success() {
            return Err(format!("{}: {status}: {}", program.display(), said.trim()));
        }
    }
    Ok(())
}

/// Reads to the end, at most 64 KiB, in bounded time.
fn read_within(mut stream: impl Read + AsFd, limit: Duration) -> io::Result<String> {
    let deadline = Instant::now() + limit;
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while text.len() < 65536 {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
        }
        match stream.read(&mut buffer)? {
            0 => break,
            length => text.extend_from_slice(buffer.get(..length).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_table_of_another_shape_is_replaced() {
        let older = sys::SharedCounters::create(4, 4).unwrap();
        assert!(daemon::Counters::map(&fitting(older).unwrap(), 1, "master").is_ok());
        let same = daemon::Counters::create_table().unwrap();
        daemon::Counters::map(&same, 1, "master").unwrap().add("connections", 7);
        let kept = daemon::Counters::map(&fitting(same).unwrap(), 1, "master").unwrap();
        assert_eq!(kept.read_row(1, "master").first(), Some(&("connections", 7)));
    }
}
