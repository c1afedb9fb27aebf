//! Channels with their agents: credits, and asking for more agents.

use super::retry::Wake;
use super::{Action, Model, Now};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// More credit than this at once is a fault of the agent.
const MOST_CREDITS: u32 = 10_000;

/// One channel.
#[derive(Debug)]
pub struct Lane {
    pub name: String,
    pub hosts: HashMap<Rc<str>, u32>,
    /// Destinations that can begin a job, each once.
    pub round: VecDeque<u32>,
    /// The agent that was asked for and is not here yet, and when it was.
    asked: Option<(u64, u32)>,
    /// No agent is asked for before this tick.
    until: u32,
    failures: u32,
}

/// One transport agent.
#[derive(Debug)]
pub struct Agent {
    pub lane: u32,
    pub credits: u32,
    pub active: u32,
    pub idle_since: u32,
    pub draining: bool,
    /// It has ever taken work.
    credited: bool,
}

/// An agent that was asked for and of which nothing is heard after so many ticks is asked for again.
const PATIENCE: u32 = 600;

impl Agent {
    pub fn idle(&self, tick: u32, wait: u32) -> bool {
        !self.draining && self.active == 0 && self.idle_since.saturating_add(wait) <= tick
    }
}

impl Model {
    /// The key of a channel's lane, made when new.
    pub(super) fn lane(&mut self, channel: &str) -> u32 {
        if let Some(key) = self.lane_names.get(channel) {
            return *key;
        }
        let key = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        self.lane_names.insert(channel.to_owned(), key);
        let (hosts, round) = (HashMap::new(), VecDeque::new());
        self.lanes.push(Lane { name: channel.to_owned(), hosts, round, asked: None, until: 0, failures: 0 });
        key
    }

    /// An agent is here. It has no credit yet.
    pub fn agent_joined(&mut self, agent: u64, channel: &str, ticket: Option<u64>, now: Now) {
        let lane = self.lane(channel);
        self.agents.insert(agent, Agent { lane, credits: 0, active: 0, idle_since: now.tick(), draining: false, credited: false });
        if let Some(lane) = self.lanes.get_mut(lane as usize)
            && (ticket.is_none() || lane.asked.map(|(asked, _)| asked) == ticket)
        {
            lane.asked = None;
        }
    }

    /// The agent takes so many more jobs. False: it cannot mean that.
    pub fn credit(&mut self, agent: u64, jobs: u32) -> bool {
        let Some(agent) = self.agents.get_mut(&agent) else { return false };
        agent.credits = agent.credits.saturating_add(jobs);
        agent.credited = true;
        let lane = agent.lane as usize;
        let sane = agent.credits <= MOST_CREDITS;
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.failures = 0;
        }
        sane
    }

    /// The agent asked for does not come: ask again later, more and more rarely.
    pub fn no_agent(&mut self, ticket: u64, channel: &str, reason: &str, now: Now) {
        let key = self.lane(channel);
        let Some(lane) = self.lanes.get_mut(key as usize) else { return };
        if lane.asked.is_some_and(|(asked, _)| asked == ticket) {
            lane.asked = None;
            self.wait_for_agents(key, reason, now);
        }
    }

    /// Forgets an agent. One that died at work, or before it took any, is not replaced in the same moment: an agent
    /// that cannot live must not be spawned in a tight circle.
    pub(super) fn dismiss(&mut self, agent: u64, now: Now) {
        let Some(agent) = self.agents.remove(&agent) else { return };
        if agent.active > 0 || !agent.credited {
            self.wait_for_agents(agent.lane, "the last one died", now);
        }
    }

    /// Asks for no agent of a channel for 1 s, then 2 s, and so on up to a minute, until one takes work.
    fn wait_for_agents(&mut self, key: u32, reason: &str, now: Now) {
        let Some(lane) = self.lanes.get_mut(key as usize) else { return };
        let level = lane.failures;
        lane.failures = lane.failures.saturating_add(1);
        let wait = 10u32.saturating_mul(1 << level.min(6)).min(600);
        lane.until = now.tick().saturating_add(wait);
        let until = lane.until;
        if level.is_power_of_two() || level == 0 {
            daemon::event!(Warning, "no_agent", channel = lane.name, failures = level + 1, text = reason);
        }
        self.set_timer(until, Wake::Lane(key));
    }

    /// The wait of a channel without agents is over: the next turn of dispatching asks again.
    pub(super) fn unblock_lane(&mut self, key: u32, now: Now) {
        self.list_lane(key as usize, now);
    }

    pub(super) fn list_lane(&mut self, lane: usize, now: Now) {
        let waits = self.lanes.get(lane).is_some_and(|lane| !lane.round.is_empty());
        if waits {
            self.want_agent(lane, now);
        }
    }

    /// An agent of the lane with credit: first the one that had the destination's last job, for its open session.
    pub(super) fn pick_agent(&self, lane: u32, last: u64) -> Option<u64> {
        let able = |agent: &&super::Agent| agent.lane == lane && agent.credits > 0 && !agent.draining;
        if self.agents.get(&last).as_ref().is_some_and(able) {
            return Some(last);
        }
        self.agents.iter().filter(|(_, agent)| able(agent)).max_by_key(|(_, agent)| agent.credits).map(|(key, _)| *key)
    }

    /// Asks for one more agent, if the limit allows and none is on its way.
    pub(super) fn want_agent(&mut self, lane_index: usize, now: Now) {
        if self.frozen || self.draining {
            return;
        }
        let most = usize::from(self.limits.agents_per_channel.max(1));
        let of_lane = |agent: &&Agent| agent.lane as usize == lane_index && !agent.draining;
        let here = self.agents.values().filter(of_lane).count();
        // One that has just come and has not yet said what it takes will do.
        let fresh = self.agents.values().filter(of_lane).any(|agent| agent.active == 0);
        let Some(lane) = self.lanes.get_mut(lane_index) else { return };
        // Agents of the administrator's own channels come by themselves.
        let own = self.limits.channels.contains(&lane.name);
        let asked = lane.asked.is_some_and(|(_, at)| now.tick() < at.saturating_add(PATIENCE));
        if own || here >= most || fresh || asked || now.tick() < lane.until {
            return;
        }
        self.ticket += 1;
        lane.asked = Some((self.ticket, now.tick()));
        self.actions.push_back(Action::WantAgent { ticket: self.ticket, channel: lane.name.clone() });
    }
}
