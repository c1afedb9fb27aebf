//! The event loop: jobs in, several programs at work, reports out.

use crate::accounts::{Runner, runner};
use crate::content::Flags;
use crate::task::{Task, Verdict, deferred, verdict};
use agent::Link;
use daemon::{Counters, Signal, Signals, Started};
use ipc::Channel;
use ipc::master::{ToChild, ToMaster};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use program::{Ending, Running};
use settings::Settings;
use status::Outcome;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const LINK: Token = Token(2);
/// Programs come after it; a number is never used twice.
const FIRST: usize = 16;
/// Accounts are looked up again after so long.
const LOOKUP: Duration = Duration::from_secs(60);

/// A pipe with its jobs.
#[derive(Debug)]
struct Lane {
    pipe: settings::Pipe,
    runner: Result<Runner, String>,
    looked_up: Instant,
    active: usize,
    waiting: VecDeque<Task>,
}

struct Service {
    poll: Poll,
    link: Link,
    master: Channel<ToMaster, ToChild>,
    signals: Signals,
    settings: Arc<Settings>,
    counters: Counters,
    lanes: Vec<Lane>,
    /// Programs at work, each with its lane and task.
    running: BTreeMap<usize, (usize, Task, Running)>,
    next: usize,
    draining: bool,
    done: u32,
}

/// Serves until drained or without scheduler (0) or without master (75).
pub fn serve(mut started: Started) -> io::Result<ExitCode> {
    let jobs = started.contacts.take("jobs").ok_or_else(|| io::Error::other("no job conversation from the master"))?;
    let mut link = Link::new(Channel::new(jobs)?);
    let poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut started.master, MASTER, Interest::READABLE)?;
    registry.register(&mut started.signals, SIGNALS, Interest::READABLE)?;
    registry.register(&mut link.channel, LINK, Interest::READABLE)?;
    let now = Instant::now();
    let mine = started.settings.pipes.iter().filter(|pipe| pipe.channel == started.channel);
    let lane =
        |pipe: &settings::Pipe| Lane { runner: runner(pipe), pipe: pipe.clone(), looked_up: now, active: 0, waiting: VecDeque::new() };
    let lanes = mine.map(lane).collect();
    let mut service = Service {
        poll,
        link,
        master: started.master,
        signals: started.signals,
        settings: started.settings,
        counters: started.counters,
        lanes,
        running: BTreeMap::new(),
        next: FIRST,
        draining: false,
        done: 0,
    };
    let code = service.turns();
    for (_, (_, _, running)) in std::mem::take(&mut service.running) {
        running.kill();
    }
    daemon::log::flush();
    code.map(|code| ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

impl Service {
    fn turns(&mut self) -> io::Result<i32> {
        let _ = self.master.send(&ToMaster::Ready);
        let credit: usize = self.lanes.iter().map(|lane| lane.pipe.processes).sum();
        let _ = self.link.credit(u32::try_from(credit.clamp(1, 5000)).unwrap_or(1));
        let mut events = Events::with_capacity(256);
        loop {
            daemon::log::flush();
            match self.poll.poll(&mut events, self.sleep(Instant::now())) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            while let Some(signal) = self.signals.next() {
                self.draining |= signal == Signal::Drain;
            }
            if let Some(code) = self.hear()? {
                return Ok(code);
            }
            let touched: Vec<usize> = events.iter().map(|event| event.token().0).filter(|key| *key >= FIRST).collect();
            self.run(&touched, Instant::now());
            self.report()?;
            if self.draining && self.running.is_empty() && self.link.channel.pending() == 0 {
                return Ok(0);
            }
        }
    }

    fn sleep(&self, now: Instant) -> Option<Duration> {
        let next = self.running.values().map(|(_, _, running)| running.wake_at(now)).min()?;
        // Rounded up, so that the loop does not spin through the last millisecond.
        let left = next.saturating_duration_since(now);
        Some(if left.is_zero() { left } else { left.saturating_add(Duration::from_millis(1)) })
    }

    /// Takes in what is new.
    fn hear(&mut self) -> io::Result<Option<i32>> {
        let mut jobs = Vec::new();
        let end = self.link.hear(&mut self.master, &mut self.draining, &mut jobs)?;
        jobs.into_iter().for_each(|(job, file)| self.take(job, file));
        Ok(end)
    }

    fn take(&mut self, job: ipc::agents::Job, file: Arc<std::fs::File>) {
        self.counters.add("jobs", 1);
        let named = |lane: &Lane| lane.pipe.channel == job.channel && (job.channel != "pipe" || lane.pipe.name == job.host);
        match self.lanes.iter().position(named) {
            Some(at) => {
                if let Some(lane) = self.lanes.get_mut(at) {
                    let many = Flags::parse(&lane.pipe.flags).many;
                    lane.waiting.push_back(Task::new(job, file, many));
                }
                self.fill(at, Instant::now());
            }
            None => {
                let mut task = Task::new(job, file, true);
                let text = format!("there is no [[pipe]] for channel {} and host {}", task.job.channel, task.job.host);
                if task.advance() {
                    self.settle(&mut task, "-", &deferred(5, text));
                }
                self.finish(task);
            }
        }
    }

    /// Programs that have something to say, to take, or no more time.
    fn run(&mut self, touched: &[usize], now: Instant) {
        let due = self.running.iter().filter(|(key, (_, _, running))| touched.contains(key) || running.wake_at(now) <= now);
        let due: Vec<usize> = due.map(|(key, _)| *key).collect();
        for key in due {
            let Some((_, _, running)) = self.running.get_mut(&key) else { continue };
            let Some(ended) = running.turn(now) else { continue };
            let Some((at, mut task, _)) = self.running.remove(&key) else { continue };
            self.counters.add("floods", u64::from(ended.flooded));
            self.counters.add("timeouts", u64::from(ended.ending == Ending::TimedOut));
            if ended.flooded {
                daemon::event!(Warning, "pipe_flooded", id = task.job.message, pipe = self.name(at), kept = ended.output.len());
            }
            self.settle(&mut task, &self.name(at), &verdict(&ended));
            if let Some(lane) = self.lanes.get_mut(at) {
                lane.active = lane.active.saturating_sub(1);
                // The rest of its recipients before other jobs.
                lane.waiting.push_front(task);
            }
            self.fill(at, now);
        }
        self.counters.set("running_now", self.running.len() as u64);
    }

    fn name(&self, lane: usize) -> String {
        self.lanes.get(lane).map_or_else(String::new, |lane| lane.pipe.name.clone())
    }

    /// Starts what the limit of the pipe allows.
    fn fill(&mut self, at: usize, now: Instant) {
        loop {
            let Some(lane) = self.lanes.get_mut(at) else { return };
            if lane.active >= lane.pipe.processes {
                return;
            }
            let Some(mut task) = lane.waiting.pop_front() else { return };
            if !task.advance() {
                self.finish(task);
                continue;
            }
            if now.saturating_duration_since(lane.looked_up) > LOOKUP {
                (lane.runner, lane.looked_up) = (runner(&lane.pipe), now);
            }
            let started = match &lane.runner {
                Ok(runner) => task.start(&lane.pipe, runner, &self.settings, now),
                Err(why) => Err(deferred(5, why.clone())),
            };
            match started {
                Ok(running) => {
                    lane.active = lane.active.saturating_add(1);
                    self.counters.add("runs", 1);
                    self.watch(at, task, running);
                }
                Err(verdict) => {
                    self.counters.add("refused", u64::from(verdict.outcome == Outcome::Failed));
                    let name = lane.pipe.name.clone();
                    self.settle(&mut task, &name, &verdict);
                    if let Some(lane) = self.lanes.get_mut(at) {
                        lane.waiting.push_front(task);
                    }
                }
            }
        }
    }

    fn watch(&mut self, at: usize, task: Task, running: Running) {
        let key = self.next;
        self.next = self.next.saturating_add(1);
        for (fd, write) in running.sources().into_iter().flatten() {
            let interest = if write { Interest::WRITABLE } else { Interest::READABLE };
            // A failure shows as a run that is only looked at when its time is up.
            if let Err(e) = self.poll.registry().register(&mut SourceFd(&fd), Token(key), interest) {
                daemon::event!(Error, "pipe_not_watched", error = e);
            }
        }
        self.running.insert(key, (at, task, running));
    }

    fn settle(&self, task: &mut Task, pipe: &str, verdict: &Verdict) {
        let counter = match verdict.outcome {
            Outcome::Delivered => "delivered",
            Outcome::Deferred => "deferred",
            Outcome::Failed => "failed",
        };
        self.counters.add(counter, 1);
        task.settle(pipe, verdict);
    }

    fn finish(&mut self, task: Task) {
        match self.link.report(task.into_report()) {
            Some((job, file)) => self.take(job, file),
            None => self.done = self.done.saturating_add(1),
        }
    }

    /// Sends what is done, and new credit for it. A send fails only when the other side has gone: receiving sees that.
    fn report(&mut self) -> io::Result<()> {
        let _ = self.master.flush();
        let _ = self.link.flush();
        let done = std::mem::take(&mut self.done);
        if done > 0 && !self.draining {
            let _ = self.link.credit(done);
        }
        self.link.watch(self.poll.registry(), LINK)
    }
}
