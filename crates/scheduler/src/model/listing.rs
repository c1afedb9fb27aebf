//! What operators see of the queue, in pieces: a listing stops anywhere and goes on by id.

use super::entry::{Course, Message, NONE, Recipient, Share, State};
use super::{Model, Now};
use envelope::{Happened, MessageId};
use ipc::control::{QueuedDestination, QueuedMessage, QueuedRecipient, Selection};
use std::ops::Bound;

/// Bytes of recipients in one frame.
const FRAME: usize = 48 * 1024;

/// A selection made ready for comparing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    ids: Vec<MessageId>,
    by_id: bool,
    selection: Selection,
}

impl Filter {
    /// Ids that are none match nothing.
    pub fn new(selection: Selection) -> Self {
        let mut ids: Vec<MessageId> = selection.ids.iter().filter_map(|id| MessageId::parse(id).ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        Self { by_id: !selection.ids.is_empty(), ids, selection }
    }

    fn message(&self, message: &Message, now: Now) -> bool {
        let sender = self.selection.sender.as_deref();
        sender.is_none_or(|sender| bare(sender).eq_ignore_ascii_case(&message.sender))
            && self.selection.older.is_none_or(|older| now.wall_ms.saturating_sub(message.arrived) / 1000 >= older)
    }

    /// Is it about recipients that are done with?
    fn wants_ended(&self) -> bool {
        self.selection.state.as_deref().is_some_and(|state| ["delivered", "failed"].iter().any(|s| s.eq_ignore_ascii_case(state)))
    }

    fn place(&self, channel: &str, host: &str) -> bool {
        self.selection.channel.as_deref().is_none_or(|c| c.eq_ignore_ascii_case(channel))
            && self.selection.host.as_deref().is_none_or(|h| h.eq_ignore_ascii_case(host))
    }

    fn recipient(&self, address: &str, state: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        self.selection.recipient.as_deref().is_none_or(|r| bare(r).eq_ignore_ascii_case(address))
            && self.selection.domain.as_deref().is_none_or(|d| in_domain(d, domain))
            && self.selection.state.as_deref().is_none_or(|s| s.eq_ignore_ascii_case(state))
    }
}

/// `.suffix`: every domain below it.
pub(super) fn in_domain(wanted: &str, domain: &str) -> bool {
    if !wanted.starts_with('.') {
        return wanted.eq_ignore_ascii_case(domain);
    }
    let end = domain.len().checked_sub(wanted.len()).filter(|at| *at > 0).and_then(|at| domain.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(wanted))
}

/// About reports to the sender, as [`QueuedRecipient::report`] has it.
pub(super) const fn report(recipient: &Recipient) -> &'static str {
    match recipient.course {
        Course::Failing => Happened::Failed.word(),
        Course::Telling(success) => success.happened().word(),
        Course::Warning => Happened::Delayed.word(),
        Course::Own | Course::Rerouted => {
            if recipient.told && !recipient.state.is_final() {
                "told"
            } else {
                ""
            }
        }
    }
}

/// Addresses may come in angle brackets; `<>` is the empty one.
pub(super) fn bare(address: &str) -> &str {
    address.strip_prefix('<').and_then(|a| a.strip_suffix('>')).unwrap_or(address)
}

/// Where a listing goes on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    after: Option<MessageId>,
    /// Matching recipients of the next message that were shown already.
    skip: usize,
    /// Position in the filter's ids, or the destination.
    at: u32,
}

/// One recipient as a filter and a listing see it.
pub(super) struct View<'a> {
    pub share: u32,
    pub position: u32,
    pub state: &'static str,
    pub channel: &'a str,
    pub host: &'a str,
    pub next: u32,
    pub last: String,
}

impl Model {
    /// The next message after the cursor, whether it matches or not; `None` at the end.
    pub(super) fn step(&self, filter: &Filter, cursor: &mut Cursor) -> Option<u32> {
        if filter.by_id {
            loop {
                let id = filter.ids.get(cursor.at as usize)?;
                cursor.at += 1;
                if let Some(key) = self.index.get(id) {
                    return Some(*key);
                }
            }
        }
        let from = cursor.after.map_or(Bound::Unbounded, Bound::Excluded);
        let (id, key) = self.index.range((from, Bound::Unbounded)).next()?;
        cursor.after = Some(*id);
        Some(*key)
    }

    /// The next frame of a listing, looking at no more than `budget` messages. `Ok(None)`: the budget is used up;
    /// `Err(())`: the end.
    #[allow(clippy::result_unit_err)]
    pub fn next_listed(&self, filter: &Filter, cursor: &mut Cursor, budget: &mut usize, now: Now) -> Result<Option<QueuedMessage>, ()> {
        while *budget > 0 {
            *budget -= 1;
            let before = *cursor;
            let key = self.step(filter, cursor).ok_or(())?;
            let skip = std::mem::take(&mut cursor.skip);
            let Some(shown) = self.show(key, filter, skip, now) else { continue };
            if shown.more {
                *cursor = Cursor { skip: skip + shown.recipients.len(), ..before };
            }
            return Ok(Some(shown));
        }
        Ok(None)
    }

    fn show(&self, key: u32, filter: &Filter, skip: usize, now: Now) -> Option<QueuedMessage> {
        let message = self.messages.get(key)?;
        let views = self.select(key, filter, now);
        if views.is_empty() {
            return None;
        }
        let state = ["active", "queued", "deferred", "held"].into_iter().find(|word| views.iter().any(|v| v.state == *word));
        let (mut bytes, mut recipients, mut more) = (0, Vec::new(), false);
        for view in views.iter().skip(skip) {
            let Some(shown) = self.show_recipient(message, view, now) else { continue };
            bytes += shown.address.len() + shown.channel.len() + shown.host.len() + shown.last.len() + 40;
            if bytes > FRAME && !recipients.is_empty() {
                more = true;
                break;
            }
            recipients.push(shown);
        }
        Some(QueuedMessage {
            id: message.id.to_string(),
            sender: message.sender.to_string(),
            size: message.size,
            arrived: message.arrived,
            state: state.or(views.first().map(|view| view.state)).unwrap_or("failed").to_owned(),
            recipients,
            more,
        })
    }

    pub(super) fn show_recipient(&self, message: &Message, view: &View<'_>, now: Now) -> Option<QueuedRecipient> {
        let recipient = message.recipients.get(view.position as usize)?;
        // Until then is its own reason; and the timer behind `next` reaches no further than a year.
        let held = message.rare.as_deref().and_then(|rare| rare.terms.hold_until).filter(|moment| {
            recipient.attempts == 0 && recipient.note.is_none() && view.state == "deferred" && *moment > now.wall_seconds()
        });
        Some(QueuedRecipient {
            address: recipient.address().to_owned(),
            channel: view.channel.to_owned(),
            host: view.host.to_owned(),
            state: view.state.to_owned(),
            attempts: u32::from(recipient.attempts),
            next_attempt: held.unwrap_or_else(|| if view.next == NONE { 0 } else { now.wall_of(view.next) }),
            last: if held.is_some() { "its sender wants it held until then".to_owned() } else { view.last.clone() },
            report: report(recipient).to_owned(),
            sender: message.sender_to(recipient).unwrap_or_default(),
        })
    }

    /// The recipients of a message that a filter selects: open ones, and ended ones only by a filter for their state.
    pub(super) fn select(&self, key: u32, filter: &Filter, now: Now) -> Vec<View<'_>> {
        let mut views = Vec::new();
        let Some(message) = self.messages.get(key).filter(|message| filter.message(message, now)) else { return views };
        for share_key in self.shares_of(key) {
            let Some(share) = self.shares.get(share_key) else { continue };
            for (position, _) in self.members(share) {
                if let Some(view) = self.view(message, share_key, share, position)
                    && filter.place(view.channel, view.host)
                    && message.recipients.get(position as usize).is_some_and(|r| filter.recipient(r.address(), view.state))
                {
                    views.push(view);
                }
            }
        }
        if filter.wants_ended() {
            self.select_ended(key, message, filter, &mut views);
        }
        views.sort_by_key(|view| view.position);
        views
    }

    /// Those that are done with, of a message that has others. Their share may be gone: then nobody knows any more where
    /// they went.
    fn select_ended<'a>(&'a self, key: u32, message: &Message, filter: &Filter, views: &mut Vec<View<'a>>) {
        let shares = self.shares_of(key);
        let ended = (0..).zip(&message.recipients).filter(|(_, recipient)| recipient.state.is_final());
        for (position, recipient) in ended {
            let state = if recipient.state == State::Delivered { "delivered" } else { "failed" };
            let share = shares
                .iter()
                .filter_map(|key| self.shares.get(*key))
                .find(|share| share.members.course() == recipient.course && share.members.holds(position));
            let destination = share.and_then(|share| self.destinations.get(share.destination));
            let channel = destination.and_then(|d| self.lanes.get(d.lane as usize)).map_or("-", |lane| lane.name.as_str());
            let host = destination.map_or("-", |destination| &destination.host);
            if filter.place(channel, host) && filter.recipient(recipient.address(), state) {
                views.push(View { share: NONE, position, state, channel, host, next: NONE, last: String::new() });
            }
        }
    }

    pub(super) fn view<'a>(&'a self, message: &Message, share_key: u32, share: &Share, position: u32) -> Option<View<'a>> {
        let recipient = message.recipients.get(position as usize)?;
        // Who only tells of a delay is still for its own destination.
        let own = (recipient.course == Course::Warning).then(|| self.own_share(share.message, position)).flatten();
        let share_shown = own.and_then(|key| self.shares.get(key)).unwrap_or(share);
        let destination = self.destinations.get(share_shown.destination)?;
        let site = self.site_of(destination);
        let (state, next) = match recipient.state {
            State::Delivered => ("delivered", NONE),
            _ if recipient.course == Course::Failing => ("failed", NONE),
            _ if recipient.course.is_over() => ("delivered", NONE),
            State::Ready | State::Active if recipient.course == Course::Warning => ("deferred", recipient.next),
            State::Active => ("active", NONE),
            State::Held => ("held", NONE),
            State::Deferred => ("deferred", recipient.next),
            State::Failed => ("failed", NONE),
            State::Ready if site.is_some_and(|site| site.window.is_dead()) => ("deferred", site.map_or(NONE, |site| site.until)),
            State::Ready | State::Frozen => ("queued", NONE),
        };
        let note = recipient.note.as_deref().or(site.and_then(|site| site.last.as_deref()));
        let last = note.map_or_else(String::new, |note| match &*note.remote {
            "-" | "" => format!("{} {}", note.status, note.text),
            remote => format!("{remote}: {} {}", note.status, note.text),
        });
        let channel = self.lanes.get(destination.lane as usize).map_or("", |lane| lane.name.as_str());
        debug_assert!(share.members.course() == recipient.course);
        Some(View { share: share_key, position, state, channel, host: &destination.host, next, last })
    }

    /// The next destination with mail; the end is `Err`, an empty budget `Ok(None)`.
    #[allow(clippy::result_unit_err)]
    pub fn next_destination(&self, cursor: &mut Cursor, budget: &mut usize, now: Now) -> Result<Option<QueuedDestination>, ()> {
        while *budget > 0 {
            *budget -= 1;
            if cursor.at >= self.destinations.end() {
                return Err(());
            }
            let key = cursor.at;
            cursor.at += 1;
            let Some(destination) = self.destinations.get(key).filter(|destination| destination.shares > 0) else { continue };
            let [queued, active, deferred, held] = destination.counts();
            let site = self.site_of(destination);
            let probe = site.filter(|site| site.window.is_dead()).map_or(NONE, |site| site.until);
            return Ok(Some(QueuedDestination {
                channel: self.lanes.get(destination.lane as usize).map_or(String::new(), |lane| lane.name.clone()),
                host: destination.host.to_string(),
                queued,
                active,
                deferred,
                held,
                concurrency: site.map_or(destination.rules.policy.concurrency_first, |site| site.window.size()),
                next_attempt: if probe == NONE { 0 } else { now.wall_of(probe) },
                last: site.and_then(|site| site.last.as_deref()).map_or_else(String::new, |note| note.text.to_string()),
            }));
        }
        Ok(None)
    }
}
