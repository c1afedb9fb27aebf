//! One destination as operators see it, with its site.

use super::destination::{Destination, Park};
use super::site::{Site, SiteName};
use super::{Model, NONE, Now};
use ipc::control::DestinationState;

impl Model {
    /// The destinations of this host (compared without case), on one channel or on all.
    pub fn portraits(&self, host: &str, channel: Option<&str>, now: Now) -> Vec<DestinationState> {
        let lanes = self.lanes.iter().filter(|lane| channel.is_none_or(|channel| channel.eq_ignore_ascii_case(&lane.name)));
        let lower = host.to_ascii_lowercase();
        let of_lane = |lane: &super::Lane| {
            let key = lane.hosts.get(host).or_else(|| lane.hosts.get(lower.as_str()))?;
            self.destinations.get(*key).map(|destination| self.portrait(&lane.name, destination, now))
        };
        lanes.filter_map(of_lane).collect()
    }

    fn portrait(&self, channel: &str, destination: &Destination, now: Now) -> DestinationState {
        let [queued, active, deferred, held] = destination.counts();
        let (waits_for, until) = match destination.park {
            Park::No => ("", NONE),
            Park::Until(tick) => ("hours", tick),
            Park::Ring => ("ring", NONE),
            Park::Asking => ("asking", NONE),
            Park::Frozen => ("thaw", NONE),
            Park::Locating(tick) => ("resolver", tick),
        };
        let state = DestinationState {
            channel: channel.to_owned(),
            host: destination.host.to_string(),
            queued,
            active,
            deferred,
            held,
            waits_for: waits_for.to_owned(),
            waits_until: if until == NONE { 0 } else { now.wall_of(until) },
            exchangers: destination.exchangers.to_vec(),
            ..DestinationState::default()
        };
        match self.site_of(destination) {
            Some(site) => with_site(state, site, now),
            None => state,
        }
    }
}

fn with_site(state: DestinationState, site: &Site, now: Now) -> DestinationState {
    let kind = match site.name {
        SiteName::Host(_) => "host",
        SiteName::Exchangers(_) => "exchangers",
        SiteName::Named(_) => "named",
    };
    let window = &site.window;
    let learned = window.ceiling() != NONE;
    let rate = site.paces.as_deref().map_or(0, |paces| paces.wait(&site.rules.policy, now.ms));
    DestinationState {
        site_kind: kind.to_owned(),
        site: site.name.text().to_owned(),
        members: site.members,
        site_active: site.active,
        window: window.size(),
        ceiling: if learned { window.ceiling() } else { 0 },
        ceiling_until: if learned { now.wall_of(window.lift()) } else { 0 },
        probes: window.probes(),
        next_probe: if window.is_dead() { now.wall_of(site.until) } else { 0 },
        rate_until: if rate == 0 { 0 } else { now.wall_ms.saturating_add(rate).div_ceil(1000) },
        mail_max: site.learned.mail_max,
        rcpt_max: site.learned.rcpt_max,
        rcpt_domain_max: site.learned.rcpt_domain_max,
        last: site.last.as_deref().map_or_else(String::new, |note| note.text.to_string()),
        ..state
    }
}
