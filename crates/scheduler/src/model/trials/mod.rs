//! The model fed by hand: messages, agents' reports and moments in, jobs and actions out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod changes;
mod failures;
mod fairness;
mod forms;
mod frozen;
mod memory;
mod policies;
mod restarts;
mod sites;
mod telling;
mod terms;

use super::{Action, Model, Now, StartedJob};
use address::{Address, Path};
use daemon::Counters;
use envelope::{BodyType, Control, ControlRecipient, IdSource, MessageId, Parsed, Quad, RecipientDsn, RecipientState};
use ipc::agents::{Job, RecipientResult, Report};
use status::{Enhanced, Outcome, Phase};
use std::time::Duration;

/// The shipped defaults with these lines of configuration.
pub fn settings_of(more: &str) -> settings::Settings {
    let text = format!("[paths]\npostoffice = \"/var/spool/zpost\"\n[identity]\nhostname = \"mta.example\"\n{more}");
    settings::parse(&text, "test").unwrap()
}

/// The shipped defaults of `[queue]`.
pub fn limits() -> settings::Queue {
    let limits = settings_of("").queue;
    assert_eq!((limits.retry_first.as_secs(), limits.concurrency_most, limits.recipients_per_job), (300, 50, 100));
    limits
}

/// A bench: a model, a clock, an agent of channel smtp with plenty of credit.
pub struct Bench {
    pub model: Model,
    pub now: Now,
    ids: IdSource,
}

pub const AGENT: u64 = 7;

impl Bench {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With these lines of configuration.
    pub fn with(more: &str) -> Self {
        let now = Now { ms: 1000, wall_ms: 1_800_000_000_000 };
        let settings = settings_of(more);
        let mut bench = Self {
            model: Model::new(settings.queue, settings.policies, Counters::detached("scheduler").unwrap(), 1),
            now,
            ids: IdSource::new(5),
        };
        bench.hire(AGENT, "smtp");
        bench
    }

    pub fn hire(&mut self, agent: u64, channel: &str) {
        self.model.agent_joined(agent, channel, None, self.now);
        assert!(self.model.credit(agent, 5000));
    }

    pub fn pass(&mut self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.now.ms += ms;
        self.now.wall_ms += ms;
        let tick = self.now.tick();
        // The bench's agents are never idle for long.
        self.model.agents.values_mut().for_each(|agent| agent.idle_since = tick);
        self.model.wake(self.now);
    }

    pub fn control(&mut self, host: &str, recipients: u32) -> Control {
        let id = self.ids.next(self.now.wall_ms * 1000);
        let recipients = (0..recipients)
            .map(|n| ControlRecipient {
                offset: 100 + n * 40,
                state: RecipientState::Queued,
                quad: Quad { channel: "smtp".into(), host: host.into(), user: format!("u{n}@{host}"), attributes: "-".into() },
                original: None,
                via: None,
                dsn: RecipientDsn::default(),
                form: 0,
            })
            .collect();
        Control {
            id,
            body_offset: 200,
            size: 4096,
            arrived: self.now.wall_ms,
            sender: Path::Mailbox(Address::parse("sender@example.org").unwrap()),
            edits: Vec::new(),
            forms: Vec::new(),
            bodytype: BodyType::SevenBit,
            smtputf8: false,
            envid: None,
            ret: None,
            terms: Default::default(),
            message_id: None,
            recipients,
        }
    }

    /// A new message of so many recipients for a host.
    pub fn mail(&mut self, host: &str, recipients: u32) -> MessageId {
        let control = self.control(host, recipients);
        let id = control.id;
        self.load(control);
        id
    }

    pub fn load(&mut self, control: Control) {
        assert!(self.model.add(Parsed { control, diagnostics: Vec::new() }, self.now));
    }

    pub fn jobs(&mut self) -> Vec<(StartedJob, Job)> {
        let started = self.model.dispatch(1000, self.now);
        started.into_iter().map(|job| (job, self.model.frame(job.number, self.now).unwrap().0)).collect()
    }

    /// The one job that begins now.
    pub fn job(&mut self) -> (StartedJob, Job) {
        let mut jobs = self.jobs();
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }

    pub fn answer(&mut self, job: &(StartedJob, Job), phase: Phase, outcome: Outcome) {
        let status = match outcome {
            Outcome::Delivered => Enhanced::success(0, 0),
            Outcome::Deferred => Enhanced::transient(4, 1),
            Outcome::Failed => Enhanced::permanent(1, 1),
        };
        let result = |index| RecipientResult::new(index, outcome, status, "mx", "said so");
        let results = job.1.recipients.iter().map(|recipient| result(recipient.index)).collect();
        self.model.report(job.0.agent, &Report::new(job.0.number, phase, results), self.now);
    }

    pub fn delivered(&mut self, job: &(StartedJob, Job)) {
        self.answer(job, Phase::Transaction, Outcome::Delivered);
    }

    pub fn refused(&mut self, job: &(StartedJob, Job)) {
        self.answer(job, Phase::Connect, Outcome::Deferred);
    }

    pub fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.model.next_action()).collect()
    }

    pub fn removed(&mut self) -> Vec<MessageId> {
        let removal = |action| if let Action::Remove { id } = action { Some(id) } else { None };
        self.actions().into_iter().filter_map(removal).collect()
    }
}

/// All recipients come from a list with this owner.
pub fn owned_by(control: &mut Control, owner: &str) {
    control.forms = vec![envelope::Form { sender: envelope::Sender::Owner(Address::parse(owner).unwrap()), edits: 0 }];
    control.recipients.iter_mut().for_each(|recipient| recipient.form = 1);
}
