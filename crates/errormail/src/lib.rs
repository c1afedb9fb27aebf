//! ta-errormail: the transport agent of channel `error`, which sends reports: of failure (host `bounce`), of delay
//! (`delay`), of success (`delivered`, `relayed`, `expanded`).
//!
//! **What it does.** The scheduler hands it jobs whose recipients each carry what is to be said. For each job it composes one
//! report (RFC 3464, crate `dsn`) to the message's sender, submits it durably through the spool as a message of its
//! own from `<>`, tells the routers, and answers Delivered: "the report is sent, or none is due". No report is due
//! where the sender is `<>`, and for recipients whose NOTIFY does not ask for it (RFC 3461 section 4.1). The postmaster
//! gets a copy of the kinds that `[bounce] copy_to_postmaster` names.
//!
//! **What it trusts.** The master and the scheduler. Not the message, not the addresses, not the remote hosts' answers in
//! the failures: all that goes into the report through `dsn`, which cleans it.
//!
//! **May touch.** Its two conversations, the message descriptors it is passed, `public/` and `router/` of the postoffice
//! (create and rename), the router's notification socket, at start the folder of `[bounce] templates`. No network.
//!
//! **If it dies.** Its jobs are counted as undecided and done again. A report that was submitted and not yet reported is
//! then sent twice; none is lost. If the spool takes no report (disk full), the recipients are deferred and stay Failing.
//!
//! **No loops.** A report is from `<>` and carries `errormsg`; what comes from `<>` yields no report. With `[bounce]
//! double_to_postmaster` its failure (and nothing else about it) yields one to the postmaster, marked with a header field, as
//! his copies are; what carries the mark yields none.

mod report;

use daemon::Started;
use dsn::Templates;
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
    let templates = templates(&started.settings.bounce);
    Ok(Errormail::new(Arc::clone(&started.settings), templates, started.counters.clone(), spool, notifier))
}

/// The administrator's texts; whatever is wrong with them, a report must go out: then with the text that is built in.
fn templates(bounce: &settings::Bounce) -> Templates {
    let files = bounce.template_files(Templates::is_name, dsn::MAX_TEMPLATE).unwrap_or_else(|e| {
        daemon::event!(Error, "templates_unreadable", reason = e);
        Vec::new()
    });
    let (templates, faults) = Templates::with(files);
    for fault in faults {
        daemon::event!(Error, "template_faulty", file = fault.file, line = fault.line, reason = fault.reason);
    }
    templates
}
