//! Why a recipient is not delivered yet: the one thing that stands in its way, in the order in which dispatching meets them.

use super::destination::{Destination, Park};
use super::entry::{Message, Recipient, Share, State};
use super::listing::Filter;
use super::site::Site;
use super::{Model, NONE, Now};
use envelope::MessageId;
use ipc::control::Reason;

/// A recipient in its share.
pub type Spot = (u32, u32);

/// One recipient with all around it.
struct Case<'a> {
    message: &'a Message,
    recipient: &'a Recipient,
    key: u32,
    position: u32,
    share: &'a Share,
    destination: &'a Destination,
    now: Now,
}

impl Model {
    /// The recipients that a filter (of one id) selects.
    pub fn spots(&self, id: MessageId, filter: &Filter, now: Now) -> Vec<Spot> {
        let key = self.index.get(&id).copied();
        key.map(|key| self.select(key, filter, now).iter().map(|view| (view.share, view.position)).collect()).unwrap_or_default()
    }

    /// Why a recipient waits; `None`: it is gone meanwhile.
    pub fn why(&self, id: MessageId, (key, position): Spot, now: Now) -> Option<Reason> {
        let share = self.shares.get(key)?;
        let message = self.messages.get(share.message).filter(|message| message.id == id)?;
        let recipient = message.recipients.get(position as usize)?;
        let view = self.view(message, key, share, position)?;
        let shown = self.show_recipient(message, &view, now)?;
        let destination = self.destinations.get(share.destination)?;
        let case = Case { message, recipient, key, position, share, destination, now };
        let reason = self.reason(&case);
        Some(Reason { recipient: shown, ..reason })
    }

    fn reason(&self, case: &Case<'_>) -> Reason {
        let Case { message, recipient, share, destination, now, .. } = case;
        let next = || now.moment(recipient.next);
        match recipient.state {
            State::Delivered | State::Failed => return word("done"),
            State::Active => return self.at_work(case),
            State::Held => return word("held"),
            State::Ready | State::Frozen | State::Deferred => {}
        }
        let deferred = recipient.state == State::Deferred;
        let until = if deferred { next() } else { 0 };
        if self.draining {
            return word("stopping");
        }
        if self.frozen {
            return Reason { until, ..word("suite-frozen") };
        }
        if let Some(part) = self.freeze_of(destination, recipient.course, &message.sender, recipient.address()) {
            return Reason { until, detail: part.to_string(), ..word("frozen") };
        }
        if deferred {
            let later = message.rare.as_deref().and_then(|rare| rare.terms.hold_until);
            let kept = recipient.attempts == 0 && later.is_some_and(|moment| moment > now.wall_seconds());
            return Reason { until, ..word(if kept { "held-until" } else { "deferred" }) };
        }
        let gathers = share.members.gathers_until();
        if gathers > now.tick() {
            return Reason { until: now.moment(gathers), ..word("gathering") };
        }
        self.in_line(case)
    }

    /// In a job: since when, and with whom.
    fn at_work(&self, case: &Case<'_>) -> Reason {
        let job = self.jobs.values().find(|job| job.share == case.key && job.members.contains(&case.position));
        let since = job.map_or(0, |job| case.now.moment(job.since));
        Reason { since, agent: job.map_or(0, |job| self.agent_pid(job.agent)), ..word("active") }
    }

    /// Ready: what keeps its destination, its disk, its site or its channel from serving it.
    fn in_line(&self, case: &Case<'_>) -> Reason {
        let Case { message, destination, now, .. } = case;
        match destination.park {
            Park::No => {}
            Park::Until(tick) => return Reason { until: now.moment(tick), ..word("hours") },
            Park::Locating(tick) => return Reason { until: now.moment(tick), ..word("resolver") },
            Park::Asking => return word("asking"),
            Park::Ring => {
                let (active, most) = self.rings.state(destination.rules.policy.ring);
                return Reason { active, most, ..word("ring") };
            }
            // Thawed, and let go in the next turn.
            Park::Frozen => return word("turn"),
        }
        if self.homes.keeps(message.id, case.key) {
            return word("disk");
        }
        match self.site_of(destination) {
            Some(site) => self.at_site(case, site),
            None => word("resolver"),
        }
    }

    fn at_site(&self, case: &Case<'_>, site: &Site) -> Reason {
        let now = case.now;
        let probes = site.window.probes();
        let of_site = Reason { active: site.active, most: site.window.size(), detail: site.name.text().to_owned(), ..Reason::default() };
        if site.window.is_dead() && (site.active > 0 || now.tick() < site.until) {
            let (name, until) = if site.active > 0 { ("probe", 0) } else { ("dead", now.moment(site.until)) };
            return Reason { reason: name.to_owned(), until, most: probes, ..of_site };
        }
        let wait = site.paces.as_deref().map_or(0, |paces| paces.wait(&site.rules.policy, now.ms));
        if wait > 0 || now.tick() < site.pause {
            let until = now.wall_ms.saturating_add(wait).max(if now.tick() < site.pause { now.moment(site.pause) } else { 0 });
            return Reason { reason: "rate".to_owned(), until, ..of_site };
        }
        if site.active >= site.window.size() {
            return Reason { reason: "window".to_owned(), ..of_site };
        }
        let Some(wait) = self.agent_wait(case.destination.lane, now) else {
            return word("turn");
        };
        Reason {
            since: wait.since.map_or(0, |tick| now.moment(tick)),
            until: wait.until.map_or(0, |tick| now.moment(tick)),
            active: wait.active,
            most: wait.agents,
            detail: wait.detail,
            ..word("agent")
        }
    }
}

impl Now {
    /// Unix milliseconds of a tick; 0 for none.
    fn moment(self, tick: u32) -> u64 {
        if tick == NONE { 0 } else { self.wall_ms.saturating_add(u64::from(tick) * 100).saturating_sub(self.ms) }
    }
}

fn word(reason: &str) -> Reason {
    Reason { reason: reason.to_owned(), ..Reason::default() }
}
