//! An agent that delivers one job after another, blocking: its process is its own event loop.
use daemon::Started;
use ipc::agents::{Job, Report};
use std::fs::File;

/// One kind of delivery.
pub trait Deliver {
    /// Delivers a job; every recipient gets a result.
    fn deliver(&mut self, job: &Job, message: &File) -> Report;
}
/// Runs an agent until it is drained or orphaned: credits, jobs, reports, master's frames. `credit`: jobs taken at once.
pub fn serve(started: Started, credit: u32, deliver: &mut dyn Deliver) -> std::process::ExitCode { let _ = (started, credit, deliver); todo!() }
