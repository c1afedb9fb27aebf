//! What is known about sites that outlives them, and the scheduler: windows, ceilings, who is dead, limits learned.
//!
//! A text of one line a site: channel, name, then numbers. The names come from the DNS and from control files: no blank and no
//! control byte gets in, and what reads back strangely is left out. Losing the text costs nothing but learning again.

use super::site::{LearnedLimits, Site, SiteName};
use super::window::Window;
use super::{Model, NONE, Now};
use std::collections::HashMap;
use std::fmt::Write;

/// Sites remembered.
const MOST: usize = 10_000;
/// Forgotten after so many seconds without a job.
const OLD: u64 = 7 * 86_400;
/// Longest name kept.
const NAME: usize = 1100;
const HEAD: &str = "zpost sites 1\n";
/// Largest number believed of a window or a limit.
const LARGE: u32 = 100_000;

#[derive(Debug, Default)]
pub struct Memory {
    known: HashMap<(String, String), Known>,
    changed: bool,
}

/// One site; moments in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    size: u32,
    /// 0: none.
    ceiling: u32,
    lift: u64,
    probes: u32,
    until: u64,
    learned: LearnedLimits,
    used: u64,
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

    fn line(&self, channel: &str, name: &str, text: &mut String) {
        let Self { size, ceiling, lift, probes, until, learned: l, used } = self;
        let limits = format_args!("{} {} {}", l.mail_max, l.rcpt_max, l.rcpt_domain_max);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{channel} {name} {size} {ceiling} {lift} {probes} {until} {limits} {used}");
    }

    fn read(line: &str) -> Option<((String, String), Self)> {
        let mut words = line.split(' ');
        let (channel, name) = (words.next()?, words.next()?);
        let sane = !channel.is_empty() && channel.len() <= 64 && name.len() > 1 && name.len() <= NAME + 1;
        let graphic = channel.bytes().chain(name.bytes()).all(|b| b.is_ascii_graphic()) && name.starts_with(['@', '%', '=']);
        let mut number = |most: u64| words.next()?.parse::<u64>().ok().filter(|n| *n <= most);
        let mut small = || number(u64::from(LARGE)).and_then(|n| u32::try_from(n).ok());
        let (size, ceiling) = (small()?, small()?);
        let lift = number(u64::MAX)?;
        let probes = u32::try_from(number(u64::from(LARGE))?).ok()?;
        let until = number(u64::MAX)?;
        let mut small = || number(u64::from(LARGE)).and_then(|n| u32::try_from(n).ok());
        let learned = LearnedLimits { mail_max: small()?, rcpt_max: small()?, rcpt_domain_max: small()? };
        let used = number(u64::MAX)?;
        let whole = words.next().is_none() && size > 0 && sane && graphic;
        whole.then(|| ((channel.to_owned(), name.to_owned()), Self { size, ceiling, lift, probes, until, learned, used }))
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
        let Some(lines) = text.strip_prefix(HEAD) else { return 0 };
        let fresh =
            |known: &Known| (now.wall_seconds().saturating_sub(OLD)..=now.wall_seconds().saturating_add(86_400)).contains(&known.used);
        let known = lines.lines().filter_map(Known::read).filter(|(_, known)| fresh(known)).take(MOST);
        self.memory.known = known.collect();
        self.memory.known.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_reads_back() {
        let learned = LearnedLimits { mail_max: 1, rcpt_max: 20, rcpt_domain_max: 1 };
        let known = Known { size: 5, ceiling: 5, lift: 1_800_000_600, probes: 2, until: 1_800_000_300, learned, used: 1_800_000_000 };
        let mut text = String::new();
        known.line("smtp", "%mx1.example,mx2.example", &mut text);
        assert_eq!(text, "smtp %mx1.example,mx2.example 5 5 1800000600 2 1800000300 1 20 1 1800000000\n");
        assert_eq!(Known::read(text.trim_end()), Some((("smtp".into(), "%mx1.example,mx2.example".into()), known)));
    }

    proptest! {
        #[test]
        fn any_line(line in "\\PC{0,200}|smtp @[a-z.]{1,9}( [0-9]{1,20}){8,10}") {
            if let Some(((channel, name), known)) = Known::read(&line) {
                let mut text = String::new();
                known.line(&channel, &name, &mut text);
                prop_assert_eq!(Known::read(text.trim_end()).unwrap().1, known);
            }
        }
    }
}
