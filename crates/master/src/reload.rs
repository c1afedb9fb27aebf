//! A new configuration without an end of service: built and checked completely, then swapped.

use crate::Failure;
use crate::children::State;
use crate::configuration::{Configuration, render};
use crate::listeners::{self, Listener};
use crate::services::Kind;
use crate::site::{self, Site};
use crate::supervise::Master;
use ipc::master::{Start, ToChild};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A command waits this long for the new processes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reload (or the second half of an upgrade) whose new processes are on the way.
#[derive(Debug)]
pub struct Reloading {
    /// The command to answer.
    pub client: Option<usize>,
    pub deadline: Instant,
}

/// Everything a reload needs, made before anything is changed.
struct Prepared {
    configuration: Configuration,
    site: Site,
    listeners: Vec<Listener>,
    log: Option<OwnedFd>,
}

impl Master {
    /// Reads and checks the configuration; swaps it in, or keeps the old one and says every fault.
    pub fn begin_reload(&mut self, client: Option<usize>) {
        if let Some(reason) = self.busy() {
            return self.answer_refusal(client, 75, reason);
        }
        self.end_shadow("another reload");
        self.readiness.reloading();
        let prepared = match self.prepare() {
            Ok(prepared) => prepared,
            Err(failure) => {
                daemon::event!(Error, "reload_refused", reason = failure.text);
                self.announce_again();
                return self.answer_refusal(client, failure.code, &failure.text);
            }
        };
        if let Err(e) = self.swap(prepared) {
            daemon::event!(Error, "reload_failed", reason = e);
            self.announce_again();
            return self.answer_refusal(client, 71, &format!("the reload came half through: {e}; restart the suite"));
        }
        daemon::event!(Info, "reloading", generation = self.generation);
        self.expect_new_generation(client);
    }

    /// From now on a command waits until the new processes are ready.
    pub fn expect_new_generation(&mut self, client: Option<usize>) {
        let deadline = Instant::now() + PATIENCE;
        self.reloading = Some(Reloading { client, deadline });
        self.wake(deadline);
        self.wake(Instant::now());
    }

    /// Why neither reload nor upgrade can begin now.
    pub fn busy(&self) -> Option<&'static str> {
        if self.stopping.is_some() {
            return Some("the suite is stopping");
        }
        self.reloading.is_some().then_some("a reload or upgrade is under way; wait for it")
    }

    pub fn answer_refusal(&mut self, client: Option<usize>, code: u8, reason: &str) {
        if let Some(key) = client {
            self.refuse(key, code, reason);
        }
    }

    /// The command that is owed an answer by a reload or upgrade under way.
    pub fn owed_to(&self) -> Option<usize> {
        self.reloading.as_ref().and_then(|r| r.client)
    }

    fn prepare(&self) -> Result<Prepared, Failure> {
        let configuration = Configuration::read(&self.configuration.path)?;
        let (old, new) = (&self.configuration.settings.paths, &configuration.settings.paths);
        if old.postoffice != new.postoffice || old.run != new.run {
            let text = "[paths] postoffice and run cannot change while the suite runs; stop it first".to_owned();
            let fault = configuration.fault(&new.postoffice.to_string_lossy(), text);
            return Err(Failure::config(render(&configuration.path, &[fault])));
        }
        if !self.configuration.settings.volume_roots().eq(configuration.settings.volume_roots()) {
            let text = "[[volume]]s can only change their weight while the suite runs; stop it first".to_owned();
            let fault = configuration.fault("volume", text);
            return Err(Failure::config(render(&configuration.path, &[fault])));
        }
        let services = site::wanted(&configuration.settings, self.roles.as_deref());
        let mut site = Site::survey(&configuration, &services, &self.site.executable)?;
        site::make_folders(&configuration, &mut site)?;
        site.say_volume_faults();
        let log = crate::start::open_log(&configuration)?;
        let listeners = listeners::bind_new(&configuration, |place| self.listeners.values().any(|l| l.place == *place))
            .map_err(|faults| Failure::config(render(&configuration.path, &faults)))?;
        Ok(Prepared { configuration, site, listeners, log })
    }

    fn swap(&mut self, prepared: Prepared) -> std::io::Result<()> {
        for listener in prepared.listeners {
            self.add_listener(listener)?;
        }
        self.close_unwanted(&prepared.configuration);
        self.services = site::wanted(&prepared.configuration.settings, self.roles.as_deref());
        crate::start::add_contacts(&mut self.keepsakes.contacts, &self.services)?;
        self.configuration = prepared.configuration;
        self.site = prepared.site;
        self.log = prepared.log;
        daemon::log::reopen(self.log.as_ref().and_then(|log| log.try_clone().ok()).map(std::fs::File::from));
        self.generation += 1;
        self.remember_places();
        self.renew_children()?;
        self.fill_slots();
        Ok(())
    }

    /// Clients that already wait at a listener that goes are still taken.
    pub fn close_unwanted(&mut self, configuration: &Configuration) {
        let wanted = listeners::places(configuration);
        let unwanted: Vec<usize> =
            self.listeners.iter().filter(|(_, l)| !wanted.iter().any(|(place, _)| *place == l.place)).map(|(key, _)| *key).collect();
        for key in &unwanted {
            if let Some(listener) = self.listeners.get_mut(key) {
                listener.waiting = true;
            }
        }
        while self.accept_clients() {}
        for key in unwanted {
            if let Some(mut listener) = self.listeners.remove(&key) {
                listener.deregister(self.poll.registry());
                if let listeners::Place::Unix(path) = &listener.place {
                    let _ = std::fs::remove_file(path);
                }
            }
        }
    }

    /// Workers and routers get successors; agents finish; the others are told.
    fn renew_children(&mut self) -> std::io::Result<()> {
        let filled: Vec<usize> = self.slots.iter().filter_map(|s| s.child).collect();
        for key in filled {
            let Some(kind) = self.children.get(&key).map(|c| c.service.kind) else { continue };
            match kind {
                Kind::Workers | Kind::Routers => self.supersede(key),
                Kind::Single => self.tell_reload(key)?,
                Kind::Agent => {}
            }
        }
        let agents: Vec<usize> = self.children.iter().filter(|(_, c)| c.service.kind == Kind::Agent).map(|(key, _)| *key).collect();
        for key in agents {
            self.drain(key);
        }
        Ok(())
    }

    fn tell_reload(&mut self, key: usize) -> std::io::Result<()> {
        let Some(child) = self.children.get_mut(&key) else { return Ok(()) };
        child.generation = self.generation;
        let Some(child) = self.children.get(&key) else { return Ok(()) };
        let mut named = self.common_descriptors()?;
        named.extend(self.tls_for(child.service)?);
        named.extend(self.files_for(child.service));
        let (names, descriptors) = named.into_iter().unzip();
        let start = Start {
            service: child.service.name.to_owned(),
            index: child.index,
            generation: self.generation,
            counter_row: child.row,
            config_path: self.configuration.path.display().to_string(),
            names,
            channel: child.channel.clone(),
        };
        self.tell(key, &ToChild::Reload(start), descriptors);
        Ok(())
    }

    /// Answers the command once the new generation works.
    pub fn watch_reload(&mut self, now: Instant) {
        let Some(reloading) = &self.reloading else { return };
        let over = reloading.deadline <= now;
        let waiting = self.children.values().any(|c| c.superseded && c.state != State::Draining && c.retire_by.is_none());
        let complete = self.all_ready() && !waiting;
        if !complete && !over {
            let at = reloading.deadline;
            return self.wake(at);
        }
        let client = reloading.client;
        self.reloading = None;
        self.readiness.ready();
        daemon::event!(Info, "reloaded", generation = self.generation, complete = complete);
        match client {
            Some(key) if complete => self.done(key, format!("generation {} is at work", self.generation)),
            Some(key) => self.refuse(key, 75, "the new processes are not ready yet; the old ones go on; see `zpost status`"),
            None => {}
        }
    }
}
