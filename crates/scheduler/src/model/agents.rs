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
    /// Sites that can begin a job, each once.
    pub round: VecDeque<u32>,
    agents: Vec<u64>,
    /// Where the next search for an agent begins.
    cursor: usize,
    /// The agent that was asked for and is not here yet, and when it was.
    asked: Option<(u64, u32)>,
    /// No agent is asked for before this tick.
    until: u32,
    failures: u32,
    /// Why the last one did not come, or is gone.
    trouble: String,
}

/// Why no agent of a channel takes a job; moments in ticks.
pub struct AgentWait {
    pub agents: u32,
    pub active: u32,
    /// One was asked for then.
    pub since: Option<u32>,
    /// None is asked for before.
    pub until: Option<u32>,
    pub detail: String,
}

/// One transport agent.
#[derive(Debug)]
pub struct Agent {
    pub lane: u32,
    pub credits: u32,
    pub active: u32,
    pub idle_since: u32,
    pub draining: bool,
    /// For operators.
    pub pid: u32,
    /// It has ever taken work.
    credited: bool,
}

/// Characters kept of why an agent does not come.
const TROUBLE: usize = 300;
/// Agents looked at for a job.
const SAMPLE: usize = 8;
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
        let name = channel.to_owned();
        self.lanes.push(Lane {
            name,
            hosts,
            round,
            agents: Vec::new(),
            cursor: 0,
            asked: None,
            until: 0,
            failures: 0,
            trouble: String::new(),
        });
        key
    }

    /// An agent is here. It has no credit yet.
    pub fn agent_joined(&mut self, agent: u64, channel: &str, ticket: Option<u64>, now: Now) {
        let lane = self.lane(channel);
        self.agents.insert(agent, Agent { lane, credits: 0, active: 0, idle_since: now.tick(), draining: false, pid: 0, credited: false });
        let Some(lane) = self.lanes.get_mut(lane as usize) else { return };
        lane.agents.push(agent);
        if ticket.is_none() || lane.asked.map(|(asked, _)| asked) == ticket {
            lane.asked = None;
        }
    }

    /// Which agent has a job.
    pub(super) fn agent_pid(&self, agent: u64) -> u32 {
        self.agents.get(&agent).map_or(0, |agent| agent.pid)
    }

    /// What a channel's mail waits for, when no agent of it can take a job now.
    pub(super) fn agent_wait(&self, lane_key: u32, now: Now) -> Option<AgentWait> {
        let lane = self.lanes.get(lane_key as usize)?;
        let here = || lane.agents.iter().filter_map(|key| self.agents.get(key)).filter(|agent| !agent.draining);
        if lane.name == "discard" || here().any(|agent| agent.credits > 0) {
            return None;
        }
        let count = u32::try_from(here().count()).unwrap_or(u32::MAX);
        let active = here().map(|agent| agent.active).sum();
        let asked = lane.asked.map(|(_, at)| at);
        let until = Some(lane.until).filter(|until| *until > now.tick());
        let detail = match (count, asked, until) {
            (0, _, Some(_)) => lane.trouble.clone(),
            (0, Some(_), _) => "one is on its way".to_owned(),
            (0, ..) if self.limits.channels.contains(&lane.name) => "none has come to <run>/agents".to_owned(),
            (0, ..) => "one is asked for in a moment".to_owned(),
            _ => "all are busy".to_owned(),
        };
        Some(AgentWait { agents: count, active, since: asked, until, detail })
    }

    /// Which process an agent is.
    pub fn name_agent(&mut self, agent: u64, pid: u32) {
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.pid = pid;
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
    pub(super) fn dismiss(&mut self, key: u64, now: Now) {
        let Some(agent) = self.agents.remove(&key) else { return };
        if let Some(lane) = self.lanes.get_mut(agent.lane as usize) {
            lane.agents.retain(|other| *other != key);
        }
        if agent.active > 0 || !agent.credited {
            self.wait_for_agents(agent.lane, "the last one died", now);
        }
    }

    /// Asks for no agent of a channel for 1 s, then 2 s, and so on up to a minute, until one takes work.
    fn wait_for_agents(&mut self, key: u32, reason: &str, now: Now) {
        let Some(lane) = self.lanes.get_mut(key as usize) else { return };
        let level = lane.failures;
        lane.failures = lane.failures.saturating_add(1);
        lane.trouble = reason.chars().take(TROUBLE).collect();
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

    pub(super) fn list_lanes(&mut self, now: Now) {
        (0..self.lanes.len()).for_each(|lane| self.list_lane(lane, now));
    }

    /// An agent of the lane with credit: first the one that had the site's last job, for its open session; else the best of
    /// a few, each time of others. All of them are asked only when those have nothing, which ends the turn.
    pub(super) fn pick_agent(&mut self, lane_index: usize, last: u64) -> Option<u64> {
        let lane = self.lanes.get_mut(lane_index)?;
        let able = |key: &u64| self.agents.get(key).filter(|a| a.lane as usize == lane_index && a.credits > 0 && !a.draining);
        if able(&last).is_some() {
            return Some(last);
        }
        let count = lane.agents.len();
        let from = lane.cursor;
        lane.cursor = if from + SAMPLE >= count { 0 } else { from + SAMPLE };
        let best = |keys: &mut dyn Iterator<Item = &u64>| {
            keys.filter_map(|key| able(key).map(|agent| (agent.credits, *key))).max_by_key(|(credits, _)| *credits).map(|(_, key)| key)
        };
        best(&mut lane.agents.iter().skip(from).take(SAMPLE)).or_else(|| best(&mut lane.agents.iter()))
    }

    /// Asks for one more agent, if the limit allows and none is on its way.
    pub(super) fn want_agent(&mut self, lane_index: usize, now: Now) {
        if self.frozen || self.draining {
            return;
        }
        let Some(lane) = self.lanes.get(lane_index) else { return };
        let place = settings::Place { channel: &lane.name, host: "", exchangers: &[] };
        let most = usize::from(self.book.rules(&place).policy.agents.max(1));
        let here = || lane.agents.iter().filter_map(|key| self.agents.get(key)).filter(|agent| !agent.draining);
        // One that has just come and has not yet said what it takes will do.
        let (here, fresh) = (here().count(), here().any(|agent| agent.active == 0));
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
