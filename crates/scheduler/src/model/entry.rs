//! What is known about every waiting message. Sizes matter here: a million of these are held.

use super::Now;
use super::note::Note;
use envelope::{BodyType, Control, ControlRecipient, Form, Happened, MessageId, RecipientDsn, Ret, Sender, Terms};
use std::rc::Rc;
use std::time::Duration;

/// No key.
pub const NONE: u32 = u32::MAX;

/// Where a recipient stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Can go with the next job.
    Ready,
    /// In a job.
    Active,
    /// Waits for its `next`.
    Deferred,
    /// Held by the administrator.
    Held,
    /// Ready, and put aside by a freeze of its addresses.
    Frozen,
    Delivered,
    Failed,
}

impl State {
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed)
    }
}

/// What the administrator asked for while the recipient was in a job: done when the job comes back without delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    None,
    Hold,
    Expire,
    Delete,
    Reroute,
}

/// Which share of its message a recipient belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// That of its own destination.
    Own,
    /// Failed, the report is not sent yet: channel `error`, host `bounce`.
    Failing,
    /// Delivered, the report that the sender asked for is not sent yet: channel `error`, host by what is to be said.
    Telling(Success),
    /// Late, and about to tell the sender: channel `error`, host `delay`. It goes on counting in its own share, to which
    /// it returns. Not in the control file: after a crash it has its own destination again.
    Warning,
    /// Back to the routers by the administrator's will: channel `hold`, host `now`. Not in the control file: after a
    /// crash the recipient has its own destination again.
    Rerouted,
}

/// What a report of success says (RFC 3464 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Success {
    Delivered,
    Relayed,
    Expanded,
}

impl Success {
    pub const fn happened(self) -> Happened {
        match self {
            Self::Delivered => Happened::Delivered,
            Self::Relayed => Happened::Relayed,
            Self::Expanded => Happened::Expanded,
        }
    }

    pub fn of(happened: Happened) -> Option<Self> {
        [Self::Delivered, Self::Relayed, Self::Expanded].into_iter().find(|success| success.happened() == happened)
    }
}

impl Course {
    /// Where such recipients go; `None`: each to its own destination.
    pub const fn destination(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Own => None,
            Self::Failing => Some(("error", "bounce")),
            Self::Telling(success) => Some(("error", success.happened().word())),
            Self::Warning => Some(("error", "delay")),
            Self::Rerouted => Some(("hold", "now")),
        }
    }

    /// Delivery is over, one way or the other: only a report is left to be sent.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Failing | Self::Telling(_))
    }

    /// Its jobs carry what is to be reported.
    pub const fn reports(self) -> bool {
        matches!(self, Self::Failing | Self::Telling(_) | Self::Warning)
    }
}

#[derive(Debug)]
pub struct Recipient {
    pub user: Box<str>,
    pub extra: Option<Box<Extra>>,
    pub note: Option<Rc<Note>>,
    /// Offset of the line in the control file: the recipient's name in jobs and marks.
    pub offset: u32,
    /// Tick of the next attempt, when deferred.
    pub next: u32,
    pub attempts: u16,
    pub state: State,
    pub wish: Wish,
    pub course: Course,
    /// The sender has been told of the delay.
    pub told: bool,
    /// The form of the message that it gets; see [`Rare::forms`].
    pub form: u16,
}

/// What most recipients do not have.
#[derive(Debug)]
pub struct Extra {
    pub attributes: Box<str>,
    pub original: Option<Box<str>>,
    pub via: Option<Box<str>>,
    pub dsn: RecipientDsn,
}

impl Recipient {
    pub fn new(from: ControlRecipient) -> Self {
        let plain = from.quad.attributes == "-" && from.original.is_none() && from.via.is_none() && from.dsn == RecipientDsn::default();
        let extra = (!plain).then(|| {
            let (original, via) = (from.original.map(Into::into), from.via.map(Into::into));
            Box::new(Extra { attributes: from.quad.attributes.into(), original, via, dsn: from.dsn })
        });
        Self {
            user: from.quad.user.into(),
            extra,
            note: None,
            offset: from.offset,
            next: 0,
            attempts: 0,
            state: State::Ready,
            wish: Wish::None,
            course: Course::Own,
            told: false,
            form: from.form,
        }
    }

    /// The address the sender meant.
    pub fn address(&self) -> &str {
        self.extra.as_deref().and_then(|extra| extra.original.as_deref()).unwrap_or(&self.user)
    }

    /// About how many bytes it takes in a job frame.
    pub fn weight(&self) -> usize {
        let extra = self.extra.as_deref().map_or(0, |extra| {
            let orcpt = extra.dsn.orcpt.as_ref().map_or(0, String::len);
            let texts = [&extra.original, &extra.via];
            extra.attributes.len() + texts.into_iter().flatten().map(|text| text.len()).sum::<usize>() + orcpt
        });
        let note = self.note.as_deref().map_or(0, |note| if self.course.reports() { note.remote.len() + note.text.len() } else { 0 });
        40 + self.user.len() + extra + note
    }
}

#[derive(Debug)]
pub struct Message {
    pub id: MessageId,
    pub sender: Box<str>,
    pub recipients: Box<[Recipient]>,
    /// Unix milliseconds, for people; the model's own age is `origin`.
    pub arrived: u64,
    /// The arrival on the monotonic scale of the model, in milliseconds (negative: before this process began).
    pub origin: i64,
    pub size: u64,
    pub body_offset: u64,
    pub rare: Option<Box<Rare>>,
    /// Head of the list of its shares.
    pub shares: u32,
    /// Recipients that are not final.
    pub open: u32,
    pub bodytype: BodyType,
    pub smtputf8: bool,
    /// Agents that died with a job of this message in hand.
    pub kills: u8,
}

impl Message {
    /// What differs in a form of the message; `None`: nothing.
    pub fn shape(&self, form: u16) -> Option<&Shape> {
        self.rare.as_deref()?.forms.get(usize::from(form).checked_sub(1)?)
    }

    /// Who sends to a recipient, where that is not the sender.
    pub fn sender_to(&self, recipient: &Recipient) -> Option<String> {
        let shape = self.shape(recipient.form).filter(|_| !self.sender.is_empty())?;
        shape.sender.to(&recipient.user)
    }

    /// Who takes the sender's place in a form, and in reports about it. What came from nobody must not yield reports to
    /// anybody.
    pub fn owner(&self, form: u16) -> Option<(&str, bool)> {
        match self.shape(form).filter(|_| !self.sender.is_empty()).map(|shape| &shape.sender)? {
            Sender::Owner(address) => Some((address.as_str(), false)),
            Sender::Verp(address) => Some((address.as_str(), true)),
            Sender::Own | Sender::Alias(_) => None,
        }
    }

    /// Each recipient of a form gets a message of its own, from a sender of its own.
    pub fn is_parted(&self, form: u16) -> bool {
        self.owner(form).is_some_and(|(_, verp)| verp)
    }

    /// Time until the message goes back for not being delivered by its moment (RFC 2852, by-mode R); `None`: never.
    pub fn return_in(&self, now: Now) -> Option<Duration> {
        let by = self.rare.as_deref()?.terms.deliver_by?;
        if by.or_return { self.due_in(now) } else { None }
    }

    /// Time until the moment by which the message is to be delivered.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let by = self.rare.as_deref()?.terms.deliver_by?;
        Some(Duration::from_millis(by.until.saturating_mul(1000).saturating_sub(now.wall_ms)))
    }
}

/// What most messages do not have.
#[derive(Debug, Default)]
pub struct Rare {
    pub envid: Option<String>,
    pub ret: Option<Ret>,
    pub terms: Terms,
    /// What is different for recipients of form 1, 2...
    pub forms: Box<[Shape]>,
}

/// One form of a message, as jobs need it.
#[derive(Debug)]
pub struct Shape {
    pub sender: Sender,
    /// The lines of its header edits in the control file: first byte, bytes, and how much longer they make the content. They
    /// are read when they are needed.
    pub edits: Option<(u32, u32, i64)>,
    /// The form whose reports those of this one join.
    pub reports: u16,
}

impl Shape {
    /// The forms of a control file.
    pub fn all(control: &Control) -> Box<[Self]> {
        let mut shapes: Vec<Self> = Vec::with_capacity(control.forms.len());
        for Form { sender, edits } in &control.forms {
            // Reports about its own go to the sender as one; those to an owner as one for each owner.
            let same = |shape: &Self| shape.sender == *sender;
            let reports = match sender {
                Sender::Own | Sender::Alias(_) => 0,
                Sender::Owner(_) | Sender::Verp(_) => shapes.iter().position(same).unwrap_or(shapes.len()) + 1,
            };
            let set = usize::from(*edits).checked_sub(1).and_then(|at| control.edits.get(at));
            let edits = set.filter(|set| !set.edits.is_empty()).map(|set| {
                let gone: i64 = set.edits.iter().map(|edit| i64::from(edit.length)).sum();
                (set.place.0, set.place.1, i64::try_from(set.edits.text()).unwrap_or(0) - gone)
            });
            shapes.push(Self { sender: sender.clone(), edits, reports: u16::try_from(reports).unwrap_or(0) });
        }
        shapes.into()
    }
}

/// The recipients of one message that go to one destination in one form (ZMailer's vertex).
#[derive(Debug)]
pub struct Share {
    pub message: u32,
    pub destination: u32,
    /// The form of the message that all members get.
    pub form: u16,
    /// The next share of the same message.
    pub sibling: u32,
    pub members: Members,
    /// Members in state Ready.
    pub ready: u32,
    /// Members that are not final and have not moved to another share.
    pub open: u32,
    /// Where the next job begins to look.
    pub cursor: u32,
    /// Tick of the earliest timer set; `NONE`: none.
    pub armed: u32,
    /// Stands in a queue of the destination.
    pub queued: bool,
    /// Has had its first job: from now on it stands in the other queue.
    pub turned: bool,
    /// Somebody was tried in the life of this process.
    pub attempted: bool,
    /// Nobody in it is to be told of a delay before the next deferral.
    pub warned: bool,
}

/// Positions in `Message::recipients`.
#[derive(Debug)]
pub enum Members {
    /// Recipients are sorted by destination, so most shares are a run.
    Run { first: u32, count: u32 },
    /// Whoever has left its own destination's share, by its course.
    Moved {
        course: Course,
        /// Tick until which others may join the same report.
        gather: u32,
        list: Vec<u32>,
    },
}

impl Members {
    pub fn len(&self) -> u32 {
        match self {
            Self::Run { count, .. } => *count,
            Self::Moved { list, .. } => u32::try_from(list.len()).unwrap_or(u32::MAX),
        }
    }

    pub fn at(&self, position: u32) -> Option<u32> {
        match self {
            Self::Run { first, count } => (position < *count).then(|| first.saturating_add(position)),
            Self::Moved { list, .. } => list.get(position as usize).copied(),
        }
    }

    pub fn holds(&self, position: u32) -> bool {
        match self {
            Self::Run { first, count } => (*first..first.saturating_add(*count)).contains(&position),
            Self::Moved { list, .. } => list.contains(&position),
        }
    }

    pub const fn course(&self) -> Course {
        match self {
            Self::Run { .. } => Course::Own,
            Self::Moved { course, .. } => *course,
        }
    }

    /// The tick until which a report waits for others to join it; 0: none does.
    pub const fn gathers_until(&self) -> u32 {
        match self {
            Self::Run { .. } => 0,
            Self::Moved { gather, .. } => *gather,
        }
    }

    pub const fn gather_until(&mut self, tick: u32) {
        if let Self::Moved { gather, .. } = self {
            *gather = tick;
        }
    }
}
