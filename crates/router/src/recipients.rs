//! From the envelope's recipients to those of the control file: routed, without repeats, DSN data carried on.

use crate::decision::{Routing, Want, route_on};
use crate::forms::{Forms, Leaving};
use crate::rules::Rules;
use crate::tables::Tables;
use crate::verdict::{Routed, Verdict};
use address::Path;
use envelope::{ControlRecipient, EditSet, EnvelopeRecipient, Form, Happened, Notify, Quad, RecipientDsn, RecipientState, UNFORMED};
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// All recipients of one message.
#[derive(Debug, Default)]
pub struct Recipients {
    pub list: Vec<ControlRecipient>,
    pub edits: Vec<EditSet>,
    pub forms: Vec<Form>,
    pub expanded: u64,
    pub errors: u64,
    /// A table has not answered yet.
    pub pending: bool,
}

/// Routes the recipients of an envelope. `verdict`: of all of them, where nothing is left to decide.
pub fn route_all(
    recipients: &[EnvelopeRecipient],
    sender: &Path,
    leaving: &Leaving<'_>,
    verdict: Option<&Verdict>,
    rules: &Rules,
    tables: &mut dyn Tables,
) -> Recipients {
    let mut all = Recipients::default();
    let mut repeats = Repeats::default();
    let mut forms = Forms::new(leaving, sender);
    for recipient in recipients {
        let routing = match verdict {
            None => route_on(&recipient.address, recipient.via.as_deref(), sender, Want::Recipients, rules, tables),
            Some(verdict) => Routing::of(&recipient.address, recipient.via.as_deref(), verdict.clone()),
        };
        all.expanded += u64::from(routing.expanded);
        let several = routing.outcomes.len() > 1;
        if let Some(told) = told(recipient, sender, &routing.outcomes) {
            all.list.push(told);
        }
        for outcome in routing.outcomes {
            let dsn = carried(&recipient.dsn, several, outcome.owner.is_some());
            let (outcome, form) = formed(outcome, &mut forms, rules, tables);
            all.add(outcome, recipient, (dsn, form), &mut repeats);
        }
    }
    if verdict.is_some() {
        all.unformed();
    }
    (all.forms, all.edits) = (forms.forms, forms.edits);
    if all.expanded > 0 {
        all.group();
    }
    all
}

/// An outcome with its form. Where that cannot be made, the message must not leave in another: it waits, in the form in which
/// it stays here, or fails.
fn formed(outcome: Routed, forms: &mut Forms<'_>, rules: &Rules, tables: &mut dyn Tables) -> (Routed, u16) {
    let error = match forms.of(&outcome, rules, tables) {
        Ok(form) => return (outcome, form),
        Err(error) => error,
    };
    let outcome = Routed { verdict: error.into(), ..outcome };
    match forms.of(&outcome, rules, tables) {
        Ok(form) => (outcome, form),
        Err(error) => (Routed { verdict: error.into(), ..outcome }, 0),
    }
}

impl Recipients {
    /// Recipients of one destination and domain stand together, so that whoever reads the control file in its order meets
    /// them together.
    fn group(&mut self) {
        self.list.sort_unstable_by(|one, other| {
            let (a, b) = (&one.quad, &other.quad);
            let ((local, domain), (another, elsewhere)) = (split(&a.user), split(&b.user));
            let place = (&a.channel, &a.host).cmp(&(&b.channel, &b.host));
            let place = place.then_with(|| folded(domain).cmp(folded(elsewhere)));
            place.then_with(|| (one.form, local).cmp(&(other.form, another)))
        });
    }

    /// Nothing was decided: whoever gives it back begins with the sender's form.
    fn unformed(&mut self) {
        for quad in self.list.iter_mut().map(|recipient| &mut recipient.quad).filter(|quad| quad.channel == "hold") {
            quad.attributes = UNFORMED.to_owned();
        }
    }

    fn add(&mut self, outcome: Routed, recipient: &EnvelopeRecipient, (dsn, form): (RecipientDsn, u16), repeats: &mut Repeats) {
        self.pending |= outcome.verdict == Verdict::Pending;
        let refused = matches!(outcome.verdict, Verdict::Refused { .. });
        let via = outcome.via.clone();
        let quad = outcome.into_quad();
        if repeats.is_new(&quad) {
            self.errors += u64::from(refused);
            let original = (quad.user != recipient.address.as_str()).then(|| recipient.address.to_string());
            self.list.push(ControlRecipient { offset: 0, state: RecipientState::Queued, quad, original, via, dsn, form });
        }
    }
}

/// Where the sender wants to hear of success and the address stands for a list or several others, their mailboxes will not
/// tell (see [`carried`]): that it got this far is told at once. Reaching a mailing list is delivery, an alias of several is
/// expanded (RFC 3464 section 2.3.3). The report is a recipient of its own, in the state that waits to be told.
fn told(recipient: &EnvelopeRecipient, sender: &Path, outcomes: &[Routed]) -> Option<ControlRecipient> {
    let wanted = recipient.dsn.notify.is_some_and(|notify| notify.success && !notify.never) && *sender != Path::Null;
    let list = outcomes.iter().any(|outcome| outcome.owner.is_some());
    let arrives = outcomes.iter().any(|outcome| matches!(outcome.verdict, Verdict::Deliver(_)));
    if !wanted || !arrives || !(list || outcomes.len() > 1) {
        return None;
    }
    let happened = if list { Happened::Delivered } else { Happened::Expanded };
    let user = recipient.address.to_string();
    let quad = Quad { channel: "error".to_owned(), host: happened.word().to_owned(), user, attributes: "-".to_owned() };
    Some(ControlRecipient {
        offset: 0,
        state: RecipientState::Telling,
        quad,
        original: None,
        via: None,
        dsn: recipient.dsn.clone(),
        form: 0,
    })
}

/// DSN data through an alias (RFC 3461 section 5.2.7). A list with its own owner replaces the reverse path, so the
/// sender's wishes end there; several members must not each report success.
fn carried(dsn: &RecipientDsn, several: bool, owned: bool) -> RecipientDsn {
    if owned {
        return RecipientDsn::default();
    }
    let mut dsn = dsn.clone();
    if let (true, Some(notify)) = (several, &mut dsn.notify) {
        notify.success = false;
        if !(notify.failure || notify.delay) {
            *notify = Notify { never: true, success: false, failure: false, delay: false };
        }
    }
    dsn
}

/// Quads seen so far, as 128 bits of two keyed hashes each: a message may have a million.
#[derive(Default)]
struct Repeats {
    keys: (RandomState, RandomState),
    seen: HashSet<(u64, u64)>,
}

impl Repeats {
    fn is_new(&mut self, quad: &Quad) -> bool {
        self.seen.insert((hash(&self.keys.0, quad), hash(&self.keys.1, quad)))
    }
}

fn hash(key: &RandomState, quad: &Quad) -> u64 {
    let mut hasher = key.build_hasher();
    let (local, domain) = split(&quad.user);
    // With the attributes: the same user with two details has two folders.
    (&quad.channel, &quad.host, local, &quad.attributes).hash(&mut hasher);
    // In whatever case a domain is written.
    folded(domain).for_each(|byte| hasher.write_u8(byte));
    hasher.finish()
}

/// Local part and domain.
fn split(user: &str) -> (&str, &str) {
    user.rsplit_once('@').unwrap_or((user, ""))
}

fn folded(domain: &str) -> impl Iterator<Item = u8> + '_ {
    domain.bytes().map(|byte| byte.to_ascii_lowercase())
}
