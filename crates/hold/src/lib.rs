//! ta-hold: the transport agent of channel `hold`, which keeps recipients until a condition holds.
//!
//! **What it does.** The host of a job is its condition:
//! - `-` or `admin`: until the administrator releases or reroutes it (Deferred at every attempt);
//! - `until:<Unix seconds>`: until then Deferred; afterwards as `retry`;
//! - `retry` or `retry:<reason>`: goes back to the routers at the next attempt, as a new message with the same sender, these
//!   recipients, their DSN parameters, the same content and the same moment of arrival (so it expires when it would have).
//! - `now`: the administrator has released or rerouted it; as `retry`, but at once.
//! - `table:<name>` or `table:<name>/<reason>`: until that declared table answers. One message asks in the name of all that wait
//!   for the same; when it goes, all go.
//! - `age:<time>`, `ns:<name>/<type>`, `home:<user>`, `script:<name>[/<argument>]`, `io`: until the message is so old, the name
//!   can be looked up (or certainly does not exist), the user's home folder can be seen, the `[[script]]` says yes, one attempt
//!   in ten; afterwards as `retry`. ZMailer's words in capitals mean the same.
//!
//! A member of a list goes back as that member: the list itself, expanded again, would reach everybody twice.
//!
//! A message is not resubmitted before it has been in the queue for half of `[queue] retry_first`: the routers may well send
//! it here again, and without that wait the two would spin (not with `now`, which no route can say). (Half: so that the second
//! attempt, whose wait has jitter, is it.) What waited for a table that answers now goes sooner: after an eighth of its age.
//!
//! **What it trusts.** The master and the scheduler. Not the message: it is copied as bytes.
//!
//! **May touch.** Its two conversations, the message descriptors it is passed, `public/` and `router/` of the postoffice
//! (create and rename), the router's notification socket, the resolver, the routermux, programs of `[[script]]`. No
//! network.
//!
//! **If it dies.** Its jobs are counted as undecided and done again: what was resubmitted and not yet reported is
//! resubmitted twice; nothing is lost.

mod condition;
mod probe;
mod resubmit;
mod tables;

use daemon::Started;
use std::process::ExitCode;
use std::sync::Arc;

pub use condition::{Condition, ConditionError};
pub use probe::Probe;
pub use resubmit::{Hold, Stay};
pub use tables::Tables;

/// Jobs taken at once.
const CREDIT: u32 = 20;

/// The whole process.
pub fn run() -> ExitCode {
    let started = match daemon::start("ta-hold") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    let mut started = started;
    match open(&mut started) {
        Ok(mut hold) => agent::serve(started, CREDIT, &mut hold),
        Err(e) => {
            daemon::event!(Error, "start_failed", reason = format!("the postoffice cannot be opened: {e}"));
            ExitCode::from(daemon::EX_OSERR)
        }
    }
}

fn open(started: &mut Started) -> std::io::Result<Hold> {
    let spool = Arc::new(spool::Spool::open(&started.settings.paths.postoffice)?);
    let notifier = spool::Notifier::new(&started.settings.paths.run, "router")?;
    let settings = &started.settings;
    let probe = Probe::new(settings.clone(), started.contacts.caller("resolver"));
    let tables = Tables::new(settings.clone(), started.contacts.caller("routermux"));
    let stay =
        Stay { shortest: settings.queue.retry_first / 2, longest: settings.queue.retry_longest, probe: settings.routing.table_probe };
    Ok(Hold::new(probe, tables, stay, started.counters.clone(), spool, notifier))
}
