//! A control file becomes a message in memory.

use super::entry::{Members, Message, NONE, Rare, Recipient, Shape, Share, State, Success};
use super::result::Marks;
use super::retry::Wake;
use super::{Model, Now};
use address::Path;
use envelope::{Control, ControlRecipient, Diagnostic, Happened, Parsed, RecipientState};
use status::{Class, Enhanced};
use std::collections::HashMap;

/// Nothing is kept longer than this many seconds before its first attempt, whatever a file says.
const LONGEST_HOLD: u64 = 366 * 86_400;

impl Model {
    /// Takes a loaded message. False: it is known already.
    pub fn add(&mut self, parsed: Parsed, now: Now) -> bool {
        let Parsed { mut control, diagnostics } = parsed;
        if self.knows(control.id) {
            return false;
        }
        let mut entries = std::mem::take(&mut control.recipients);
        entries.sort_by(|a, b| (&a.quad.channel, &a.quad.host, a.form, a.offset).cmp(&(&b.quad.channel, &b.quad.host, b.form, b.offset)));
        let runs = runs(&entries);
        let judged = entries.iter().map(Fate::of).collect::<Vec<_>>();
        // Not collected: that would reuse the parser's allocation and cut it down to a tenth in place, which leaves a hole
        // behind every message that no later parse fits into (400 bytes a recipient when it was so).
        let mut recipients = Vec::with_capacity(entries.len());
        recipients.extend(entries.into_iter().map(Recipient::new));
        self.counters.add("messages", 1);
        self.counters.add("recipients", recipients.len() as u64);
        let key = self.messages.insert(self.message(&control, recipients, now));
        self.index.insert(control.id, key);
        let share_keys = self.add_shares(key, &runs, now);
        self.restore(key, &share_keys, &diagnostics, &judged, now);
        self.keep_for_later(key, now);
        self.watch_moment(key, now);
        if !self.settle(key, now) {
            for share in self.shares_of(key) {
                self.arm(share, now);
                self.queue_share(share, now);
            }
        }
        true
    }

    fn message(&self, control: &Control, recipients: Vec<Recipient>, now: Now) -> Message {
        let plain = control.envid.is_none() && control.ret.is_none() && control.terms.is_default() && control.forms.is_empty();
        let rare = (!plain)
            .then(|| Box::new(Rare { envid: control.envid.clone(), ret: control.ret, terms: control.terms, forms: Shape::all(control) }));
        Message {
            id: control.id,
            sender: path_text(&control.sender).into(),
            open: u32::try_from(recipients.len()).unwrap_or(u32::MAX),
            recipients: recipients.into(),
            arrived: control.arrived,
            origin: self.origin(control, now),
            size: control.size,
            body_offset: control.body_offset,
            rare,
            shares: NONE,
            bodytype: control.bodytype,
            smtputf8: control.smtputf8,
            kills: 0,
        }
    }

    /// The arrival on the monotonic scale. A message counts as at most just expired when it is loaded: one that looks
    /// years old because the clock jumped, or because the machine was off, gets its attempt before it is given up.
    /// What is kept for later (RFC 4865) begins to age then.
    fn origin(&self, control: &Control, now: Now) -> i64 {
        let arrived = control.arrived.max(control.terms.hold_until.unwrap_or(0).saturating_mul(1000));
        let longest = self.book.policies().longest_expiry().max(self.limits.expiry);
        let age = now.wall_ms.saturating_sub(arrived).min(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
        let ahead = arrived.saturating_sub(now.wall_ms).min(LONGEST_HOLD * 1000);
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        signed(now.ms).saturating_sub(signed(age)).saturating_add(signed(ahead))
    }

    /// One share for each run of recipients with the same destination; all recipients begin as ready.
    fn add_shares(&mut self, message: u32, runs: &[Run], now: Now) -> Vec<(u32, u32, u32)> {
        let mut keys = Vec::with_capacity(runs.len());
        for run in runs {
            let destination = self.destination(&run.channel, &run.host, now);
            let share = self.new_share(message, destination, run.form, Members::Run { first: run.first, count: run.count });
            if let Some(share) = self.shares.get_mut(share) {
                share.ready = run.count;
                share.open = run.count;
            }
            if let Some(destination) = self.destinations.get_mut(destination) {
                (0..run.count).for_each(|_| destination.count(State::Ready, true));
            }
            self.open_recipients += u64::from(run.count);
            keys.push((share, run.first, run.count));
        }
        keys
    }

    pub(super) fn new_share(&mut self, message: u32, destination: u32, form: u16, members: Members) -> u32 {
        let sibling = self.messages.get(message).map_or(NONE, |m| m.shares);
        let key = self.shares.insert(Share {
            message,
            destination,
            form,
            sibling,
            members,
            ready: 0,
            open: 0,
            cursor: 0,
            armed: NONE,
            queued: false,
            turned: false,
            attempted: false,
            warned: false,
        });
        if let Some(message) = self.messages.get_mut(message) {
            message.shares = key;
        }
        if let Some(destination) = self.destinations.get_mut(destination) {
            destination.shares += 1;
        }
        key
    }

    /// What is to be delivered by a moment goes back, or its sender is told, at that moment and not when a walk comes along.
    fn watch_moment(&mut self, key: u32, now: Now) {
        if let Some(left) = self.messages.get(key).and_then(|message| message.due_in(now)) {
            self.set_timer(now.tick().saturating_add(super::retry::ticks(left)).saturating_add(1), Wake::Message(key));
        }
    }

    /// Nothing goes before the moment the sender has named (RFC 4865), unless the administrator wants it to.
    fn keep_for_later(&mut self, key: u32, now: Now) {
        let terms = self.messages.get(key).and_then(|message| message.rare.as_deref()).map(|rare| rare.terms);
        let Some(moment) = terms.and_then(|terms| terms.hold_until) else { return };
        let wait = moment.saturating_sub(now.wall_seconds()).min(LONGEST_HOLD);
        if wait == 0 {
            return;
        }
        let next = now.tick().saturating_add(u32::try_from(wait.saturating_mul(10)).unwrap_or(NONE - 1));
        for share in self.shares_of(key) {
            // Reports do not wait for it: what failed in routing has failed now.
            let own = self.shares.get(share).filter(|share| !share.members.course().is_over());
            let members = own.map(|share| self.members(share)).unwrap_or_default();
            for (position, state) in members {
                if state == State::Ready && self.recipient(key, position).is_some_and(|recipient| recipient.attempts == 0) {
                    if let Some(recipient) = self.recipient_mut(key, position) {
                        recipient.next = next;
                    }
                    self.set_state(share, position, State::Deferred);
                }
            }
        }
    }

    /// States, attempts and next attempts as the file says; failures go to the error share.
    fn restore(&mut self, message_key: u32, shares: &[(u32, u32, u32)], diagnostics: &[Diagnostic], fates: &[Fate], now: Now) {
        let latest = latest(diagnostics);
        let mut marks = Marks::default();
        for (share, first, count) in shares {
            for position in *first..first.saturating_add(*count) {
                let Some(fate) = fates.get(position as usize) else { continue };
                self.restore_one((message_key, *share, position), fate, &latest, &mut marks, now);
            }
        }
        self.emit(message_key, marks);
    }

    fn restore_one(
        &mut self,
        (message, share, position): (u32, u32, u32),
        fate: &Fate,
        latest: &HashMap<u32, Latest<'_>>,
        marks: &mut Marks,
        now: Now,
    ) {
        let offset = self.recipient(message, position).map_or(0, |recipient| recipient.offset);
        let known = latest.get(&offset);
        if let Some(last) = known.and_then(|known| known.last) {
            self.restore_deferral((message, share, position), last, fate.state, now);
        }
        if let Some(recipient) = self.recipient_mut(message, position) {
            recipient.told = known.is_some_and(|known| known.told);
        }
        let judgement = fate.judgement.as_ref();
        match fate.state {
            RecipientState::Delivered => self.set_state(share, position, State::Delivered),
            RecipientState::Failed => self.set_state(share, position, State::Failed),
            RecipientState::Held => self.set_state(share, position, State::Held),
            RecipientState::Telling => self.restore_telling(share, position, fate.success, known.and_then(|known| known.success), now),
            RecipientState::Failing => {
                let failed = known.and_then(|known| known.failed);
                let note = match (failed, judgement) {
                    (Some(d), _) => self.notes.intern(d.status, &d.remote, &d.text, d.time),
                    (None, Some(j)) => self.notes.intern(j.status, "-", &j.text, now.wall_seconds()),
                    (None, None) => self.notes.intern(Enhanced::permanent(0, 0), "-", "delivery failed", now.wall_seconds()),
                };
                self.join_error_share(share, position, note, now);
            }
            RecipientState::Queued => {
                if let Some(judgement) = judgement {
                    let note = self.notes.intern(judgement.status, "-", &judgement.text, now.wall_seconds());
                    self.fail(share, position, note, now, marks);
                }
            }
        }
    }

    /// A delivery whose report was not sent. The router's own (lists) say by their host what is to be told; of others
    /// whose diagnostic was torn only the lesser is told.
    fn restore_telling(&mut self, share: u32, position: u32, routed: Option<Success>, said: Option<&Diagnostic>, now: Now) {
        let told = said.and_then(|d| Success::of(d.happened).map(|success| (success, d)));
        let (success, note) = match (told, routed) {
            (Some((success, d)), _) => (success, self.notes.intern(d.status, &d.remote, &d.text, d.time)),
            (None, routed) => {
                let (success, text) = match routed {
                    Some(Success::Expanded) => (Success::Expanded, "the address stands for several others, to which the message goes on"),
                    Some(Success::Delivered) => (Success::Delivered, "given to the mailing list, which sends it on in its own name"),
                    Some(Success::Relayed) | None => (Success::Relayed, "handed on"),
                };
                (success, self.notes.intern(Enhanced::success(1, 5), "-", text, now.wall_seconds()))
            }
        };
        self.join_success_share(share, position, success, note, now);
    }

    /// Attempts so far, and the next one where it was planned: but no later than the longest wait from now, whatever
    /// the clock says today.
    fn restore_deferral(&mut self, place: (u32, u32, u32), last: &Diagnostic, state: RecipientState, now: Now) {
        let (message, share, position) = place;
        let longest = self.rules_of_share(share).map_or(self.limits.retry_longest, |rules| rules.policy.retry_longest).as_secs();
        let longest = longest.saturating_add(longest / 2).max(1);
        let wait = last.next_attempt.saturating_sub(now.wall_seconds()).min(longest);
        let note = self.notes.intern(last.status, &last.remote, &last.text, 0);
        if let Some(recipient) = self.recipient_mut(message, position) {
            recipient.attempts = u16::try_from(last.attempts).unwrap_or(u16::MAX);
            recipient.note = Some(note);
            recipient.next = now.tick().saturating_add(u32::try_from(wait.saturating_mul(10)).unwrap_or(NONE - 1));
        }
        if wait > 0 && state == RecipientState::Queued && last.happened == Happened::Deferred {
            self.set_state(share, position, State::Deferred);
        }
    }

    pub(super) fn recipient(&self, message: u32, position: u32) -> Option<&Recipient> {
        self.messages.get(message)?.recipients.get(position as usize)
    }

    pub(super) fn recipient_mut(&mut self, message: u32, position: u32) -> Option<&mut Recipient> {
        self.messages.get_mut(message)?.recipients.get_mut(position as usize)
    }
}

/// What the file says last about a recipient.
#[derive(Default)]
struct Latest<'a> {
    last: Option<&'a Diagnostic>,
    failed: Option<&'a Diagnostic>,
    success: Option<&'a Diagnostic>,
    told: bool,
}

fn latest(diagnostics: &[Diagnostic]) -> HashMap<u32, Latest<'_>> {
    let mut map: HashMap<u32, Latest<'_>> = HashMap::new();
    for diagnostic in diagnostics {
        let entry = map.entry(diagnostic.recipient).or_default();
        match diagnostic.happened {
            // No attempt: the plan for the next one stays.
            Happened::Delayed => {
                entry.told = true;
                continue;
            }
            Happened::Failed => entry.failed = Some(diagnostic),
            Happened::Delivered | Happened::Relayed | Happened::Expanded => entry.success = Some(diagnostic),
            Happened::Deferred => {}
        }
        entry.last = Some(diagnostic);
    }
    map
}

/// What the recipient's own line says beyond the quad.
struct Fate {
    state: RecipientState,
    /// Channel `error`: the router's refusal.
    judgement: Option<Judgement>,
    /// Channel `error` in state `s`: the router has found a list, and this is to be told of it.
    success: Option<Success>,
}

impl Fate {
    fn of(entry: &ControlRecipient) -> Self {
        let telling = entry.state == RecipientState::Telling;
        let judgement = if telling { None } else { judgement(entry) };
        let success = (telling && entry.quad.channel == "error").then(|| Happened::parse(&entry.quad.host).and_then(Success::of)).flatten();
        Self { state: entry.state, judgement, success }
    }
}

/// Recipients of one destination and form, after sorting.
struct Run {
    channel: String,
    host: String,
    form: u16,
    first: u32,
    count: u32,
}

fn runs(entries: &[ControlRecipient]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (position, entry) in (0u32..).zip(entries) {
        match runs.last_mut() {
            Some(run) if run.form == entry.form && run.channel == entry.quad.channel && run.host == entry.quad.host => run.count += 1,
            _ => {
                let (channel, host) = (entry.quad.channel.clone(), entry.quad.host.clone());
                runs.push(Run { channel, host, form: entry.form, first: position, count: 1 });
            }
        }
    }
    runs
}

/// The router's refusal of a recipient.
struct Judgement {
    status: Enhanced,
    text: String,
}

/// Channel `error`: the host says why, as `5.1.1:text` (or `5.1.1_text`) with what is no plain byte percent-encoded.
fn judgement(entry: &ControlRecipient) -> Option<Judgement> {
    if entry.quad.channel != "error" {
        return None;
    }
    let host = entry.quad.host.as_str();
    let end = host.find([':', '_', ' ']).unwrap_or(host.len());
    let (code, rest) = host.split_at(end);
    let (status, text) = match code.parse::<Enhanced>() {
        Ok(status) => (Enhanced { class: Class::Permanent, ..status }, rest.get(1..).unwrap_or_default()),
        Err(_) => (Enhanced::permanent(0, 0), host),
    };
    let text = decoded(text);
    let text = if text.is_empty() || text == "-" { "address rejected by routing".to_owned() } else { text };
    Some(Judgement { status, text })
}

/// `%20` and the like to bytes; control bytes become blanks; at most 512 bytes.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let value = match (byte, after) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = tail;
                    high * 16 + low
                }
                _ => b'%',
            },
            _ => *byte,
        };
        out.push(if value < b' ' || value == 0x7f { b' ' } else { value });
    }
    out.truncate(512);
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The text of a path, empty for `<>`.
fn path_text(path: &Path) -> &str {
    match path {
        Path::Null => "",
        Path::Mailbox(address) => address.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::decoded;
    use proptest::prelude::*;

    #[test]
    fn reasons_are_decoded_and_hold_no_control_byte() {
        assert_eq!(decoded("no%20such%20user%"), "no such user%");
        assert_eq!(decoded("a%0d%0ab%zz"), "a  b%zz");
    }

    proptest! {
        #[test]
        fn any_reason_decodes(text in ".{0,600}") {
            let out = decoded(&text);
            prop_assert!(!out.chars().any(|c| c.is_ascii_control()));
        }
    }
}
