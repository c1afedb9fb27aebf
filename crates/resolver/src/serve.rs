//! The process: contact point, master, signals.

use crate::conversation::converse;
use crate::files::Files;
use crate::lookups::Lookups;
use crate::watch::watch;
use daemon::{Refusal, Signal, Started};
use ipc::dns::{Ask, Told};
use ipc::master::{ToChild, ToMaster};
use ipc::{ContactPoint, RecvError};
use sandbox::Needs;
use std::process::ExitCode;
use std::rc::Rc;
use tokio::io::Interest;
use tokio::sync::watch::{Receiver, channel as switch};
use tokio::task::{JoinSet, LocalSet};

/// Conversations at a time: far more than the suite has processes.
const MOST_CONVERSATIONS: usize = 4096;

/// The resolver process.
pub fn run() -> ExitCode {
    let outcome = daemon::start("resolver").and_then(|started| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Refusal::system(format!("resolver: {e}")))?;
        runtime.block_on(LocalSet::new().run_until(serve(started)))
    });
    daemon::log::flush();
    match outcome {
        Ok(code) => code,
        Err(refusal) => refusal.say(),
    }
}

/// Bytes of memory besides the cache, and what an entry of it may take.
const MEMORY: u64 = 1 << 30;
const ENTRY: u64 = 16 * 1024;

/// From here on no file can be opened and nothing executed; questions can be sent.
fn confine(settings: &settings::Settings) -> Result<(), Refusal> {
    let entries = u64::try_from(settings.dns.cache_entries).unwrap_or(u64::MAX);
    let memory = Some(entries.saturating_mul(ENTRY).saturating_add(MEMORY));
    sandbox::confine(settings.processes.sandbox, &Needs { memory, ..Needs::client() })
        .map_err(|why| Refusal::system(format!("resolver: {why}")))
}

/// Why the main loop goes round again or ends.
enum Next {
    Go,
    Drain,
    Orphaned,
}

async fn serve(mut started: Started) -> Result<ExitCode, Refusal> {
    let contact = started.contacts.serve().ok_or_else(|| Refusal::conversation("resolver: the master sent no contact point"))?;
    let files = Files::take(&mut started.contacts);
    let settings = &started.settings;
    let lookups = Lookups::new(&settings.dns, files, started.counters.clone()).map_err(|e| Refusal::system(format!("resolver: {e}")))?;
    let lookups = Rc::new(lookups);
    confine(settings)?;
    started.master.send(&ToMaster::Ready).map_err(|e| Refusal::system(format!("resolver: {e}")))?;
    daemon::event!(Info, "started", servers = lookups.servers());
    if lookups.servers() == 0 {
        daemon::event!(Warning, "no_servers", next = "set [dns] servers, or name one in resolv.conf and reload");
    }
    daemon::log::flush();
    let (drain, draining) = switch(false);
    let mut conversations = JoinSet::new();
    let next = main_loop(&mut started, &contact, &lookups, &draining, &mut conversations)
        .await
        .map_err(|e| Refusal::system(format!("resolver: {e}")))?;
    if matches!(next, Next::Orphaned) {
        return Ok(ExitCode::from(u8::try_from(daemon::EX_ORPHANED).unwrap_or(1)));
    }
    // Every open question has a deadline, so this ends.
    let _ = drain.send(true);
    while conversations.join_next().await.is_some() {}
    Ok(ExitCode::SUCCESS)
}

async fn main_loop(
    started: &mut Started,
    contact: &ContactPoint,
    lookups: &Rc<Lookups>,
    draining: &Receiver<bool>,
    conversations: &mut JoinSet<()>,
) -> std::io::Result<Next> {
    let master = watch(&started.master, Interest::READABLE)?;
    let signals = watch(&started.signals, Interest::READABLE)?;
    let callers = watch(contact, Interest::READABLE)?;
    loop {
        let next = tokio::select! {
            ready = callers.readable() => {
                while let Some(channel) = contact.accept::<Told, Ask>()? {
                    if conversations.len() < MOST_CONVERSATIONS {
                        conversations.spawn_local(converse(channel, Rc::clone(lookups), draining.clone()));
                    }
                }
                ready?.clear_ready();
                Next::Go
            }
            ready = master.readable() => {
                let next = heed_master(started, lookups);
                ready?.clear_ready();
                next
            }
            ready = signals.readable() => {
                let mut next = Next::Go;
                while let Some(signal) = started.signals.next() {
                    if signal == Signal::Drain {
                        next = Next::Drain;
                    }
                }
                ready?.clear_ready();
                next
            }
            Some(_) = conversations.join_next() => Next::Go,
        };
        if !matches!(next, Next::Go) {
            return Ok(next);
        }
    }
}

fn heed_master(started: &mut Started, lookups: &Lookups) -> Next {
    loop {
        match started.master.recv() {
            Ok(None) => return Next::Go,
            Ok(Some((ToChild::Drain, _))) => return Next::Drain,
            Ok(Some((ToChild::Reload(start), descriptors))) => {
                let outcome = started.reload(&start, descriptors);
                let outcome = outcome.and_then(|mut contacts| lookups.reload(&started.settings.dns, Files::take(&mut contacts)));
                match outcome {
                    Ok(()) => daemon::event!(Info, "reloaded", generation = started.generation),
                    Err(reason) => daemon::event!(Error, "reload_failed", reason = reason),
                }
                daemon::log::flush();
            }
            Ok(Some(_)) => {}
            Err(RecvError::Closed) => return Next::Orphaned,
            Err(error) => {
                daemon::event!(Error, "master_conversation", reason = error);
                return Next::Orphaned;
            }
        }
    }
}
