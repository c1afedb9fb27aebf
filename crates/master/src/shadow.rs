//! A configuration that routers try beside the one at work for a while, before it is taken (`zpost reload --shadow`).

use crate::Failure;
use crate::configuration::Configuration;
use crate::services::Kind;
use crate::site::{self, Site};
use crate::supervise::Master;
use ipc::master::{Start, ToChild};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Longer than anybody watches.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// A configuration that is tried.
#[derive(Debug)]
pub struct Shadow {
    /// What is taken at the end must be what was tried.
    text: String,
    memory: OwnedFd,
    until: Instant,
    /// The counters of all routers when it began: decisions compared, and differing.
    base: (u64, u64),
}

impl Master {
    /// Reads and checks the configuration, and has the routers try it for `seconds`; then it is taken.
    pub fn begin_shadow(&mut self, client: usize, seconds: u64) {
        if let Some(reason) = self.busy() {
            return self.answer_refusal(Some(client), 75, reason);
        }
        let patience = Duration::from_secs(seconds);
        if patience.is_zero() || patience > LONGEST {
            return self.answer_refusal(Some(client), 64, "a configuration is tried for a second to seven days");
        }
        let configuration = match self.configuration_to_try() {
            Ok(configuration) => configuration,
            Err(failure) => {
                daemon::event!(Error, "reload_refused", reason = failure.text);
                return self.answer_refusal(Some(client), failure.code, &failure.text);
            }
        };
        self.end_shadow("another is tried");
        let until = Instant::now() + patience;
        let base = self.shadow_counters();
        self.shadow = Some(Shadow { text: configuration.text, memory: configuration.memory, until, base });
        self.wake(until);
        daemon::event!(Info, "shadow_begun", seconds = seconds);
        self.tell_routers_of_shadow();
        self.done(client, format!("the routers try it for {seconds} s, then it is taken; `zpost reload --cancel` ends that"));
    }

    fn configuration_to_try(&self) -> Result<Configuration, Failure> {
        let configuration = Configuration::read(&self.configuration.path)?;
        let services = site::wanted(&configuration.settings, self.roles.as_deref());
        Site::survey(&configuration, &services, &self.site.executable)?;
        Ok(configuration)
    }

    /// Nothing of it is taken.
    pub fn cancel_shadow(&mut self, client: usize) {
        let Some(said) = self.shadow_report() else { return self.answer_refusal(Some(client), 69, "no configuration is tried") };
        self.end_shadow("cancelled");
        self.done(client, format!("cancelled; {said}"));
    }

    /// The routers go on with what they have.
    pub fn end_shadow(&mut self, why: &str) {
        let (compared, differs) = self.shadow_counts();
        if self.shadow.take().is_some() {
            daemon::event!(Info, "shadow_over", why = why, compared = compared, differs = differs);
            self.tell_routers_of_shadow();
        }
    }

    /// Takes the configuration once its time is over.
    pub fn watch_shadow(&mut self, now: Instant) {
        let Some(shadow) = &self.shadow else { return };
        let until = shadow.until;
        if until > now || self.busy().is_some() {
            return self.wake(until.max(now + Duration::from_secs(1)));
        }
        let same = std::fs::read_to_string(&self.configuration.path).is_ok_and(|text| text == shadow.text);
        self.end_shadow(if same { "taken" } else { "the file has changed: not taken" });
        if same {
            self.begin_reload(None);
        }
    }

    /// For `zpost status`; `None`: nothing is tried.
    pub fn shadow_report(&self) -> Option<String> {
        let left = self.shadow.as_ref()?.until.saturating_duration_since(Instant::now()).as_secs();
        let (compared, differs) = self.shadow_counts();
        Some(format!("{compared} decisions compared, {differs} addresses differ, {left} s left"))
    }

    fn shadow_counts(&self) -> (u64, u64) {
        let (compared, differs) = self.shadow_counters();
        let base = self.shadow.as_ref().map_or((0, 0), |shadow| shadow.base);
        (compared.saturating_sub(base.0), differs.saturating_sub(base.1))
    }

    fn tell_routers_of_shadow(&mut self) {
        let routers: Vec<usize> = self.children.iter().filter(|(_, c)| c.service.kind == Kind::Routers).map(|(key, _)| *key).collect();
        for key in routers {
            self.tell_of_shadow(key);
        }
    }

    /// What a router is to try; a new one hears of it after its start.
    pub fn tell_of_shadow(&mut self, key: usize) {
        let Some(child) = self.children.get(&key) else { return };
        let start = |memory: &OwnedFd| {
            let start = Start {
                service: child.service.name.to_owned(),
                index: child.index,
                generation: self.generation,
                counter_row: child.row,
                config_path: self.configuration.path.display().to_string(),
                names: vec!["config".to_owned()],
                channel: String::new(),
            };
            memory.try_clone().map(|memory| (start, memory))
        };
        match self.shadow.as_ref().map(|shadow| start(&shadow.memory)).transpose() {
            Ok(Some((start, memory))) => self.tell(key, &ToChild::Shadow(Some(start)), vec![memory]),
            Ok(None) => self.tell(key, &ToChild::Shadow(None), Vec::new()),
            Err(e) => {
                daemon::event!(Error, "shadow_failed", reason = e);
                false
            }
        };
    }
}
