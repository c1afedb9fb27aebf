//! What is known about sites that outlives them, and the scheduler: windows, ceilings, who is dead, limits learned.
//!
//! Kept as a text, whose form is in `known`. The names come from the DNS and from control files: no blank and no control byte
//! gets in. Losing the text costs nothing but learning again.

use super::known::{HEAD, Known, LearnedLimits, MOST, NAME, read_text};
use super::site::{Site, SiteName};
use super::window::Window;
use super::{Model, NONE, Now};
use std::collections::HashMap;

/// Forgotten after so many seconds without a job.
const OLD: u64 = 7 * 86_400;

#[derive(Debug, Default)]
pub struct Memory {
    known: HashMap<(String, String), Known>,
    changed: bool,
}

/// The name with its kind, as it stands in the text.
fn written(name: &SiteName) -> Option<String> {
    let kind = match name {
        SiteName::Host(_) => '@',
        SiteName::Exchangers(_) => '%',
        SiteName::Named(_) => '=',
    };
    let text = name.text();
    let harmless = text.len() <= NAME && !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    harmless.then(|| format!("{kind}{text}"))
}

impl Known {
    fn of(site: &Site, now: Now) -> Self {
        let window = &site.window;
        Self {
            size: window.whole(),
            ceiling: if window.ceiling() == NONE { 0 } else { window.ceiling() },
            lift: if window.ceiling() == NONE { 0 } else { now.wall_of(window.lift()) },
            probes: window.probes(),
            until: if window.is_dead() { now.wall_of(site.until) } else { 0 },
            learned: site.learned,
            used: now.wall_seconds(),
        }
    }
}

impl Memory {
    fn keep(&mut self, channel: &str, name: String, known: Known) {
        self.known.insert((channel.to_owned(), name), known);
        if self.known.len() > MOST {
            // An eighth at once, those that had no job for longest: not a sort for each newcomer.
            let mut moments: Vec<u64> = self.known.values().map(|known| known.used).collect();
            let (_, oldest, _) = moments.select_nth_unstable(MOST / 8);
            let oldest = *oldest;
            let mut room = MOST / 8;
            self.known.retain(|_, known| {
                let goes = room > 0 && known.used <= oldest;
                room -= usize::from(goes);
                !goes
            });
        }
    }
}

impl Model {
    /// Keeps what a site has learned.
    pub(super) fn remember(&mut self, key: u32, now: Now) {
        let Some(site) = self.sites.get_mut(key) else { return };
        if !std::mem::take(&mut site.news) {
            return;
        }
        let plain = site.window.ceiling() == NONE
            && !site.window.is_dead()
            && site.learned == LearnedLimits::default()
            && site.window.whole() <= site.rules.policy.concurrency_first;
        let channel = self.lanes.get(site.lane as usize).map_or("", |lane| lane.name.as_str());
        let Some(name) = written(&site.name) else { return };
        if plain {
            self.memory.changed |= self.memory.known.remove(&(channel.to_owned(), name)).is_some();
        } else {
            let known = Known::of(site, now);
            self.memory.keep(channel, name, known);
            self.memory.changed = true;
        }
    }

    /// A new site with what is remembered of it: never worse than the policy allows, and dead no longer than one of
    /// its longest waits.
    pub(super) fn remembered(&mut self, mut site: Site, now: Now) -> Site {
        let channel = self.lanes.get(site.lane as usize).map_or("", |lane| lane.name.as_str());
        let Some(name) = written(&site.name) else { return site };
        let Some(known) = self.memory.known.get(&(channel.to_owned(), name)) else { return site };
        let tick_of = |moment: u64, longest: u64| {
            let wait = moment.saturating_sub(now.wall_seconds()).min(longest);
            now.tick().saturating_add(u32::try_from(wait.saturating_mul(10)).unwrap_or(NONE / 2))
        };
        let ceiling = if known.ceiling == 0 { NONE } else { known.ceiling };
        site.window = Window::restored(known.size, ceiling, tick_of(known.lift, 4 * 3600), known.probes);
        site.window.keep_within(site.bounds());
        site.learned = known.learned;
        site.until = tick_of(known.until, site.rules.policy.retry_longest.as_secs());
        site
    }

    /// The text to keep, when it has changed since the last time.
    pub fn memory(&mut self, now: Now) -> Option<String> {
        for key in 0..self.sites.end() {
            self.remember(key, now);
        }
        let oldest = now.wall_seconds().saturating_sub(OLD);
        self.memory.known.retain(|_, known| known.used >= oldest);
        std::mem::take(&mut self.memory.changed).then(|| {
            let mut text = String::from(HEAD);
            self.memory.known.iter().for_each(|((channel, name), known)| known.line(channel, name, &mut text));
            text
        })
    }

    /// Reads the text of an earlier life; how many sites it remembers. For the time before the first message.
    pub fn recall(&mut self, text: &str, now: Now) -> usize {
        let fresh = now.wall_seconds().saturating_sub(OLD)..=now.wall_seconds().saturating_add(86_400);
        self.memory.known = read_text(text, fresh);
        self.memory.known.len()
    }
}
