//! ta-errormail: the transport agent of channel `error`, which sends the report about recipients that failed.
//!
//! **What it does.** The scheduler hands it jobs whose recipients each carry why they failed. For each job it composes one
//! report (RFC 3464, crate `dsn`) to the message's sender, submits it durably through the spool as a message of its
//! own from `<>`, tells the routers, and answers Delivered: "the report is sent, or none is due". No report is due
//! where the sender is `<>`, and for recipients whose NOTIFY does not ask for it (RFC 3461 section 4.1).
//!
//! **What it trusts.** The master and the scheduler. Not the message, not the addresses, not the remote hosts' answers in
//! the failures: all that goes into the report through `dsn`, which cleans it.
//!
//! **May touch.** Its two conversations, the message descriptors it is passed, `public/` and `router/` of the postoffice
//! (create and rename), the router's notification socket. No network.
//!
//! **If it dies.** Its jobs are counted as undecided and done again. A report that was submitted and not yet reported is
//! then sent twice; none is lost. If the spool takes no report (disk full), the recipients are deferred and stay Failing.
//!
//! **No loops.** A report is from `<>` and carries `errormsg`; what comes from `<>` yields no report. With `[bounce]
//! double_to_postmaster` it yields one to the postmaster, marked with a header field; what carries the mark yields none.

mod report;

use daemon::Started;
use std::process::ExitCode;
use std::sync::Arc;

pub use report::Errormail;

/// Jobs taken at once.
const CREDIT: u32 = 20;

/// The whole process.
pub fn run() -> ExitCode {
    let started = match daemon::start("ta-errormail") {
        Ok(started) => started,
        Err(refusal) => return refusal.say(),
    };
    match open(&started) {
        Ok(mut errormail) => agent::serve(started, CREDIT, &mut errormail),
        Err(e) => {
            daemon::event!(Error, "start_failed", reason = format!("the postoffice cannot be opened: {e}"));
            ExitCode::from(daemon::EX_OSERR)
        }
    }
}

fn open(started: &Started) -> std::io::Result<Errormail> {
    let spool = Arc::new(spool::Spool::open(&started.settings.paths.postoffice)?);
    let notifier = spool::Notifier::new(&started.settings.paths.run, "router")?;
    Ok(Errormail::new(Arc::clone(&started.settings), started.counters.clone(), spool, notifier))
}
