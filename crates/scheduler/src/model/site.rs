//! Sites: what destinations with the same mail exchangers share, namely one window, one state of health, one set of rates. Each
//! destination keeps its own queue, and a site serves its destinations in turn.

use super::destination::{Destination, Park};
use super::dispatch::JobState;
use super::known::LearnedLimits;
use super::note::Note;
use super::pace::Paces;
use super::policy::Rules;
use super::retry::{Wake, backoff, ticks};
use super::window::{Bounds, Signal, Verdict, Window};
use super::{Model, Now};
use ipc::agents::Learned;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// What makes destinations one site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteName {
    /// A destination by itself.
    Host(Rc<str>),
    /// The best mail exchangers, sorted, with commas between, and the port.
    Exchangers(Rc<str>),
    /// The policy's `site`.
    Named(Rc<str>),
}

impl SiteName {
    pub fn text(&self) -> &str {
        match self {
            Self::Host(text) | Self::Exchangers(text) | Self::Named(text) => text,
        }
    }
}

/// Where a site is found: channel, name, and the number of its limits ([`Rules::limits`]).
pub type SiteKey = (u32, SiteName, u32);

#[derive(Debug)]
pub struct Site {
    pub lane: u32,
    pub name: SiteName,
    pub rules: Rc<Rules>,
    /// Destinations.
    pub members: u32,
    /// Jobs now, of all members.
    pub active: u32,
    pub window: Window,
    /// Dead until this tick.
    pub until: u32,
    /// The rates allow nothing before this tick.
    pub pause: u32,
    /// Only where the policy has rates.
    pub paces: Option<Box<Paces>>,
    pub learned: LearnedLimits,
    /// Members that can begin a job, each once (and some that have moved away).
    pub round: VecDeque<u32>,
    pub last: Option<Rc<Note>>,
    /// The agent that had the last job: it may still have a session open.
    pub agent: u64,
    /// Stands in its lane's round.
    pub listed: bool,
    /// Has learned something since it was last remembered.
    pub news: bool,
}

impl Site {
    pub fn new(lane: u32, name: SiteName, rules: Rc<Rules>) -> Self {
        let policy = &rules.policy;
        let rated = policy.message_rate.is_some() || policy.recipient_rate.is_some() || policy.connection_rate.is_some();
        Self {
            window: Window::new(policy.concurrency_first),
            lane,
            name,
            members: 0,
            active: 0,
            until: 0,
            pause: 0,
            paces: rated.then(Box::default),
            learned: LearnedLimits::default(),
            round: VecDeque::new(),
            last: None,
            agent: 0,
            listed: false,
            news: false,
            rules,
        }
    }

    pub fn bounds(&self) -> Bounds {
        Bounds { first: self.rules.policy.concurrency_first, most: self.rules.policy.concurrency_most }
    }

    /// Jobs that may wait in the agent beyond the window, for a server that has shown that it takes mail.
    fn ahead(&self) -> u32 {
        if self.window.is_proven() { self.rules.policy.jobs_ahead } else { 0 }
    }

    /// Could a job begin now, as far as the site is concerned?
    pub fn eligible(&self, tick: u32) -> bool {
        self.active < self.window.size().saturating_add(self.ahead())
            && tick >= self.pause
            && (!self.window.is_dead() || tick >= self.until)
    }
}

impl Model {
    /// Sites with their jobs, for trials.
    #[cfg(test)]
    pub fn sites_by_name(&self) -> impl Iterator<Item = (&str, u32)> {
        (0..self.sites.end()).filter_map(|key| self.sites.get(key)).map(|site| (site.name.text(), site.active))
    }

    pub(super) fn site_of(&self, destination: &Destination) -> Option<&Site> {
        self.sites.get(destination.site)
    }

    /// Makes a destination a member of the site of this name, with what is under way.
    pub(super) fn join_site(&mut self, key: u32, name: SiteName, now: Now) {
        let Some(destination) = self.destinations.get(key) else { return };
        let (lane, rules, old, active) = (destination.lane, Rc::clone(&destination.rules), destination.site, destination.active);
        let site_key = (lane, name, rules.limits);
        let found = self.site_keys.get(&site_key).copied();
        if found == Some(old) {
            if let Some(site) = self.sites.get_mut(old) {
                site.rules = rules;
            }
            return;
        }
        // With other limits it is another site; what the old one has learned holds there too.
        self.remember(old, now);
        let site = found.unwrap_or_else(|| {
            let name = site_key.1.clone();
            let site = self.remembered(Site::new(lane, name, rules), now);
            let site = self.sites.insert(site);
            self.site_keys.insert(site_key, site);
            site
        });
        self.leave_site(key, now);
        if let Some(destination) = self.destinations.get_mut(key) {
            destination.site = site;
            destination.listed = false;
        }
        if let Some(site) = self.sites.get_mut(site) {
            site.members += 1;
            site.active += active;
        }
        self.list(key, now);
    }

    /// Takes a destination out of its site; the last one takes the site along.
    pub(super) fn leave_site(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        let (site_key, active) = (std::mem::replace(&mut destination.site, super::NONE), destination.active);
        let Some(site) = self.sites.get_mut(site_key) else { return };
        site.members = site.members.saturating_sub(1);
        site.active = site.active.saturating_sub(active);
        if site.members > 0 {
            return;
        }
        self.remember(site_key, now);
        if let Some(site) = self.sites.remove(site_key) {
            self.site_keys.remove(&(site.lane, site.name, site.rules.limits));
        }
    }

    /// A site that can begin a job joins its lane's round, once.
    pub(super) fn list_site(&mut self, key: u32, now: Now) {
        let Some(site) = self.sites.get_mut(key) else { return };
        if site.listed || site.round.is_empty() || !site.eligible(now.tick()) {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(site.lane as usize) {
            site.listed = true;
            lane.round.push_back(key);
        }
    }

    /// A job of a destination has ended: the site learns, and may begin the next.
    pub(super) fn site_learns(&mut self, job: &JobState, now: Now) {
        let (key, signal) = (job.destination, job.signal);
        let roll = self.dice.roll();
        let Some(destination) = self.destinations.get_mut(key) else { return };
        destination.active = destination.active.saturating_sub(1);
        destination.used = now.tick();
        let site_key = destination.site;
        let Some(site) = self.sites.get_mut(site_key) else { return };
        site.active = site.active.saturating_sub(1);
        site.news |= signal != Signal::Nothing;
        let (before, bounds) = (site.window.probes(), site.bounds());
        let verdict = site.window.learn(signal, site.active, bounds, now.tick());
        if matches!(signal, Signal::Success | Signal::Alive) {
            site.last = None;
        }
        match verdict {
            Verdict::Dead(probes) if probes != before => self.site_dead(site_key, probes, roll, job, now),
            _ => {}
        }
        self.list(key, now);
        self.list_site(site_key, now);
    }

    /// What a session has learned about the server.
    pub(super) fn site_told(&mut self, job: &mut JobState, learned: &Learned) {
        if learned.crowded && job.signal == Signal::Unreachable {
            job.signal = Signal::Crowded;
        }
        let Some(site) = self.destinations.get(job.destination).and_then(|d| self.sites.get_mut(d.site)) else { return };
        if learned.reused
            && let Some(paces) = &mut site.paces
        {
            paces.reused(&site.rules.policy);
        }
        let limits = LearnedLimits {
            mail_max: learned.mail_max.unwrap_or(0),
            rcpt_max: learned.rcpt_max.unwrap_or(0),
            rcpt_domain_max: learned.rcpt_domain_max.unwrap_or(0),
        };
        // Only who has said EHLO knows: a job that found nobody takes nothing back.
        if learned.greeted && site.learned != limits {
            site.learned = limits;
            site.news = true;
        }
    }

    /// It is probed after the policy's wait, or when the agent wishes.
    fn site_dead(&mut self, key: u32, probes: u32, roll: f64, job: &JobState, now: Now) {
        let Some(site) = self.sites.get_mut(key) else { return };
        let note = job.note.as_ref();
        let wished = job.wish.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))));
        let wait = wished.unwrap_or_else(|| backoff(&site.rules.policy, probes, roll));
        site.until = now.tick().saturating_add(ticks(wait));
        site.last = note.cloned();
        let (until, text) = (site.until, note.map_or("", |note| &note.text));
        let channel = self.lanes.get(site.lane as usize).map_or("", |lane| lane.name.as_str());
        // One that is probed every few seconds for a day would fill the log; the probes' own lines tell the rest.
        if probes.is_power_of_two() {
            daemon::event!(
                Info,
                "destination_dead",
                channel = channel,
                host = site.name.text(),
                members = site.members,
                probes = probes,
                wait = wait.as_secs(),
                text = text
            );
        }
        self.set_timer(until, Wake::Site(key));
    }

    /// Somebody wants the mail of a destination to go now: a dead site is probed, what waits to be asked for begins.
    pub(super) fn urge(&mut self, key: u32, now: Now) {
        let Some(destination) = self.destinations.get_mut(key) else { return };
        destination.asked_for = true;
        if destination.park == Park::Asking {
            destination.park = Park::No;
        }
        let site = destination.site;
        if let Some(site) = self.sites.get_mut(site) {
            site.until = site.until.min(now.tick());
        }
        self.list(key, now);
        self.list_site(site, now);
    }

    /// Starts the mail for a host on every channel, as ETRN (RFC 1985) asks.
    pub fn trigger(&mut self, host: &str, now: Now) {
        let keys: Vec<u32> = self.lanes.iter().filter_map(|lane| lane.hosts.get(host).copied()).collect();
        keys.into_iter().for_each(|key| self.urge(key, now));
    }
}
