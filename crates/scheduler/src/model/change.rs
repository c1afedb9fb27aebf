//! What the administrator changes: at once, without a scan, and marked in the control file so that it survives.

use super::entry::{Course, State, Wish};
use super::listing::{Cursor, Filter};
use super::result::{Cause, Marks};
use super::{Model, Now};
use envelope::{MessageId, RecipientState};
use ipc::control::Action as Change;

impl Model {
    /// Applies a change to the next message that the filter selects, looking at no more than `budget` messages: its id
    /// and how many recipients were (or would be) touched. `Ok(None)`: the budget is used up; `Err(())`: the end.
    #[allow(clippy::result_unit_err)]
    pub fn next_changed(
        &mut self,
        change: Change,
        dry_run: bool,
        filter: &Filter,
        cursor: &mut Cursor,
        budget: &mut usize,
        now: Now,
    ) -> Result<Option<(MessageId, u32)>, ()> {
        while *budget > 0 {
            *budget -= 1;
            let key = self.step(filter, cursor).ok_or(())?;
            let Some(id) = self.messages.get(key).map(|message| message.id) else { continue };
            let places: Vec<(u32, u32)> = self.select(key, filter, now).iter().map(|view| (view.share, view.position)).collect();
            let touched: Vec<(u32, u32)> =
                places.into_iter().filter(|(share, position)| self.can(change, key, *share, *position)).collect();
            if touched.is_empty() {
                continue;
            }
            let count = u32::try_from(touched.len()).unwrap_or(u32::MAX);
            if !dry_run {
                self.change(change, key, &touched, now);
            }
            return Ok(Some((id, count)));
        }
        Ok(None)
    }

    /// Would the change do anything to this recipient?
    fn can(&self, change: Change, message: u32, share: u32, position: u32) -> bool {
        let Some(recipient) = self.recipient(message, position) else { return false };
        if recipient.state.is_final() {
            return false;
        }
        match change {
            // Also what is ready: its destination may be dead.
            Change::Retry => matches!(recipient.state, State::Deferred | State::Ready | State::Frozen),
            Change::Release => recipient.state == State::Held || recipient.wish == Wish::Hold || self.in_hold(share),
            Change::Reroute => matches!(recipient.course, Course::Own | Course::Warning) && recipient.wish != Wish::Reroute,
            Change::Hold => !recipient.course.is_over() && recipient.state != State::Held && recipient.wish != Wish::Hold,
            // A report that is on its way already needs no other.
            Change::Expire => !recipient.course.is_over(),
            Change::Delete => true,
        }
    }

    fn change(&mut self, change: Change, message: u32, touched: &[(u32, u32)], now: Now) {
        let mut marks = Marks::default();
        for (share, position) in touched {
            let (share, position) = (self.share_of(message, *share, *position, now), *position);
            match change {
                Change::Retry => self.retry(share, position, now),
                Change::Hold => self.hold(message, share, position, &mut marks),
                Change::Release if self.in_hold(share) => self.reroute(message, share, position, now, &mut marks),
                Change::Release => self.release(message, share, position, &mut marks),
                Change::Reroute => self.reroute(message, share, position, now, &mut marks),
                Change::Expire => self.expire_now(message, share, position, now, &mut marks),
                Change::Delete => self.delete(message, share, position, &mut marks),
            }
        }
        let id = self.messages.get(message).map(|m| m.id);
        if let (Some(id), Some(event)) = (id, event(change)) {
            daemon::event!(Info, event, id = id, recipients = touched.len());
        }
        if self.messages.get(message).is_some_and(|m| m.open > 0) {
            self.emit(message, marks);
        }
        if !self.settle(message, now) {
            self.shares_of(message).into_iter().for_each(|share| self.queue_share(share, now));
        }
    }

    /// Ready now, and its destination is probed now if it is dead.
    fn retry(&mut self, share: u32, position: u32, now: Now) {
        self.set_state(share, position, State::Ready);
        let Some(share) = self.shares.get_mut(share) else { return };
        share.members.gather_until(0);
        let key = share.destination;
        self.urge(key, now);
    }

    fn wish_for(&mut self, message: u32, position: u32, wish: Wish) {
        if let Some(recipient) = self.recipient_mut(message, position) {
            recipient.wish = wish;
        }
    }

    fn mark(&self, message: u32, position: u32, state: RecipientState, marks: &mut Marks) {
        if let Some(recipient) = self.recipient(message, position) {
            marks.states.push((recipient.offset, state));
        }
    }

    fn is_active(&self, message: u32, position: u32) -> bool {
        self.recipient(message, position).is_some_and(|recipient| recipient.state == State::Active)
    }

    fn hold(&mut self, message: u32, share: u32, position: u32, marks: &mut Marks) {
        if self.is_active(message, position) {
            self.wish_for(message, position, Wish::Hold);
        } else {
            self.set_state(share, position, State::Held);
        }
        self.mark(message, position, RecipientState::Held, marks);
    }

    fn release(&mut self, message: u32, share: u32, position: u32, marks: &mut Marks) {
        if self.is_active(message, position) {
            self.wish_for(message, position, Wish::None);
        } else {
            self.set_state(share, position, State::Ready);
        }
        self.mark(message, position, RecipientState::Queued, marks);
    }

    /// Is it the share of recipients that channel `hold` keeps? (What leaves it for the routers has another.)
    fn in_hold(&self, share: u32) -> bool {
        let Some(share) = self.shares.get(share).filter(|share| share.members.course() == Course::Own) else { return false };
        let lane = self.destinations.get(share.destination).and_then(|destination| self.lanes.get(destination.lane as usize));
        lane.is_some_and(|lane| lane.name == "hold")
    }

    /// Back to the routers: ta-hold makes a new message of these recipients (channel `hold`, host `now`). A job that
    /// is under way ends first: it may deliver.
    fn reroute(&mut self, message: u32, share: u32, position: u32, now: Now, marks: &mut Marks) {
        let held = self.recipient(message, position).is_some_and(|recipient| recipient.state == State::Held);
        if self.is_active(message, position) {
            self.wish_for(message, position, Wish::Reroute);
        } else {
            self.transfer(share, position, Course::Rerouted, now);
        }
        if held {
            self.mark(message, position, RecipientState::Queued, marks);
        }
    }

    fn expire_now(&mut self, message: u32, share: u32, position: u32, now: Now, marks: &mut Marks) {
        if self.is_active(message, position) {
            self.wish_for(message, position, Wish::Expire);
        } else {
            self.expire(share, position, Cause::Administrator, now, marks);
        }
    }

    /// The mark is written also for one in a job: after a crash it is not delivered again.
    fn delete(&mut self, message: u32, share: u32, position: u32, marks: &mut Marks) {
        let delivered = self.recipient(message, position).is_some_and(|recipient| matches!(recipient.course, Course::Telling(_)));
        let (state, mark) = if delivered { (State::Delivered, RecipientState::Delivered) } else { (State::Failed, RecipientState::Failed) };
        if self.is_active(message, position) {
            self.wish_for(message, position, Wish::Delete);
        } else {
            self.set_state(share, position, state);
        }
        self.mark(message, position, mark, marks);
    }
}

const fn event(change: Change) -> Option<&'static str> {
    match change {
        Change::Hold => Some("held"),
        Change::Release => Some("released"),
        Change::Delete => Some("deleted"),
        Change::Retry => Some("retry"),
        Change::Reroute => Some("rerouted"),
        Change::Expire => None,
    }
}
