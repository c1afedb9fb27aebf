//! Filling places with processes.

use crate::children::{Child, Slot, State, free_index};
use crate::services::{Kind, Service};
use crate::supervise::Master;
use ipc::Channel;
use ipc::master::{Start, ToChild};
use mio::{Interest, Token};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A process that has not become ready by then is killed and counts as failed.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// `zpost start` gives up when one place has failed so often before the suite was ever ready.
const HOPELESS: u32 = 4;

impl Master {
    /// Makes the places that the configuration asks for; surplus ones give their processes up.
    pub fn fill_slots(&mut self) {
        let now = Instant::now();
        for service in crate::services::SERVICES {
            let wanted = self.wanted_number(service);
            let have = self.slots.iter().filter(|s| s.service.name == service.name).count();
            for _ in have..wanted {
                self.slots.push(Slot::new(service, now));
            }
            for _ in wanted..have {
                self.remove_slot(service);
            }
        }
        self.slots.sort_by_key(|slot| slot.service.level);
        self.wake(now);
    }

    fn wanted_number(&self, service: &Service) -> usize {
        let processes = &self.configuration.settings.processes;
        if !self.services.iter().any(|s| s.name == service.name) {
            return 0;
        }
        let have = self.slots.iter().filter(|s| s.service.name == service.name).count();
        match service.kind {
            Kind::Single => 1,
            Kind::Routers => usize::from(processes.routers.max(1)),
            Kind::Workers => {
                let least = usize::from(processes.smtpserver_min.max(1));
                have.clamp(least, least.max(usize::from(processes.smtpserver_max)))
            }
            Kind::Agent => 0,
        }
    }

    /// Gives up the last place of a service; its process finishes what it has.
    pub fn remove_slot(&mut self, service: &Service) {
        let Some(at) = self.slots.iter().rposition(|s| s.service.name == service.name) else { return };
        if let Some(key) = self.slots.remove(at).child {
            self.retire(key);
        }
    }

    /// Starts what may start now, and remembers when the next may.
    pub fn start_due(&mut self, now: Instant) {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at) else { continue };
            if slot.child.is_some() || slot.service.exclusive && self.alive(slot.service) {
                continue;
            }
            if slot.start_at > now {
                let at = slot.start_at;
                self.wake(at);
                continue;
            }
            self.start_slot(at, now);
        }
    }

    fn alive(&self, service: &Service) -> bool {
        self.children.values().any(|c| c.service.name == service.name)
    }

    fn start_slot(&mut self, at: usize, now: Instant) {
        let Some(service) = self.slots.get(at).map(|s| s.service) else { return };
        let launched = match service.kind {
            Kind::Routers => self.launch_router(service),
            _ => self.launch(service, "", None),
        };
        match launched {
            Ok(key) => {
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.child = Some(key);
                }
                if service.name == "routermux" {
                    self.introduce_routers();
                }
                if service.name == "scheduler" && self.frozen {
                    self.tell(key, &ToChild::Freeze(true), Vec::new());
                }
            }
            Err(e) => {
                daemon::event!(Error, "spawn_failed", process = service.name, error = e);
                self.slot_failed(at, None, false, format!("cannot be spawned: {e}"), now);
            }
        }
    }

    /// The process of a place has ended (or could not begin): when may the next one start?
    pub fn slot_failed(&mut self, at: usize, ready: Option<Instant>, clean: bool, reason: String, now: Instant) {
        let processes = &self.configuration.settings.processes;
        let (first, longest) = (processes.restart_first, processes.restart_longest);
        let Some(slot) = self.slots.get_mut(at) else { return };
        let wait = slot.backoff.wait(ready, now, clean, first, longest);
        slot.child = None;
        slot.restarts = slot.restarts.saturating_add(1);
        slot.start_at = now + wait;
        let hopeless = slot.backoff.failures() >= HOPELESS;
        let log = match &self.configuration.settings.log {
            log if log.to_file => format!("; its last words are in {}/zpost.log", self.configuration.settings.paths.log.display()),
            _ => String::new(),
        };
        let text = format!("zpost-master: {} does not start: {reason}{log}", slot.service.name);
        slot.last_end = reason;
        self.wake(now + wait);
        self.counters.add("restarts", 1);
        if hopeless && self.background && !self.announced && self.stopping.is_none() {
            eprintln!("{text}");
            self.begin_stop(70);
        }
    }

    /// A router comes with a conversation whose other end belongs to the routermux.
    fn launch_router(&mut self, service: &'static Service) -> io::Result<usize> {
        let (router, mux) = ipc::channel::pair()?;
        let key = self.launch(service, "", Some(router))?;
        if let Some(child) = self.children.get_mut(&key) {
            child.mux_end = Some(mux);
        }
        self.introduce_routers();
        if self.shadow.is_some() {
            self.tell_of_shadow(key);
        }
        Ok(key)
    }

    /// Gives the routermux its ends of the routers it does not know yet.
    fn introduce_routers(&mut self) {
        let mux = self.slots.iter().find(|s| s.service.name == "routermux").and_then(|s| s.child);
        let Some(mux) = mux else { return };
        let mut introductions = Vec::new();
        for child in self.children.values_mut() {
            if let Some(end) = child.mux_end.take() {
                let pid = u32::try_from(child.pid.as_raw()).unwrap_or(0);
                introductions.push((ToChild::Agent { ticket: u64::from(child.index), channel: "router".into(), pid }, end));
            }
        }
        for (frame, end) in introductions {
            self.tell(mux, &frame, vec![end]);
        }
    }

    /// Spawns a process and sends its first frame.
    pub fn launch(&mut self, service: &'static Service, channel: &str, jobs: Option<OwnedFd>) -> io::Result<usize> {
        self.tickets.iter_mut().for_each(tls::server::Secret::forget);
        let index = free_index(self.children.values(), service);
        let row = self.rows.row(service.name, index);
        let (ours, theirs) = ipc::channel::pair()?;
        let start = Start {
            service: service.name.to_owned(),
            index,
            generation: self.generation,
            counter_row: row,
            config_path: self.configuration.path.display().to_string(),
            names: Vec::new(),
            channel: channel.to_owned(),
        };
        let (start, descriptors) = self.descriptors(service, start, jobs)?;
        let mut link = Channel::new(ours)?;
        link.send_with(&ToChild::Start(start), descriptors)?;
        let process = sys::spawn(self.command(service, theirs)?, self.site.identity(service, channel), false)?;
        let pid = Pid::from_raw(i32::try_from(process.id()).map_err(io::Error::other)?);
        let now = Instant::now();
        let child = Child {
            service,
            index,
            generation: self.generation,
            row,
            pid,
            link: Some(link),
            writing: false,
            state: State::Starting,
            superseded: false,
            ready_at: None,
            kill_at: Some(now + START_DEADLINE),
            sessions: HashMap::new(),
            strangers: 0,
            served: 0,
            channel: channel.to_owned(),
            mux_end: None,
            retire_by: None,
            failing: String::new(),
        };
        self.wake(now + START_DEADLINE);
        daemon::event!(Info, "spawned", process = service.name, index = index, child = pid, generation = self.generation);
        self.adopt(child)
    }

    /// Listens to a child's conversation.
    pub fn adopt(&mut self, mut child: Child) -> io::Result<usize> {
        let key = self.new_key();
        if let Some(link) = &mut child.link {
            self.poll.registry().register(link, Token(key), Interest::READABLE)?;
        }
        self.children.insert(key, child);
        Ok(key)
    }

    /// The descriptors of a first frame, and their names in it.
    fn descriptors(&self, service: &Service, mut start: Start, jobs: Option<OwnedFd>) -> io::Result<(Start, Vec<OwnedFd>)> {
        let keep = &self.keepsakes;
        let mut named: Vec<(String, OwnedFd)> = self.common_descriptors()?;
        named.extend(self.tls_for(service)?);
        named.extend(self.files_for(service));
        if service.kind == Kind::Workers {
            for (number, table) in self.configuration.tables.iter().enumerate() {
                named.push((format!("policy:{number}"), table.try_clone()?));
            }
        }
        if let Some(secrets) = self.configuration.secrets.as_ref().filter(|_| service.name == "ta-smtp") {
            named.push(("secrets".into(), secrets.try_clone()?));
        }
        for contact in service.contacts.iter().chain(service.tells) {
            if let Some((caller, _)) = keep.contacts.get(*contact).filter(|_| self.runs(contact)) {
                named.push((format!("contact:{contact}"), caller.try_clone()?));
            }
        }
        if let Some((_, server)) = keep.contacts.get(service.name).filter(|_| service.serves) {
            named.push(("serve".into(), server.try_clone()?));
        }
        if let Some(socket) = service.notify.and_then(|name| keep.notify.get(name)) {
            named.push(("notify".into(), socket.try_clone()?));
        }
        if let Some(socket) = keep.agents.as_ref().filter(|_| service.name == "scheduler") {
            named.push(("agents".into(), socket.try_clone()?));
        }
        if let Some(jobs) = jobs {
            named.push(("jobs".into(), jobs));
        }
        let (names, descriptors) = named.into_iter().unzip();
        start.names = names;
        Ok((start, descriptors))
    }

    /// What a service needs for TLS: certificates for those who speak it, private keys for the keyholder alone.
    pub fn tls_for(&self, service: &Service) -> io::Result<Vec<(String, OwnedFd)>> {
        let (of_listeners, of_client) = (self.configuration.certificates.as_ref(), self.configuration.identity.as_ref());
        let files = match service.name {
            "smtpserver" => vec![
                ("certificates", of_listeners.map(|halves| &halves.chains)),
                ("client_authorities", self.configuration.authorities.as_ref()),
            ],
            "ta-smtp" => vec![("identity", of_client.map(|halves| &halves.chains))],
            "keyholder" => vec![("keys", of_listeners.map(|halves| &halves.keys)), ("identity_key", of_client.map(|halves| &halves.keys))],
            _ => return Ok(Vec::new()),
        };
        let mut named = Vec::new();
        for (name, memory) in files {
            if let Some(memory) = memory {
                named.push((name.to_owned(), memory.try_clone()?));
            }
        }
        if let Some(secret) = self.tickets.as_ref().filter(|_| service.name == "smtpserver" && of_listeners.is_some()) {
            named.push(("tickets".to_owned(), crate::configuration::sealed(&secret.to_bytes())?));
        }
        Ok(named)
    }

    /// Files that the resolver reads anew at each reload, opened here: in its sandbox it can open none. One that cannot be
    /// opened is for the resolver to miss.
    pub fn files_for(&self, service: &Service) -> Vec<(String, OwnedFd)> {
        let dns = &self.configuration.settings.dns;
        let of_system = dns.servers.is_empty().then_some(Path::new("/etc/resolv.conf"));
        let files = [("resolv.conf", of_system), ("trust_anchor", dns.trust_anchor.as_deref())];
        let wanted = files.into_iter().filter(|_| service.name == "resolver");
        wanted.filter_map(|(name, path)| Some((name.to_owned(), File::open(path?).ok()?.into()))).collect()
    }

    fn runs(&self, service: &str) -> bool {
        self.services.iter().any(|s| s.name == service)
    }

    /// What every child gets, at start and at reload.
    pub fn common_descriptors(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut named = vec![
            ("config".to_owned(), self.configuration.memory.try_clone()?),
            ("counters".to_owned(), self.keepsakes.counters.try_clone()?),
        ];
        if let Some(log) = &self.log {
            named.push(("log".to_owned(), log.try_clone()?));
        }
        Ok(named)
    }

    /// The program, with nothing of our environment but what it needs. A process group of its own keeps a Ctrl-C at
    /// the terminal from reaching it before the master has decided the order.
    fn command(&self, service: &Service, conversation: OwnedFd) -> io::Result<Command> {
        let mut command = Command::new(self.site.libexec.join(service.name));
        command.process_group(0).env_clear().current_dir(&self.configuration.settings.paths.postoffice);
        for name in ["PATH", "TZ", "ZPOST_TRACE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(&self.configuration.settings.processes.environment).stdin(Stdio::from(conversation));
        // What a child says before its log is open, or when it panics, must not be lost.
        if let Some(log) = &self.log {
            command.stdout(log.as_fd().try_clone_to_owned()?).stderr(log.as_fd().try_clone_to_owned()?);
        }
        Ok(command)
    }
}
