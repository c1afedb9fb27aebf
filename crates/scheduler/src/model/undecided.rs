//! Jobs that end without results: nobody remote is to blame, and no attempt is counted.

use super::entry::{NONE, State};
use super::result::{Marks, Place};
use super::retry::{backoff, ticks};
use super::window::Signal;
use super::{Model, Now};
use ipc::agents::{RecipientResult, Report};
use status::{Enhanced, Outcome, Phase};

/// A message whose jobs saw this many agents die is tried more and more rarely.
const KILLS: u8 = 3;
/// Ticks until an undecided recipient is tried again, and the spread of it.
const UNDECIDED: u32 = 10;

/// `NONE` is no tick: waits never reach it.
const _: () = assert!(UNDECIDED < NONE / 4);

impl Model {
    /// An agent is gone: its jobs are undecided and tried again soon; nobody remote is to blame.
    pub fn agent_gone(&mut self, agent: u64, now: Now) {
        self.dismiss(agent, now);
        let mut numbers: Vec<u64> = self.jobs.iter().filter(|(_, job)| job.agent == agent).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        if !numbers.is_empty() {
            daemon::event!(Warning, "agent_died", jobs = numbers.len());
        }
        for number in numbers {
            let Some(message) = self.jobs.get(&number).map(|job| job.message) else { continue };
            if let Some(message) = self.messages.get_mut(message) {
                message.kills = message.kills.saturating_add(1);
                if message.kills == KILLS {
                    daemon::event!(Warning, "agents_die", id = message.id, kills = message.kills);
                }
            }
            self.undecided(number, now);
        }
        self.list_lanes(now);
    }

    /// A job ends without results: its recipients wait a moment and their attempts do not count.
    pub fn undecided(&mut self, number: u64, now: Now) {
        let Some(mut job) = self.jobs.remove(&number) else { return };
        let kills = self.messages.get(job.message).map_or(0, |message| message.kills);
        let spread = self.dice.roll();
        let rules = self.destinations.get(job.destination).filter(|_| kills >= KILLS).map(|d| std::rc::Rc::clone(&d.rules));
        let wait = if let Some(rules) = rules {
            ticks(backoff(&rules.policy, u32::from(kills - KILLS) + 1, spread))
        } else {
            // Truncation: 0 to 20 ticks.
            UNDECIDED + (spread * f64::from(2 * UNDECIDED)) as u32
        };
        job.signal = Signal::Nothing;
        let mut marks = Marks::default();
        for position in std::mem::take(&mut job.members) {
            let place = Place { message: job.message, share: job.share, position };
            self.put_back(place, now.tick().saturating_add(wait), now, &mut marks);
        }
        self.close(number, job, marks, now);
    }

    /// The message of a job cannot be read, for another reason than that something is short for a moment: put off as by a
    /// server, so that it is tried more and more rarely, shows in the queue with the reason, and goes back in the end.
    pub fn unreadable(&mut self, number: u64, why: &str, now: Now) {
        let Some(job) = self.jobs.get(&number) else { return };
        let offsets = job.members.iter().filter_map(|position| self.recipient(job.message, *position)).map(|recipient| recipient.offset);
        let put_off = |index| RecipientResult::new(index, Outcome::Deferred, Enhanced::transient(3, 0), "-", why);
        let report = Report::new(number, Phase::Transaction, offsets.map(put_off).collect());
        self.report(job.agent, &report, now);
    }

    /// The message file of a job is not there any more: whoever removed it has ended the message.
    pub fn lost(&mut self, number: u64, now: Now) {
        let Some(message) = self.jobs.get(&number).map(|job| job.message) else { return };
        self.undecided(number, now);
        let Some(id) = self.messages.get(message).map(|message| message.id) else { return };
        daemon::event!(Error, "message_file_missing", id = id);
        self.call_home(message, now);
        for key in self.shares_of(message) {
            let members = self.shares.get(key).map(|share| self.members(share)).unwrap_or_default();
            for (position, state) in members {
                if state != State::Active {
                    self.set_state(key, position, State::Failed);
                }
            }
        }
        self.settle(message, now);
    }
}
