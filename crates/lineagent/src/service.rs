//! The event loop of the bridge.

use crate::partner::Partner;
use agent::{Given, Link};
use daemon::{Counters, Signal, Signals, Started};
use ipc::Channel;
use ipc::agents::{RecipientResult, Report};
use ipc::master::{ToChild, ToMaster};
use jobline::Event;
use mio::{Events, Interest, Poll, Token};
use settings::ForeignAgent;
use status::{Enhanced, Outcome, Phase};
use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const MASTER: Token = Token(0);
const SIGNALS: Token = Token(1);
const LINK: Token = Token(2);
const PARTNER: Token = Token(3);

/// Waits before a program that ended badly is started again; one that has answered for a job begins anew.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

struct Service {
    poll: Poll,
    link: Link,
    master: Channel<ToMaster, ToChild>,
    signals: Signals,
    counters: Counters,
    agent: ForeignAgent,
    partner: Option<Partner>,
    /// The program is started at this moment.
    start_at: Instant,
    wait: Duration,
    jobs: VecDeque<Given>,
    /// Jobs the scheduler may still send.
    credit: u32,
    base: Instant,
    draining: bool,
}

/// Serves until drained or without scheduler (0) or without master (75).
pub fn serve(mut started: Started) -> io::Result<ExitCode> {
    let jobs = started.contacts.take("jobs").ok_or_else(|| io::Error::other("no job conversation from the master"))?;
    let agent = started.settings.agent_for(&started.channel).cloned();
    let agent = agent.ok_or_else(|| io::Error::other(format!("no [[agent]] serves channel {}", started.channel)))?;
    let mut link = Link::knowing_senders(Channel::new(jobs)?);
    let poll = Poll::new()?;
    let registry = poll.registry();
    registry.register(&mut started.master, MASTER, Interest::READABLE)?;
    registry.register(&mut started.signals, SIGNALS, Interest::READABLE)?;
    registry.register(&mut link.channel, LINK, Interest::READABLE)?;
    let now = Instant::now();
    let mut service = Service {
        poll,
        link,
        master: started.master,
        signals: started.signals,
        counters: started.counters,
        agent,
        partner: None,
        start_at: now,
        wait: FIRST_WAIT,
        jobs: VecDeque::new(),
        credit: 0,
        base: now,
        draining: false,
    };
    let code = service.turns();
    if let Some(partner) = service.partner.take() {
        partner.end(service.poll.registry());
    }
    daemon::log::flush();
    code.map(|code| ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

impl Service {
    fn turns(&mut self) -> io::Result<i32> {
        let _ = self.master.send(&ToMaster::Ready);
        let mut events = Events::with_capacity(16);
        loop {
            if let Some(code) = self.hear()? {
                return Ok(code);
            }
            self.talk();
            self.report()?;
            let idle = self.jobs.is_empty() && self.partner.as_ref().is_none_or(|partner| partner.dialogue.held() == 0);
            if self.draining && idle && self.link.channel.pending() == 0 {
                return Ok(0);
            }
            daemon::log::flush();
            match self.poll.poll(&mut events, self.sleep()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            while let Some(signal) = self.signals.next() {
                self.draining |= signal == Signal::Drain;
            }
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn sleep(&self) -> Option<Duration> {
        match &self.partner {
            Some(partner) if partner.busy => Some(Duration::ZERO),
            Some(partner) => {
                partner.dialogue.deadline().map(|at| Duration::from_millis(at.saturating_sub(self.millis()).saturating_add(1)))
            }
            None => Some(self.start_at.saturating_duration_since(Instant::now()).saturating_add(Duration::from_millis(1))),
        }
    }

    /// Takes in what is new.
    fn hear(&mut self) -> io::Result<Option<i32>> {
        let mut jobs = Vec::new();
        let end = self.link.hear(&mut self.master, &mut self.draining, &mut jobs)?;
        self.counters.add("jobs", jobs.len() as u64);
        self.credit = self.credit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        self.jobs.extend(jobs);
        Ok(end)
    }

    /// One round with the program: what it says, what it is given, what it has failed to say.
    fn talk(&mut self) {
        if let Err(why) = self.exchange() {
            self.give_up(&why);
        }
    }

    fn exchange(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if self.partner.is_none() {
            if now < self.start_at || self.draining {
                // Nobody will be there to take what is in hand.
                return if self.draining && !self.jobs.is_empty() { Err("it is not running".to_owned()) } else { Ok(()) };
            }
            let started = Partner::start(&self.agent.program, self.poll.registry(), PARTNER);
            self.partner = Some(started.map_err(|e| format!("it cannot be started: {e}"))?);
        }
        let millis = self.millis();
        let mut events = Vec::new();
        let Some(partner) = &mut self.partner else { return Ok(()) };
        let heard = partner.hear(&mut events);
        if partner.garbled {
            self.counters.add("rubbish", 1);
        }
        for event in events {
            self.take(event)?;
        }
        heard?;
        let Some(partner) = &mut self.partner else { return Ok(()) };
        if partner.dialogue.deadline().is_some_and(|at| at <= millis) {
            self.counters.add("timeouts", 1);
            return Err("it has not answered in time".to_owned());
        }
        partner.flush().map_err(|e| e.to_string())?;
        // One at a time: descriptor 3 holds one message.
        if partner.dialogue.held() == 0
            && partner.hungry > 0
            && let Some((job, file)) = self.jobs.pop_front()
        {
            let timeout = u64::try_from(self.agent.timeout.as_millis()).unwrap_or(u64::MAX);
            if let Err(e) = partner.give(&job, &file, millis.saturating_add(timeout)) {
                self.jobs.push_front((job, file));
                return Err(format!("it cannot be given the message: {e}"));
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        let Some(partner) = &mut self.partner else { return Ok(()) };
        match event {
            Event::Hungry(jobs) => {
                partner.hungry = partner.hungry.saturating_add(jobs);
                if partner.hungry > 1000 {
                    return Err("it asks for too much".to_owned());
                }
                // What its predecessor asked for and did not get still stands.
                let more = partner.hungry.saturating_sub(self.credit);
                if !self.draining && more > 0 {
                    self.credit = self.credit.saturating_add(more);
                    let _ = self.link.credit(more);
                }
            }
            Event::Results { report, .. } => {
                self.wait = FIRST_WAIT;
                for result in &report.results {
                    let counter = match result.outcome {
                        Outcome::Delivered => "delivered",
                        Outcome::Deferred => "deferred",
                        Outcome::Failed => "failed",
                    };
                    self.counters.add(counter, 1);
                }
                let _ = self.link.report(report);
            }
            Event::Register(_) => {}
        }
        Ok(())
    }

    /// Ends the program; what it owed, and what was to come, is tried again.
    fn give_up(&mut self, why: &str) {
        self.counters.add("restarts", 1);
        daemon::event!(
            Warning,
            "agent_ended",
            channel = self.agent.channel,
            program = self.agent.program.first().map_or("", String::as_str),
            text = why
        );
        let text = format!("the agent of channel {}: {why}", self.agent.channel);
        let result = |index| RecipientResult::new(index, Outcome::Deferred, Enhanced::transient(3, 0), "-", text.clone());
        if let Some(mut partner) = self.partner.take() {
            for (job, owed) in partner.dialogue.abandon() {
                let _ = self.link.report(Report::new(job, Phase::Transaction, owed.into_iter().map(result).collect()));
            }
            partner.end(self.poll.registry());
        }
        for (job, _) in self.jobs.drain(..) {
            let results = job.recipients.iter().map(|r| result(r.index)).collect();
            let _ = self.link.report(Report::new(job.number, Phase::Transaction, results));
        }
        self.start_at = Instant::now() + self.wait;
        self.wait = self.wait.saturating_mul(2).min(LONGEST_WAIT);
    }

    fn report(&mut self) -> io::Result<()> {
        let _ = self.master.flush();
        let _ = self.link.flush();
        self.link.watch(self.poll.registry(), LINK)
    }
}
